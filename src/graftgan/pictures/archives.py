"""The pictures in a zip, read in place whatever program wrote it, and in an npz.

An npz is searched by the headers of its arrays; only the array that is used is read.
"""

import io
import math
import struct
import zipfile
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graftgan.core.errors import ImageSetError, shown
from graftgan.core.provenance import LARGEST_TIGHT, first_bytes, is_tight, unpacked
from graftgan.pictures.members import (
    LARGEST_FILE,
    Contents,
    Member,
    Unusable,
    has_picture_suffix,
    is_hidden,
    looks_like_picture,
    numbered,
    printable_name,
    too_large_file,
)

_ENCRYPTED = 0x1  # the bit of a member's flags
_READABLE = frozenset(
    (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
)
_AES = 99
_MOST_UNPACKED = 2**30  # bytes of all members together, if the zip is small
_MOST_TIMES = 250  # the same as a multiple of the zip's size; pictures hardly compress
_MOST_LOOKS = 256  # into members packed with bzip2 or LZMA: each costs a block of up to 900 kB
_BLOCK = 2**20  # bytes that a member packed with bzip2 takes at least, whatever size it states
# The numbers of the zip specification (APPNOTE, section 4.4.5).
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}

_KEYS = ("x_train", "images", "arr_0")  # these arrays of an npz come first
_MOST_PICTURES = 5_000_000
# A compressed array is unpacked whole; one that is only stored is mapped, and may be larger.
_MOST_OF_ARRAY = 4 * 2**30  # bytes
_MOST_TIMES_OF_NPZ = 20  # the same as a multiple of the file's size ...
_SMALL_ARRAY = 512 * 2**20  # ... or this many bytes, if that is more
_BYTES_OF_PICTURE = 16  # of the file, at least, for more pictures than the next number
_FEW_PICTURES = 10_000
_MOST_ARRAYS = 100  # whose headers are read
_LONGEST_HEADER = 10_000  # bytes, as numpy's own limit
_LOCAL_HEADER = 30  # bytes before the name of a zip's member
_PIECE = 2**22  # bytes read at a time


@contextmanager
def open_zip(path: Path) -> Generator[Contents]:
    """Yield the pictures in a zip; ImageSetError: damaged, or far too large once unpacked."""
    with _opened(path, "zip") as archive:
        tight = [entry for entry in archive.infolist() if is_tight(entry)]
        nameless = [entry for entry in tight if not has_picture_suffix(entry.filename)]
        unseen = set(nameless[_MOST_LOOKS:])
        found = [entry for entry in archive.infolist() if entry not in unseen]
        entries = [entry for entry in found if _is_picture(archive, entry)]
        _refuse_bomb(path, entries)
        names, notes = _different([tidy_name(entry.filename) for entry in entries])
        members = [
            Member(name, partial(_read_entry, archive, e), f"{e.file_size}:{e.CRC}", e.file_size)
            for name, e in zip(names, entries, strict=True)
        ]
        if unseen:
            why = "packed with bzip2 or LZMA and without a picture's name: too many to look into"
            notes += (f"left out {len(unseen)} {why}",)
        yield Contents(sorted(members, key=lambda member: member.name), notes)


def tidy_name(name: str) -> str:
    r"""Return a member's name with ``/`` between folders and no way out of the archive.

    Windows PowerShell 5 writes ``\`` instead, which the specification forbids.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return printable_name("/".join(part for part in parts if part not in ("/", "..")))


def read_entry(path: Path, name: str, *, largest: int) -> bytes | None:
    """Return the content of the zip's member with this tidy name, or None.

    Raises:
        ImageSetError: It cannot be read or has more than ``largest`` bytes.
    """
    with _opened(path, "zip") as archive:
        named = [entry for entry in archive.infolist() if tidy_name(entry.filename) == name]
        if not named:
            return None
        try:
            if named[-1].file_size > largest:
                raise Unusable(too_large_file(largest))
            return _read_entry(archive, named[-1])
        except Unusable as reason:
            raise ImageSetError(
                f"{name} of {path} cannot be read: {reason}; make the zip again"
            ) from None


def _opened(path: Path, what: str) -> zipfile.ZipFile:
    """Open a zip or npz; ImageSetError: it is damaged."""
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many kinds for damaged files
        raise _damaged(path, what, error) from None


def _damaged(path: Path, what: str, error: Exception) -> ImageSetError:
    reason = shown(error, 200) or type(error).__name__
    return ImageSetError(f"{path} is a damaged {what}: {reason}; make or fetch it again")


def _refuse_bomb(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a zip bomb by its stated sizes, which no member exceeds when it is unpacked."""
    sizes = (max(entry.file_size, _BLOCK * is_tight(entry)) for entry in entries)
    total = sum(size for size in sizes if size <= LARGEST_FILE)  # a larger one is skipped
    packed = path.stat().st_size
    if total > max(_MOST_UNPACKED, _MOST_TIMES * packed):
        raise ImageSetError(
            f"{path} has {packed / 1e6:.1f} MB, and its pictures unpack to {total / 1e9:.1f} GB, "
            f"more than {_MOST_TIMES} times as much; unpack it yourself and give the folder"
        )


