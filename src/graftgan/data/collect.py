"""Find the pictures in a folder, a zip or an npz, without decoding any.

Hidden files, ``__MACOSX`` and files that are no pictures by name and by their first bytes are
ignored. Everything else becomes a member, so that what turns out unusable is listed, not dropped.
"""

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from graftgan.errors import ImageSetError

Content = bytes | NDArray[np.uint8]  # a file's bytes, or the pixels (h, w) or (h, w, c)

# fmt: off
PICTURE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".svg", ".tga",
    ".tif", ".tiff", ".webp",
))
# fmt: on
LARGEST_FILE = 512 * 2**20  # bytes; a larger file is no picture of at most 100 megapixels
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_NPZ_KEYS = ("x_train", "images", "arr_0")


class Unusable(Exception):  # noqa: N818 - caught wherever members are read, never shown as it is
    """A member cannot become a picture; the message is the short reason."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A member that is not in the set, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """One thing that should be a picture; ``read`` raises :class:`Unusable` with the reason.

    ``stamp`` changes when the content does.
    """

    name: str
    read: Callable[[], Content]
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """The members of a source in their order, and a remark for the person."""

    members: Sequence[Member]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where pictures come from; equal fingerprints mean equal pictures."""

    path: Path
    fingerprint: str
    open: Callable[[], AbstractContextManager[Contents]]


