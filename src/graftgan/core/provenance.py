"""Where pictures come from: ``manifest.jsonl`` has one line for each picture.

Zips of pictures are untrusted: their members are unpacked within limits, whatever their headers
say.
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
"""The file beside the pictures; each line names a picture by its path below the folder."""
NOT_STATED = "not stated"
_UNREADABLE = (  # raised for a zip that is damaged or packed in a way Python does not know
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_LARGEST_MANIFEST = 64 * 2**20  # bytes in a zip
_LARGEST_IN_SMALL = 4 * 2**20  # bytes in a zip that is smaller than that
_PIECE = 2**20  # bytes unpacked at a time
LARGEST_TIGHT = 64 * 2**20
"""Largest member packed with bzip2 or LZMA, in bytes; such members are unpacked in one piece."""
_LARGEST_DICTIONARY = 128 * 2**20  # bytes that LZMA may use in addition
_LZMA_HEADER = slice(4, 9)  # the properties, after version and size; LZMA files begin with them


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a picture comes from; None: unknown."""

    url: str | None = None  # of the file
    page: str | None = None  # URL of a web page about it
    author: str | None = None  # as the site says
    licence: str | None = None  # its short name, such as CC BY 4.0
    licence_url: str | None = None  # of the licence's text
    title: str | None = None
    published: str | None = None  # or taken: a date in ISO 8601
    source: str | None = None  # what it was collected from, such as openverse

    def as_line(self) -> dict[str, str]:
        """Return the known fields, for a line of the manifest."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def origin_of(line: Mapping[str, Any]) -> Origin:
    """Return the origin in a line of a manifest; fields that are not text count as unknown."""
    names = [field.name for field in fields(Origin)]
    return Origin(**{n: line[n] for n in names if isinstance(line.get(n), str)})


def origins_of(pictures: Path) -> dict[str, Origin]:
    """Return the origins of the pictures in a folder or zip by name; empty without a manifest.

    The manifest is inside; for a folder it may also be beside it. Raises ImageSetError: the
    manifest in a zip is far too large for its pictures.
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
                    f"{MANIFEST} of {path} is larger than {largest >> 20} MB and the zip itself; "
                    "make the zip again with a manifest of its pictures only, or without one"
                )
            text = unpacked(archive, entry).decode("utf-8", errors="replace")
    except _UNREADABLE:
        return []
    return parse_jsonl(text)


def licences_in_words(origins: Iterable[Origin]) -> str:
    """Return the licences with their counts: ``CC BY 4.0 (30), not stated (2)``."""
    counts = Counter(shown(origin.licence or NOT_STATED) for origin in origins)
    return ", ".join(f"{name} ({count:,})" for name, count in counts.most_common())


def is_tight(entry: zipfile.ZipInfo) -> bool:
    """Return whether a member is packed with bzip2 or LZMA, which ``zipfile`` unpacks unbounded."""
    return entry.compress_type in {zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}


def first_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, count: int) -> bytes:
    """Return the first ``count`` bytes of a member; a damaged one raises as ``zipfile`` does."""
    if is_tight(entry):
        return _tight_content(archive, entry, count, packed=_PIECE)
    with archive.open(entry) as file:
        return file.read(count)


def unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the content of a member, at most the size it states, which the caller has checked.

    A damaged member raises as ``zipfile`` does.
    """
    if not is_tight(entry):
        copied = io.BytesIO()
        with archive.open(entry) as file:
            shutil.copyfileobj(file, copied, _PIECE)
        if copied.tell() != entry.file_size:  # zipfile checks the checksum only
            raise zipfile.BadZipFile("its size is wrong")
        return copied.getvalue()
    if entry.file_size > LARGEST_TIGHT:
        raise zipfile.BadZipFile("it is too large to be packed so")
    content = _tight_content(archive, entry, entry.file_size + 1)
    if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
        raise zipfile.BadZipFile("its size or checksum is wrong")
    return content


def _tight_content(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, packed: int = -1
) -> bytes:
    """Return up to ``most`` bytes, unpacked from the first ``packed`` bytes; -1: from all."""
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
