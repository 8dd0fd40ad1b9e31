"""The pictures in a folder and its subfolders, links included, each real file once."""

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from graftgan.pictures.file_kinds import looks_like_picture
from graftgan.pictures.members import (
    LARGEST_FILE,
    Container,
    Contents,
    Member,
    Unusable,
    has_picture_suffix,
    is_hidden,
    printable_name,
    too_large_file,
)


def folder_source(root: Path) -> Container:
    """Return the pictures below ``root``.

    Raises:
        OSError: The folder cannot be opened.
    """
    walk = _Walk()
    paths = {printable_name(path.relative_to(root).as_posix()): path for path in walk.through(root)}
    names = sorted(paths)
    members = [_member(name, paths[name]) for name in names]
    lines = [f"{member.name}\0{member.stamp}" for member in members]
    notes = walk.notes()
    return Container(root, digest((*lines, *notes)), lambda: nullcontext(Contents(members, notes)))


def picture_file(path: Path) -> Member:
    """Return one picture file as a member of a set."""
    return _member(path.name, path)


def stamp_of(status: os.stat_result | None) -> str:
    """Return what changes when a file does."""
    if status is None:
        return "?"
    # The mode is in, because a permission that changes leaves the other two alone.
    return f"{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}"


def digest(lines: Sequence[str]) -> str:
    """Return a hash of ``lines``."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _member(name: str, path: Path) -> Member:
    status = _status(path)
    size = status.st_size if status is not None else 0
    return Member(name, partial(_read_file, path), stamp_of(status), size)


@dataclass(slots=True)
class _Walk:
    """Goes through folders; links come last, so that a file keeps the name it has without them.

    Attributes:
        seen: Device and inode of every file and folder that was met.
        repeated: Links to files and folders that were met already.
    """

    seen: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    repeated: int = 0
    _later: deque[Path] = field(default_factory=deque[Path])

    def through(self, root: Path) -> Iterator[Path]:
        """Yield what is called a picture or starts like one, and what cannot be opened.

        Raises:
            OSError: The folder cannot be opened.
        """
        os.listdir(root)  # noqa: PTH208 - raises the error that a subfolder's is listed for
        self._is_new(root.stat())
        yield from self._folder(root)
        while self._later:
            yield from self._linked(self._later.popleft())

    def notes(self) -> tuple[str, ...]:
        """Return a remark on the links that were left out."""
        if not self.repeated:
            return ()
        many = "s" * (self.repeated > 1)
        return (f"left out {self.repeated} link{many} to what is in the folder already",)

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
                        yield path  # so that it is listed
                elif _is_picture_file(path) and self._is_new(path.lstat()):
                    yield path

    def _linked(self, path: Path) -> Iterator[Path]:
        try:
            status = path.stat()
        except OSError:  # broken: it may have led to a folder of pictures
            yield path
            return
        if stat.S_ISDIR(status.st_mode):
            if self._is_new(status):
                yield from self._folder(path)
        elif _is_picture_file(path) and self._is_new(status):
            yield path

    def _is_new(self, status: os.stat_result) -> bool:
        """Return whether a file or folder is met for the first time, and remember it."""
        key = (status.st_dev, status.st_ino)
        if status.st_ino and key in self.seen:  # a file system without inodes says 0
            self.repeated += 1
            return False
        self.seen.add(key)
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
        broken = error.errno == errno.ELOOP
        raise Unusable(
            "a broken link" if broken else f"cannot be read ({error.strerror})"
        ) from None


def _status(path: Path) -> os.stat_result | None:
    for look in (path.stat, path.lstat):
        try:
            return look()
        except OSError:
            continue
    return None
