"""Candidates, one for each picture that a source lists, and the registry of sources."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.core.registry import Registry, suggest
from graftgan.pictures.collecting.addresses import LONGEST_ADDRESS, tidy
from graftgan.pictures.collecting.refusals import Refusal
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPicture:
    """A picture that a source lists."""

    name: str  # its web address, or a readable name if it has none
    origin: Origin = field(default_factory=Origin)  # what the source says about it
    key: str | None = None  # a stable name, for sites that sign their addresses anew each time
    content: bytes | None = field(default=None, repr=False)  # if it is on this machine
    refusal: Refusal | None = None  # why it cannot be collected, if the source knows already
    home: str | None = None  # the private address that the user named to get here
    asks_robots: bool = False  # whether robots.txt decides if it is fetched
    referer: str | None = None  # the page that its server expects the request to come from

    @property
    def address(self) -> str:
        """What identifies it: its key, its normalised address, or its name."""
        if self.key is not None:
            return text_of(self.key) or "nothing"
        try:
            return tidy(self.name)
        except Refusal:
            return text_of(self.name) or "nothing"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine; then only its bytes tell whether it is new."""
        return self.content is not None


Listing = Callable[[Web], Iterator[FoundPicture]]
"""Lists candidates lazily; it uses the client for all requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """A kind of source, such as ``openverse``.

    ``open`` makes a listing of what follows the colon; it raises :class:`CollectError` if that
    cannot work, before anything is fetched or written.
    """

    open: Callable[[str, CollectSettings], Listing]
    knows_licences: bool = False  # whether it supports CollectSettings.licence
    remark: str | None = None  # shown to the user before it is used


SOURCES: Registry[SourceKind] = Registry("source")


def list_candidates(text: str, settings: CollectSettings) -> Listing:
    """Return a listing of the source that ``kind:what`` or the path of a folder names.

    Raises:
        CollectError: There is no such kind, path or list, or it does not support the settings.
    """
    kind, what = _parsed(text)
    if not what.strip():
        raise CollectError(f"'{text}' does not say what to collect; write {kind}:WHAT")
    source = SOURCES[kind]
    if settings.licence and not source.knows_licences:
        able = ", ".join(name for name in SOURCES if SOURCES[name].knows_licences)
        raise CollectError(f"{kind}: does not know licences; --licence works with {able}")
    return source.open(what.strip(), settings)


def remark_on(text: str) -> str | None:
    """Return what to tell the user before a source is used; CollectError: it is unknown."""
    return SOURCES[_parsed(text)[0]].remark


def _parsed(text: str) -> tuple[str, str]:
    """Return kind and what; a path alone is a folder."""
    kind, colon, what = text.partition(":")
    if colon and kind in SOURCES:
        return kind, what
    if Path(text).exists():
        return "folder", text
    if text.startswith(("http://", "https://")):
        raise CollectError(
            f"'{text}' could be a picture or a page: write urls:{text} or gallery:{text}"
        )
    if text.startswith("#"):
        raise CollectError(f"'{text}' is a hashtag: write \"instagram:{text}\"")
    if colon and len(kind) > 1:
        raise CollectError(f"no source is called '{kind}'; {suggest(kind, SOURCES)}")
    raise CollectError(f"there is no {text}; give a folder, zip or npz, or KIND:WHAT")


def text_of(value: object, *, longest: int = LONGEST_ADDRESS) -> str | None:
    """Return text from a site as one line that can be printed and stored; None: it is empty."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", str(value)).strip()
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    return text[:longest] or None


def plain_text(value: object) -> str | None:
    """Return the visible text of HTML, in one line."""
    if not isinstance(value, str):
        return text_of(value)
    reader = _TextReader()
    reader.feed(value)
    reader.close()
    return text_of("".join(reader.said))


def entry(data: object, *path: str | int) -> Any:
    """Return the value at ``path`` in plain data; None: there is no such place."""
    for step in path:
        if isinstance(data, Mapping) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


class _TextReader(HTMLParser):
    """Gathers text without scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag in ("script", "style")
        if tag in ("br", "p", "div", "li", "td"):
            self.said.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.said.append(data)
