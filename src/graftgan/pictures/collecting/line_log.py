"""A file of JSON lines that only grows, each line on the disk before the next thing happens."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftgan.core.errors import CollectError


class Journal:
    """Appends to ``path``, whose last line is whole; close it when done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise _explained(error, path) from None

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line, which a kill or a power cut later does not take away.

        Raises:
            CollectError: The disk is full, or the place cannot be written.
        """
        try:
            left = json.dumps(line).encode() + b"\n"
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _explained(error, self._path) from None

    def close(self) -> None:
        """Add nothing more."""
        self._file.close()


def is_torn(path: Path) -> bool:
    """Return whether the last line of a file was cut short."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _explained(error: OSError, path: Path) -> CollectError:
    reason = error.strerror or str(error)
    return CollectError(f"cannot write {path}: {reason}; free some space or choose another folder")
