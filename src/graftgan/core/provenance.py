"""Where pictures come from: one line of ``manifest.jsonl`` for each, which travels with them."""

import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from graftgan.core.errors import ImageSetError
from graftgan.core.files import parse_jsonl, read_jsonl, write_jsonl
from graftgan.core.untrusted import shown
from graftgan.core.zip_members import unpacked

MANIFEST = "manifest.jsonl"
"""Lies beside the pictures; each line names one by its path below the folder."""
NOT_STATED = "not stated"
_UNREADABLE = (  # what a damaged zip raises, or one that is packed in a way Python does not know
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_LARGEST_MANIFEST = 64 * 2**20  # bytes in a zip
_LARGEST_IN_SMALL = 4 * 2**20  # bytes in a zip that has fewer itself, as one of pictures has not


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of where a picture comes from; None is unknown.

    Attributes:
        url: The address of the file.
        page: The address of a page about it, for people.
        author: Who made it, as the site says.
        licence: Its short name, such as ``CC BY 4.0``.
        licence_url: The address of the licence's text.
        title: What it is called.
        published: The date it was published or taken, ISO 8601.
        source: What it was collected from, such as ``openverse``.
    """

    url: str | None = None
    page: str | None = None
    author: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    title: str | None = None
    published: str | None = None
    source: str | None = None

    def as_line(self) -> dict[str, str]:
        """Return what is known, for a line of the manifest."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def origin_of(line: Mapping[str, Any]) -> Origin:
    """Return the origin in a line of a manifest; what is no text counts as unknown."""
    names = [field.name for field in fields(Origin)]
    return Origin(**{n: line[n] for n in names if isinstance(line.get(n), str)})


def origins_of(pictures: Path) -> dict[str, Origin]:
    """Return origins by the picture's name in a folder or zip; empty where there is no manifest.

    The manifest lies in it; that of a folder may also lie beside it.

    Raises:
        ImageSetError: That of a zip is far larger than any manifest of so few bytes of pictures.
    """
    if pictures.is_file():
        return _by_name(_lines_in_zip(pictures), prefix="")
    inside = pictures / MANIFEST
    if inside.is_file():
        return _by_name(read_jsonl(inside), prefix="")
    folder = pictures.resolve()
    return _by_name(read_jsonl(folder.parent / MANIFEST), prefix=f"{folder.name}/")


def _by_name(lines: Iterable[Mapping[str, Any]], *, prefix: str) -> dict[str, Origin]:
    named = ((line.get("name"), line) for line in lines)
    return {
        name.removeprefix(prefix): origin_of(line)
        for name, line in named
        if isinstance(name, str) and name.startswith(prefix)
    }


def _lines_in_zip(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(MANIFEST)
            largest = min(_LARGEST_MANIFEST, max(_LARGEST_IN_SMALL, path.stat().st_size))
            if entry.file_size > largest:
                raise ImageSetError(
                    f"{MANIFEST} of {path} is larger than {largest >> 20} MB, and than the zip; "
                    "make the zip again with a manifest of its pictures only, or without one"
                )
            text = unpacked(archive, entry).decode("utf-8", errors="replace")
    except _UNREADABLE:
        return []
    return parse_jsonl(text)


def write_manifest_lines(lines: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Write the manifest of ``folder``, whole; each line has a ``name``."""
    write_jsonl(folder / MANIFEST, lines)


def licences_in_words(origins: Iterable[Origin]) -> str:
    """Return the licences with their numbers of pictures: ``CC BY 4.0 (30), not stated (2)``."""
    counts = Counter(shown(origin.licence or NOT_STATED) for origin in origins)
    return ", ".join(f"{name} ({count:,})" for name, count in counts.most_common())
