"""Find the pictures in a folder, a zip or an npz, without decoding any.

Hidden files, ``__MACOSX`` and files that are not pictures by name or first bytes are ignored.
Everything else becomes a member, so that an unusable file is listed rather than dropped. A folder
is read with its subfolders and links, each real file once.
"""

import errno
import hashlib
import os
import stat
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from graftgan.core.errors import ImageSetError
from graftgan.pictures.archives import open_npz, open_zip
from graftgan.pictures.members import (
    LARGEST_FILE,
    Container,
    Contents,
    Member,
    Unusable,
    has_picture_suffix,
    is_hidden,
    looks_like_picture,
    printable_name,
    too_large_file,
)


def find_container(path: Path) -> Container:
    """Return how to read the pictures at ``path``; ImageSetError: it is not a readable source."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _folder(path)
        if not stat.S_ISREG(status.st_mode) or not _is_zip(path):
            raise ImageSetError(
                f"{path} is not a folder, zip or npz of pictures (or the file is damaged); "
                "give the folder that holds the pictures"
            )
    except FileNotFoundError:
        raise ImageSetError(f"there is no {path}; give a folder, zip or npz of pictures") from None
    except OSError as error:
        raise ImageSetError(f"cannot read {path}: {error.strerror or error}") from None
    stamp = _stamp_of(status)
    is_npz = path.suffix.lower() == ".npz"
    if is_npz != _holds_arrays(path, otherwise=is_npz):
        what, ending = ("zip", ".zip") if is_npz else ("npz", ".npz")
        raise ImageSetError(f"{path} is actually a whole {what}; rename it to end in {ending}")
    opener = partial(open_npz, stamp=stamp) if is_npz else open_zip
    return Container(path, _digest([f"{path.resolve()}\0{stamp}"]), partial(opener, path))


def picture_file(path: Path, name: str | None = None) -> Member:
    """Return one picture file as a member, under ``name`` or its own file name."""
    status = _status(path)
    size = status.st_size if status is not None else 0
    return Member(name or path.name, partial(_read_file, path), _stamp_of(status), size)


def _holds_arrays(path: Path, *, otherwise: bool) -> bool:
    """Return whether all files in a zip are arrays; ``otherwise`` if that is unclear."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except Exception:  # zipfile raises many kinds for damaged files; opening it reports that
        return otherwise
    arrays = sum(name.endswith(".npy") for name in names)
    return otherwise if 0 < arrays < len(names) or not names else arrays > 0


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # a zip whose end is damaged; opening it reports that
        return True


def _folder(root: Path) -> Container:
    walk = _Walk()
    paths = {printable_name(path.relative_to(root).as_posix()): path for path in walk.through(root)}
    members = [picture_file(paths[name], name) for name in sorted(paths)]
    lines = [f"{member.name}\0{member.stamp}" for member in members]
    links = f"{walk.repeated} link{'s' * (walk.repeated > 1)}"
    notes = (f"left out {links} to what is in the folder already",) if walk.repeated else ()
    return Container(root, _digest((*lines, *notes)), lambda: nullcontext(Contents(members, notes)))


def _stamp_of(status: os.stat_result | None) -> str:
    """Return a stamp that changes with a file, also when only its permissions do."""
    return "?" if status is None else f"{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Walk:
    """A walk through folders; links come last, so that they do not change the name of a file."""

    def __init__(self) -> None:
        self.repeated = 0  # links to files and folders that were visited already
        self._seen: set[tuple[int, int]] = set()  # device and inode of every file and folder
        self._later: deque[Path] = deque()

    def through(self, root: Path) -> Iterator[Path]:
        """Yield files that are pictures by name or first bytes, and what cannot be opened."""
        os.listdir(root)  # noqa: PTH208 - raises the error that a subfolder's is listed for
        self._is_new(root.stat())
        yield from self._folder(root)
        while self._later:
            yield from self._linked(self._later.popleft())

    def _folder(self, folder: Path) -> Iterator[Path]:
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            try:
                entries = sorted(os.scandir(here), key=lambda entry: entry.name)
            except OSError:
                yield here
                continue
            for entry in (entry for entry in entries if not is_hidden(entry.name)):
                path = here / entry.name
                if entry.is_symlink():
                    self._later.append(path)
                elif entry.is_dir():
                    if self._is_new(path.stat()):
                        waiting.append(path)
                    if has_picture_suffix(entry.name):
                        yield path  # so that it is listed as unusable
                elif _is_picture_file(path) and self._is_new(path.lstat()):
                    yield path

    def _linked(self, path: Path) -> Iterator[Path]:
        try:
            status = path.stat()
        except OSError:  # a broken link may have led to a folder of pictures
            yield path
            return
        if stat.S_ISDIR(status.st_mode):
            if self._is_new(status):
                yield from self._folder(path)
        elif _is_picture_file(path) and self._is_new(status):
            yield path

    def _is_new(self, status: os.stat_result) -> bool:
        """Return whether a file or folder is visited for the first time, and remember it."""
        key = (status.st_dev, status.st_ino)
        if status.st_ino and key in self._seen:  # 0: the file system has no inodes
            self.repeated += 1
            return False
        self._seen.add(key)
        return True


def _is_picture_file(path: Path) -> bool:
    if has_picture_suffix(path.name):
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
            raise Unusable(too_large_file())
        return path.read_bytes()
    except FileNotFoundError:
        raise Unusable("a broken link" if path.is_symlink() else "gone before reading") from None
    except PermissionError:
        raise Unusable("no permission to read") from None
    except OSError as error:
        is_broken = error.errno == errno.ELOOP
        why = "a broken link" if is_broken else f"cannot be read ({error.strerror})"
        raise Unusable(why) from None


def _status(path: Path) -> os.stat_result | None:
    for look in (path.stat, path.lstat):
        try:
            return look()
        except OSError:
            continue
    return None
