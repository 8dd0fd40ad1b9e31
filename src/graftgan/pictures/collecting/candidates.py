"""What sources give: one candidate for each picture they know of, and the registry of sources."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.core.registry import Registry, suggest
from graftgan.pictures.collecting.addresses import LONGEST, tidy
from graftgan.pictures.collecting.refusals import Refusal
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPicture:
    """A picture that a source knows of."""

    name: str  # its web address, or what a person would call it where it has none
    origin: Origin = field(default_factory=Origin)  # what the source says about it
    key: str | None = None  # what stays the same where a site signs its addresses anew each time
    content: bytes | None = field(default=None, repr=False)  # of what lies on this machine
    refusal: Refusal | None = None  # why the source already knows that it cannot be taken
    home: str | None = None  # the private address that a person named to get here
    asks_robots: bool = False  # whether robots.txt decides if it is fetched
    referer: str | None = None  # the page that its server expects the request to come from

    @property
    def address(self) -> str:
        """What tells it from others: its key, its address in the one spelling, or its name."""
        if self.key is not None:
            return text_of(self.key) or "nothing"
        try:
            return tidy(self.name)
        except Refusal:
            return text_of(self.name) or "nothing"

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine, where only its bytes say whether it is new."""
        return self.content is not None


Listing = Callable[[Web], Iterator[FoundPicture]]
"""Lists candidates when asked for them; what it needs of the network it asks the client for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """A kind of source, such as ``openverse``.

    ``open`` makes a listing of what follows the colon; it raises :class:`CollectError` where that
    cannot work, before anything is fetched or written.
    """

    open: Callable[[str, CollectSettings], Listing]
    knows_licences: bool = False  # whether it can keep to CollectSettings.licence
    remark: str | None = None  # what a person is told before it is used


SOURCES: Registry[SourceKind] = Registry("source")


class OpenSource(NamedTuple):
    """A source as the command line names it, ready to be listed."""

    text: str
    listing: Listing


def list_candidates(text: str, settings: CollectSettings) -> OpenSource:
    """Return the source that a person calls ``kind:what``, or by the path of a folder.

    CollectError is raised where there is no such kind, path or list, or it cannot do what is asked.
    """
    kind, what = _parsed(text)
    if not what.strip():
        raise CollectError(f"'{text}' does not say what to collect; write {kind}:WHAT")
    source = SOURCES[kind]
    if settings.licence and not source.knows_licences:
        able = ", ".join(name for name in SOURCES if SOURCES[name].knows_licences)
        raise CollectError(f"{kind}: does not know licences, so --licence cannot hold; {able} do")
    return OpenSource(text, source.open(what.strip(), settings))


def remark_on(text: str) -> str | None:
    """Return what a person is told before a source is used; CollectError: there is none such."""
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


def text_of(value: object, *, longest: int = LONGEST) -> str | None:
    """Return what a site says as one line that can be printed and stored; None: it says nothing."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", str(value)).strip()
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    return text[:longest] or None


def plain_text(value: object) -> str | None:
    """Return HTML as the text that it shows, in one line."""
    if not isinstance(value, str):
        return text_of(value)
    reader = _TextReader()
    reader.feed(value)
    reader.close()
    return text_of("".join(reader.said))


def entry(data: object, *path: str | int) -> Any:
    """Return what lies at ``path`` within plain data; None where there is no such place."""
    for step in path:
        if isinstance(data, Mapping) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


class _TextReader(HTMLParser):
    """Gathers text; scripts and styles are none."""

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