def _is_picture(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    name = tidy_name(entry.filename)
    is_folder = entry.filename.endswith(("/", "\\"))
    if is_folder or not name or any(is_hidden(part) for part in name.split("/")):
        return False
    if has_picture_suffix(name):
        return True
    try:
        return looks_like_picture(first_bytes(archive, entry, 16))
    except Exception:  # a damaged or encrypted member that does not even claim to be a picture
        return False


def _different(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names with a number added to repeated ones, and a note on how many there are."""
    twice = {name for name, count in Counter(names).items() if count > 1}
    if not twice:
        return names, ()
    taken, different = set(names) - twice, list[str]()
    for name in names:
        options = numbered(name, "{} ({}){}")
        different.append(next(n for n in options if name not in twice or n not in taken))
        taken.add(different[-1])
    some = ", ".join(map(shown, sorted(twice)[:3])) + ", ..." * (len(twice) > 3)
    many = "names stand" if len(twice) > 1 else "name stands"
    return different, (f"{len(twice)} {many} more than once in the zip ({some}); all are used",)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & _ENCRYPTED or entry.compress_type == _AES:
        raise Unusable("encrypted in the zip")
    method = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
    unreadable = f"compressed as {method}, which cannot be read; make the zip again with Deflate"
    if entry.compress_type not in _READABLE:
        raise Unusable(unreadable)
    largest = LARGEST_TIGHT if is_tight(entry) else LARGEST_FILE
    if entry.file_size > largest:
        raise Unusable(too_large_file(largest))
    try:
        return unpacked(archive, entry)
    except (NotImplementedError, RuntimeError):  # this Python was built without that compression
        raise Unusable(unreadable) from None
    except MemoryError:
        raise Unusable("too large for the memory") from None
    except Exception:  # zipfile raises many kinds for damaged members
        raise Unusable("damaged in the zip") from None


@contextmanager
def open_npz(path: Path, stamp: str) -> Generator[Contents]:
    """Yield the pictures in an npz; ImageSetError: damaged, without pictures, or too large."""
    with _opened(path, "npz") as archive:
        header = _chosen(path, archive)
        try:
            pictures = _as_pictures(_read_array(path, archive, header))
        except Exception as error:  # zipfile raises many kinds for damaged members
            raise _damaged(path, "npz", error) from None
    size = pictures[0].nbytes if len(pictures) else 0
    members = [
        Member(f"{header.key}/{i:06d}", lambda i=i: np.ascontiguousarray(pictures[i]), stamp, size)
        for i in range(len(pictures))
    ]
    side = min(pictures.shape[1:3])
    yield Contents(members, (f"pictures from the array '{header.key}'",), side)


class _Header(NamedTuple):
    """The header of an array in an npz."""

    key: str
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    fortran: bool  # the first index runs fastest
    dtype: np.dtype[np.generic]
    start: int  # bytes before the data

    @property
    def is_pictures(self) -> bool:
        """Whether it is uint8 of shape (n, h, w), (n, h, w, c) or (n, c, h, w)."""
        last, first = self.shape[-1:], self.shape[1:2]
        colours = last in ((1,), (2,), (3,), (4,)) or first in ((1,), (3,), (4,))
        right = len(self.shape) == 3 or (len(self.shape) == 4 and colours)
        return self.dtype == np.uint8 and right

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def in_words(self) -> str:
        kind = "Python objects" if self.dtype.hasobject else f"{self.dtype} {self.shape}"
        return f"'{self.key}': {kind}"


class _OtherFormatError(ValueError):
    """An array is undamaged, but in a format that does not hold pictures."""


def _chosen(path: Path, archive: zipfile.ZipFile) -> _Header:
    """Return the header of the first array of pictures."""
    seen: list[str] = []
    keyed = [(entry.filename.removesuffix(".npy"), entry) for entry in archive.infolist()]
    rank = {key: place for place, key in enumerate(_KEYS)}
    for key, entry in sorted(keyed, key=lambda pair: (rank.get(pair[0], len(rank)), pair[0])):
        if len(seen) >= _MOST_ARRAYS:
            raise ImageSetError(f"{path} has more than {_MOST_ARRAYS} arrays; leave one in it")
        try:
            header = _header_of(archive, key, entry)
        except Exception as error:  # numpy and zipfile raise many kinds for damaged members
            is_whole = isinstance(error, _OtherFormatError)
            if key in _KEYS:  # another array must not replace it
                other = ImageSetError(f"{path}: the array '{shown(key)}' is {error}")
                raise (other if is_whole else _damaged(path, "npz", error)) from None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            said = str(error) if is_whole else f"unreadable ({shown(reason)})"
            seen.append(f"'{shown(key)}': {said}")
            continue
        if header is not None and header.is_pictures:
            _check_array(path, header)
            return header
        seen += [] if header is None else [header.in_words()]
    if any(": unreadable" in words for words in seen):
        raise _damaged(path, "npz", ValueError(f"no array can be read, {'; '.join(seen[:3])}"))
    raise ImageSetError(
        f"{path} has no array of pictures: expected uint8 of shape (n, h, w), (n, h, w, c) or "
        f"(n, c, h, w), found {'; '.join(seen[:8]) or 'nothing'}"
    )


def _header_of(archive: zipfile.ZipFile, key: str, entry: zipfile.ZipInfo) -> _Header | None:
    """Return the header of a member of an npz; None: it is not an array."""
    if is_tight(entry):
        raise ValueError("packed as numpy does not; save it again")
    with archive.open(entry) as file:
        start = io.BytesIO(file.read(_LONGEST_HEADER + 32))
    if not start.getvalue().startswith(np.lib.format.MAGIC_PREFIX):
        if not entry.filename.endswith(".npy"):
            return None
        raise ValueError("it does not start as an array does")
    version = np.lib.format.read_magic(start)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise _OtherFormatError(
            f"written in numpy's format {version[0]}.{version[1]}, which is for records; save the "
            "pictures as plain uint8 with numpy.savez"
        )
    shape, fortran, dtype = read(start, max_header_size=_LONGEST_HEADER)
    return _Header(key, entry, shape, fortran, dtype, start.tell())


def _check_array(path: Path, header: _Header) -> None:
    if header.start + header.size != header.entry.file_size:
        raise ImageSetError(
            f"{path} is a damaged npz: {header.in_words()} should take {header.size:,} bytes, and "
            f"{header.entry.file_size - header.start:,} are there; make or fetch it again"
        )
    file = path.stat().st_size
    packed = header.entry.compress_type != zipfile.ZIP_STORED
    most = min(_MOST_OF_ARRAY, max(_SMALL_ARRAY, _MOST_TIMES_OF_NPZ * file))
    if packed and header.size > most:
        raise ImageSetError(
            f"{path}: {header.in_words()} unpacks to {header.size / 1e9:.1f} GB, more than "
            f"{most / 1e9:.1f} for a file of {file / 1e6:.1f} MB; save "
            "it with numpy.savez, which does not pack, or as picture files in a zip"
        )
    most = min(_MOST_PICTURES, max(_FEW_PICTURES, file // _BYTES_OF_PICTURE))
    if header.shape[0] > most:
        raise ImageSetError(
            f"{path}: {header.in_words()} is {header.shape[0]:,} pictures, more than "
            f"{most:,} for a file of {file / 1e6:.1f} MB; split it"
        )


def _read_array(path: Path, archive: zipfile.ZipFile, header: _Header) -> NDArray[np.uint8]:
    """Return the array after checking its checksum, mapped from the file if it is not packed."""
    order = "F" if header.fortran else "C"
    if header.entry.compress_type == zipfile.ZIP_STORED:
        with archive.open(header.entry) as file:
            while file.read(_PIECE):  # raises where the checksum is wrong
                pass
        if not header.size:
            return np.zeros(header.shape, np.uint8)
        with path.open("rb") as whole:
            whole.seek(header.entry.header_offset)
            lengths = struct.unpack("<26x2H", whole.read(_LOCAL_HEADER))  # of name and extra field
        offset = header.entry.header_offset + _LOCAL_HEADER + sum(lengths) + header.start
        return np.memmap(path, np.uint8, mode="r", offset=offset, shape=header.shape, order=order)
    numbers = np.empty(header.size, np.uint8)
    with archive.open(header.entry) as file:
        file.read(header.start)
        filled = 0
        while piece := file.read(_PIECE):
            numbers[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
    if filled < header.size:
        raise ValueError("it ends too early")
    return numbers.reshape(header.shape, order=order)


def _as_pictures(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the array as (n, h, w) or (n, h, w, c)."""
    if array.ndim == 3:
        return array
    if array.shape[-1] in (1, 2, 3, 4):
        return array[..., 0] if array.shape[-1] == 1 else array
    return array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)
