"""The pictures in an npz: headers are looked at first, and only the array that is used is read."""

import io
import math
import struct
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from graftgan.core.errors import ImageSetError
from graftgan.core.untrusted import shown
from graftgan.core.zip_members import is_tight
from graftgan.pictures.archive import damaged, opened_zip
from graftgan.pictures.members import Content, Contents, Member

_KEYS = ("x_train", "images", "arr_0")  # come first
_MOST_PICTURES = 5_000_000
# A compressed array is unpacked whole; one that is only stored is mapped, and may be larger.
_MOST_UNPACKED = 4 * 2**30  # bytes
_MOST_TIMES = 20  # the same as a multiple of the file's size ...
_SMALL_UNPACKED = 512 * 2**20  # ... or so many bytes
_BYTES_OF_PICTURE = 16  # of the file, at least, where there are more than so many pictures:
_FEW_PICTURES = 10_000
_MOST_ARRAYS = 100  # whose headers are looked at
_LONGEST_HEADER = 10_000  # bytes, as numpy's own limit
_LOCAL_HEADER = 30  # bytes before the name of a zip's member
_PIECE = 2**22  # bytes read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What the start of an array says.

    Attributes:
        key: The name of the array.
        entry: Its member of the zip.
        shape: Of the array.
        dtype: Of its numbers.
        fortran: Whether the first index runs fastest.
        start: Bytes before the numbers.
    """

    key: str
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    fortran: bool
    start: int

    @property
    def is_pictures(self) -> bool:
        """Whether it is uint8 of shape (n, h, w), (n, h, w, c) or (n, c, h, w)."""
        last, first = self.shape[-1:], self.shape[1:2]
        colours = last in ((1,), (2,), (3,), (4,)) or first in ((1,), (3,), (4,))
        right = len(self.shape) == 3 or (len(self.shape) == 4 and colours)
        return self.dtype == np.uint8 and right

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize

    def in_words(self) -> str:
        """Return key, type and shape for a message."""
        kind = "Python objects" if self.dtype.hasobject else f"{self.dtype} {self.shape}"
        return f"'{self.key}': {kind}"


class _OtherFormatError(ValueError):
    """An array is whole, but in a format that no pictures are in."""


@contextmanager
def open_npz(path: Path, stamp: str) -> Generator[Contents]:
    """Yield the pictures in an npz.

    Raises:
        ImageSetError: It is damaged, holds no array of pictures, or one that is too large.
    """
    with opened_zip(path, "npz") as archive:
        header = _chosen(path, archive)
        try:
            pictures = _as_pictures(_read(path, archive, header))
        except Exception as error:  # zipfile raises many kinds for damaged members
            raise damaged(path, "npz", error) from None
    size = pictures[0].nbytes if len(pictures) else 0
    members = [
        Member(f"{header.key}/{i:06d}", partial(_picture, pictures, i), stamp, size)
        for i in range(len(pictures))
    ]
    side = min(pictures.shape[1:3])
    yield Contents(members, (f"pictures from the array '{header.key}'",), side)


def _picture(pictures: NDArray[np.uint8], index: int) -> Content:
    return np.ascontiguousarray(pictures[index])


def _chosen(path: Path, archive: zipfile.ZipFile) -> _Header:
    """Return the header of the first array of pictures."""
    seen: list[str] = []
    for entry in sorted(archive.infolist(), key=lambda entry: _preference(entry.filename)):
        key = entry.filename.removesuffix(".npy")
        if len(seen) >= _MOST_ARRAYS:
            raise ImageSetError(f"{path} has more than {_MOST_ARRAYS} arrays; leave one in it")
        try:
            header = _header_in(archive, key, entry)
        except _OtherFormatError as other:
            if key in _KEYS:  # another array must not stand in for it
                raise ImageSetError(f"{path}: the array '{shown(key)}' is {other}") from None
            seen.append(f"'{shown(key)}': {other}")
            continue
        except Exception as error:  # numpy and zipfile raise many kinds for damaged members
            if key in _KEYS:  # another array must not stand in for it
                raise damaged(path, "npz", error) from None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            seen.append(f"'{shown(key)}': unreadable ({shown(reason)})")
            continue
        if header is not None and header.is_pictures:
            _check_size(path, header)
            return header
        seen += [] if header is None else [header.in_words()]
    if any(": unreadable" in words for words in seen):
        raise damaged(path, "npz", ValueError(f"no array can be read, {'; '.join(seen[:3])}"))
    raise ImageSetError(
        f"{path} holds no array of pictures: expected uint8 of shape (n, h, w), (n, h, w, c) or "
        f"(n, c, h, w), found {'; '.join(seen[:8]) or 'nothing'}"
    )


def _header_in(archive: zipfile.ZipFile, key: str, entry: zipfile.ZipInfo) -> _Header | None:
    """Return the header of a member of an npz; None: it is no array at all."""
    if is_tight(entry):
        raise ValueError("packed as numpy does not; save it again")
    with archive.open(entry) as file:
        return _header_of(key, entry, file)


def _preference(name: str) -> tuple[bool, int, str]:
    key = name.removesuffix(".npy")
    return (key not in _KEYS, _KEYS.index(key) if key in _KEYS else 0, key)


def _header_of(key: str, entry: zipfile.ZipInfo, file: IO[bytes]) -> _Header | None:
    """Return the header of a member; None: it is no array at all."""
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
    return _Header(
        key=key, entry=entry, shape=shape, dtype=dtype, fortran=fortran, start=start.tell()
    )


def _check_size(path: Path, header: _Header) -> None:
    if header.start + header.size != header.entry.file_size:
        raise ImageSetError(
            f"{path} is a damaged npz: {header.in_words()} should take {header.size:,} bytes, and "
            f"{header.entry.file_size - header.start:,} are there; make or fetch it again"
        )
    file = path.stat().st_size
    packed = header.entry.compress_type != zipfile.ZIP_STORED
    most = min(_MOST_UNPACKED, max(_SMALL_UNPACKED, _MOST_TIMES * file))
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


def _read(path: Path, archive: zipfile.ZipFile, header: _Header) -> NDArray[np.uint8]:
    """Return the array, mapped from the file where it is not packed; its checksum is right."""
    order = "F" if header.fortran else "C"
    if header.entry.compress_type == zipfile.ZIP_STORED:
        with archive.open(header.entry) as file:
            while file.read(_PIECE):  # raises where the checksum is wrong
                pass
        offset = _offset(path, header.entry) + header.start
        if not header.size:
            return np.zeros(header.shape, np.uint8)
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


def _offset(path: Path, entry: zipfile.ZipInfo) -> int:
    """Return where in the file the bytes of a stored member begin."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        lengths = struct.unpack("<26x2H", file.read(_LOCAL_HEADER))  # of its name and extra field
    return entry.header_offset + _LOCAL_HEADER + sum(lengths)


def _as_pictures(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the array as (n, h, w) or (n, h, w, c)."""
    if array.ndim == 3:
        return array
    if array.shape[-1] in (1, 2, 3, 4):
        return array[..., 0] if array.shape[-1] == 1 else array
    return array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)
