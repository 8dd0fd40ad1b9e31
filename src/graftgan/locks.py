"""Locks that end with the process that holds them, also after ``kill -9``."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


class FileLock:
    """A lock on a file, between processes of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock; return whether that was possible without waiting, or after it."""
        file = self._path.open("ab")
        try:
            _lock(file, wait=wait)
        except OSError:
            file.close()
            if wait:
                raise
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "FileLock":
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(file: IO[bytes], *, wait: bool) -> None:
        while wait:
            with suppress(OSError):
                _lock(file, wait=False)
                return
            time.sleep(0.05)
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
