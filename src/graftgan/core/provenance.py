"""Where pictures come from: one line of ``manifest.jsonl`` for each, which travels with them.

A zip of pictures may come from anywhere: its members are unpacked within bounds that its own
headers cannot move.
"""

import bz2
import copy
import io
import lzma
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from graftgan.core.errors import ImageSetError, shown
from graftgan.core.files import parse_jsonl, read_jsonl

MANIFEST = "manifest.jsonl"
"""Lies beside the pictures; each line names one by its path below the folder."""
NOT_STATED = "not stated"
_UNREADABLE = (  # what a damaged zip raises, or one that is packed in a way Python does not know
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_LARGEST_MANIFEST = 64 * 2**20  # bytes in a zip
_LARGEST_IN_SMALL = 4 * 2**20  # bytes in a zip that has fewer itself, as one of pictures has not
_PIECE = 2**20  # bytes unpacked at a time
LARGEST_TIGHT = 64 * 2**20
"""Bytes of a member packed with bzip2 or LZMA, which are unpacked in one piece."""
_LARGEST_DICTIONARY = 128 * 2**20  # bytes that LZMA may take beside it
_TIGHT = frozenset((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
_LZMA_HEADER = slice(4, 9)  # after a version and a size: what LZMA's own files begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of where a picture comes from; None is unknown."""

    url: str | None = None  # of the file
    page: str | None = None  # the address of a page about it, for people
    author: str | None = None  # as the site says
    licence: str | None = None  # its short name, such as CC BY 4.0
    licence_url: str | None = None  # of the licence's text
    title: str | None = None
    published: str | None = None  # or taken: a date in ISO 8601
    source: str | None = None  # what it was collected from, such as openverse

    def as_line(self) -> dict[str, str]:
        """Return what is known, for a line of the manifest."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def origin_of(line: Mapping[str, Any]) -> Origin:
    """Return the origin in a line of a manifest; what is no text counts as unknown."""
    names = [field.name for field in fields(Origin)]
    return Origin(**{n: line[n] for n in names if isinstance(line.get(n), str)})


def origins_of(pictures: Path) -> dict[str, Origin]:
    """Return origins by the picture's name in a folder or zip; empty where there is no manifest.

    The manifest lies in it; that of a folder may also lie beside it. One in a zip that is far
    larger than any of so few bytes of pictures is an ImageSetError.
    """
    if pictures.is_file():
        return _by_name(_lines_in_zip(pictures), prefix="")
    if (inside := pictures / MANIFEST).is_file():
        return _by_name(read_jsonl(inside), prefix="")
    folder = pictures.resolve()
    return _by_name(read_jsonl(folder.parent / MANIFEST), prefix=f"{folder.name}/")


def _by_name(lines: Iterable[Mapping[str, Any]], *, prefix: str) -> dict[str, Origin]:
    named = [(name, line) for line in lines if isinstance(name := line.get("name"), str)]
    return {n.removeprefix(prefix): origin_of(line) for n, line in named if n.startswith(prefix)}


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


def licences_in_words(origins: Iterable[Origin]) -> str:
    """Return the licences with their numbers of pictures: ``CC BY 4.0 (30), not stated (2)``."""
    counts = Counter(shown(origin.licence or NOT_STATED) for origin in origins)
    return ", ".join(f"{name} ({count:,})" for name, count in counts.most_common())


def is_tight(entry: zipfile.ZipInfo) -> bool:
    """Return whether a member is packed so that ``zipfile`` unpacks it without a bound."""
    return entry.compress_type in _TIGHT


def first_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, count: int) -> bytes:
    """Return what a member begins with; one that is damaged raises as ``zipfile`` does."""
    if is_tight(entry):
        return _loosened(archive, entry, count, packed=_PIECE)
    with archive.open(entry) as file:
        return file.read(count)


def unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return what is in a member; never more than it states, which the caller has looked at.

    One that is damaged raises as ``zipfile`` does.
    """
    if not is_tight(entry):
        copied = io.BytesIO()
        with archive.open(entry) as file:
            shutil.copyfileobj(file, copied, _PIECE)
        if copied.tell() != entry.file_size:  # its checksum is right, so zipfile is content
            raise zipfile.BadZipFile("its size is wrong")
        return copied.getvalue()
    if entry.file_size > LARGEST_TIGHT:
        raise zipfile.BadZipFile("it is too large to be packed so")
    content = _loosened(archive, entry, entry.file_size + 1)
    if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
        raise zipfile.BadZipFile("its size or checksum is wrong")
    return content


def _loosened(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, packed: int = -1
) -> bytes:
    """Return up to ``most`` bytes of a tight member, from its first ``packed`` ones; -1: all."""
    as_stored = copy.copy(entry)
    as_stored.compress_type, as_stored.file_size = zipfile.ZIP_STORED, entry.compress_size
    del as_stored.CRC  # it is that of the unpacked bytes
    with archive.open(as_stored) as file:
        content = file.read(packed)
    if entry.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(content, most)
    size_unknown = b"\xff" * 8
    alone = content[_LZMA_HEADER] + size_unknown + content[_LZMA_HEADER.stop :]
    reader = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LARGEST_DICTIONARY)
    return reader.decompress(alone, most)