def find_source(path: Path) -> Source:
    """Look at ``path`` and say how to read it.

    Raises:
        ImageSetError: Nothing is there, or it is not a folder, zip or npz that can be opened.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _folder_source(path)
        if not stat.S_ISREG(status.st_mode) or not zipfile.is_zipfile(path):
            raise ImageSetError(
                f"{path} is not a folder, zip or npz of pictures (or the file is damaged); "
                "give the folder that holds the pictures"
            )
    except FileNotFoundError:
        raise ImageSetError(f"there is no {path}; give a folder, zip or npz of pictures") from None
    except OSError as error:
        raise ImageSetError(f"cannot read {path}: {error.strerror or error}") from None
    fingerprint = _digest([f"{path.resolve()}\0{_stamp(status)}"])
    opener = _open_npz if path.suffix.lower() == ".npz" else _open_zip
    return Source(path, fingerprint, partial(opener, path))


def picture_file(path: Path) -> Member:
    """Return one picture file as a member of a set."""
    return Member(path.name, partial(_read_file, path))


def looks_like_picture(first_bytes: bytes) -> bool:
    """Return whether a file that starts so says it is a picture."""
    webp = first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP"
    return webp or first_bytes.startswith(_MAGIC)


def _folder_source(root: Path) -> Source:
    paths = {_shown(path.relative_to(root).as_posix()): path for path in _walk(root)}
    stamps = {name: _stamp(_status(path)) for name, path in paths.items()}
    names = sorted(paths)
    members = [Member(name, partial(_read_file, paths[name]), stamps[name]) for name in names]
    lines = [f"{name}\0{stamps[name]}" for name in names]
    return Source(root, _digest(lines), lambda: nullcontext(Contents(members)))


def _walk(root: Path) -> Iterator[Path]:
    """Yield what is called a picture or starts like one, and folders that cannot be opened."""
    os.listdir(root)  # noqa: PTH208 - raises the error that os.walk would pass over
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append, followlinks=True):
        here = Path(folder)
        folders[:] = [f for f in folders if not _hidden(f) and not _is_loop(here, here / f)]
        yield from (here / f for f in folders if Path(f).suffix.lower() in PICTURE_SUFFIXES)
        yield from (here / n for n in names if not _hidden(n) and _is_picture_file(here / n))
    yield from (Path(error.filename) for error in closed)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_loop(parent: Path, folder: Path) -> bool:
    return folder.is_symlink() and parent.resolve().is_relative_to(folder.resolve())


def _is_picture_file(path: Path) -> bool:
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return looks_like_picture(file.read(16))
    except OSError:
        return False


def _read_file(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            readable = os.access(path, os.R_OK | os.X_OK)
            raise Unusable("a folder, not a file" if readable else "a folder without permission")
        if not stat.S_ISREG(status.st_mode):
            raise Unusable("not a regular file")
        if status.st_size > LARGEST_FILE:
            raise Unusable(f"larger than {LARGEST_FILE >> 20} MB")
        return path.read_bytes()
    except FileNotFoundError:
        raise Unusable("a broken link" if path.is_symlink() else "gone before reading") from None
    except PermissionError:
        raise Unusable("no permission to read") from None
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from None


def _status(path: Path) -> os.stat_result | None:
    for look in (path.stat, path.lstat):
        try:
            return look()
        except OSError:
            continue
    return None


def _stamp(status: os.stat_result | None) -> str:
    if status is None:
        return "?"
    # The mode is in, because a permission that changes leaves the other two alone.
    return f"{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _shown(name: str) -> str:
    """Return a file name that can be printed and hashed, even if its bytes are no UTF-8."""
    return name.encode(errors="backslashreplace").decode()


@contextmanager
def _open_zip(path: Path) -> Generator[Contents, None, None]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ImageSetError(f"{path} is a damaged zip: {error}; make or fetch it again") from None
    with archive:
        found = {_shown(i.filename): i for i in archive.infolist() if _is_picture_entry(archive, i)}
        yield Contents(
            [
                Member(name, partial(_read_entry, archive, entry), f"{entry.file_size}:{entry.CRC}")
                for name, entry in sorted(found.items())
            ]
        )


def _is_picture_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(entry.filename)
    if entry.is_dir() or any(_hidden(part) for part in name.parts):
        return False
    if name.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with archive.open(entry) as file:
            return looks_like_picture(file.read(16))
    except Exception:  # a damaged or encrypted member that does not even claim to be a picture
        return False


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & 1:
        raise Unusable("encrypted in the zip")
    if entry.file_size > LARGEST_FILE:
        raise Unusable(f"larger than {LARGEST_FILE >> 20} MB")
    try:
        return archive.read(entry)
    except Exception:  # zipfile raises many kinds for damaged members
        raise Unusable("damaged in the zip") from None


@contextmanager
def _open_npz(path: Path) -> Generator[Contents, None, None]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            key, pictures = _choose_array(path, arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ImageSetError(f"{path} is a damaged npz: {error}; make or fetch it again") from None
    stamp = _stamp(_status(path))
    members = [
        Member(f"{key}/{i:06d}", partial(np.ascontiguousarray, picture), stamp)
        for i, picture in enumerate(pictures)
    ]
    yield Contents(members, f"pictures from the array '{key}'")


def _choose_array(path: Path, arrays: np.lib.npyio.NpzFile) -> tuple[str, NDArray[np.uint8]]:
    """Return the array of pictures as (n, h, w) or (n, h, w, c)."""
    seen: list[str] = []
    for key in sorted(arrays.files, key=lambda k: (k not in _NPZ_KEYS, _preference(k))):
        try:
            array = arrays[key]
        except ValueError:  # objects, which only an unsafe pickle could load
            seen.append(f"'{key}': Python objects")
            continue
        seen.append(f"'{key}': {array.dtype} {array.shape}")
        if array.dtype == np.uint8 and array.ndim == 3:
            return key, array
        if array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] in (1, 2, 3, 4):
            return key, array[..., 0] if array.shape[-1] == 1 else array
        if array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] in (1, 3, 4):
            return key, array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)
    raise ImageSetError(
        f"{path} holds no array of pictures: expected uint8 of shape (n, h, w), (n, h, w, c) or "
        f"(n, c, h, w), found {'; '.join(seen) or 'nothing'}"
    )


def _preference(key: str) -> int:
    return _NPZ_KEYS.index(key) if key in _NPZ_KEYS else 0
