"""Locks that end with the process that holds them, also after ``kill -9``."""

import errno
import json
import os
import platform
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path

from graftgan.core.errors import RunError
from graftgan.core.files import parse_json

LOCK = ".lock"
"""Inside a folder that one process at a time may write."""
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}


class FileLock:
    """A lock on a file, between processes of one machine.

    The file says which process holds it, for those that find it taken. Where the file system knows
    no locks, every process gets the lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock; return whether that was possible without waiting, or after it.

        Raises:
            OSError: The file cannot be opened.
        """
        file = self._path.open("ab+", buffering=0)
        try:
            _lock(file, wait=wait)
        except OSError as error:
            if error.errno in _BUSY:
                file.close()
                return False
        self._file = file
        with suppress(OSError):  # a full disk: then nobody is named
            file.truncate(0)
            file.write(_own_words())
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def holder(self) -> str:
        """Return in words which process holds the lock, as far as the file says."""
        try:
            said = parse_json(self._path.read_bytes())
            words = f"process {int(said['pid'])} on {said['machine']}, since {said['since']}"
            return f"{words}: {said['command']}"
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return "another process"

    def __enter__(self) -> "FileLock":
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Hold the lock of ``folder``, so that no other process writes there meanwhile.

    Raises:
        RunError: Another process holds it, or the folder cannot be written.
    """
    lock = FileLock(folder / LOCK)
    try:
        free = lock.acquire(wait=False)
    except OSError as error:
        raise RunError(f"cannot write in {folder}: {error.strerror or error}") from None
    if not free:
        raise RunError(
            f"{folder} is in use by {lock.holder()}; wait until that process has ended, or stop it"
        )
    try:
        yield
    finally:
        lock.release()


def refuse_busy(folder: Path) -> None:
    """Check that no process is at work in ``folder``; one that may use no lock is not seen.

    Raises:
        RunError: One is, and the message names it.
    """
    if (folder / LOCK).is_file():
        with held(folder):
            pass


def _own_words() -> bytes:
    said = {
        "pid": os.getpid(),
        "machine": platform.node(),
        "since": datetime.now().isoformat(sep=" ", timespec="seconds"),
        "command": " ".join(["graftgan", *sys.argv[1:]]),
    }
    return json.dumps(said).encode()


if sys.platform == "win32":
    import msvcrt
    import time

    _BEYOND = 1 << 30  # a locked byte cannot be read there: lock one after all that is written

    def _lock(file: FileIO, *, wait: bool) -> None:
        while True:
            file.seek(_BEYOND)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    raise
                time.sleep(0.05)
            else:
                return

else:
    import fcntl

    def _lock(file: FileIO, *, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
