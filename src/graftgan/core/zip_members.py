"""What is in a member of a zip, unpacked within bounds that its own header cannot move."""

import bz2
import copy
import io
import lzma
import shutil
import zipfile
import zlib

_PIECE = 2**20  # bytes unpacked at a time
LARGEST_TIGHT = 64 * 2**20
"""Bytes of a member packed with bzip2 or LZMA, which are unpacked in one piece."""
_LARGEST_DICTIONARY = 128 * 2**20  # bytes that LZMA may take beside it
_TIGHT = frozenset((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
_LZMA_HEADER = slice(4, 9)  # after a version and a size: what LZMA's own files begin with


def is_tight(entry: zipfile.ZipInfo) -> bool:
    """Return whether a member is packed so that ``zipfile`` unpacks it without a bound."""
    return entry.compress_type in _TIGHT


def first_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, count: int) -> bytes:
    """Return what a member begins with.

    Raises:
        Exception: It is damaged, in any of the ways of ``zipfile``.
    """
    if is_tight(entry):
        return _loosened(archive, entry, count, packed=_PIECE)
    with archive.open(entry) as file:
        return file.read(count)


def unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return what is in a member; never more than it states, which the caller has looked at.

    Raises:
        Exception: It is damaged, in any of the ways of ``zipfile``.
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
    """Return up to ``most`` bytes of a tight member, from its first ``packed`` ones; -1: from all.

    The library gives the packed bytes only.
    """
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
