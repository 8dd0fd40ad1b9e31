"""What a file of weights may cost, whatever it says: memory, instructions, and keys to hash."""

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_STEPS = 1_000_000  # instructions of one file; the largest known networks have 60,000
_SLACK = 1 << 20  # bytes that any file may take beside its own size
_LONGEST_KEY = 4096  # characters
_LARGEST_KEY = 1 << 64


class UnreadableError(Exception):
    """The file cannot be read; the text says why."""


class RefusedError(UnreadableError):
    """The file asks for what no network needs; the text says for what."""


@dataclass(slots=True)
class ReadingBudget:
    """What one file may still cost, with everything in it."""

    bytes_left: int
    steps_left: int = MOST_STEPS

    @classmethod
    def of_file(cls, size: int) -> "ReadingBudget":
        """Return that of a file of ``size`` bytes: twice as much memory, and as many steps."""
        return cls(2 * size + _SLACK)

    def take(self, size: int) -> None:
        """Pay for ``size`` bytes.

        Raises:
            RefusedError: There are not as many left.
        """
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise RefusedError("unpacks to far more than its own size, which no network does")

    def step(self, count: int = 1) -> None:
        """Pay for ``count`` instructions.

        Raises:
            RefusedError: There are not as many left.
        """
        self.steps_left -= count
        if self.steps_left < 0:
            raise RefusedError("has more instructions than any network needs")


class BoundedFile:
    """A part of a file, which is never asked for more than it has."""

    def __init__(self, file: BinaryIO, begin: int = 0, size: int | None = None) -> None:
        end = file.seek(0, io.SEEK_END)
        self._file = file
        self.left = end - begin if size is None else min(size, end - begin)
        file.seek(begin)

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes.

        Raises:
            UnreadableError: There are not as many.
        """
        if not 0 <= size <= self.left:
            raise UnreadableError("it ends too early")
        self.left -= size
        return self._file.read(size)

    def readinto(self, space: memoryview) -> None:
        """Fill ``space`` with the next bytes.

        Raises:
            UnreadableError: There are not as many.
        """
        if len(space) > self.left:
            raise UnreadableError("it ends too early")
        self.left -= len(space)
        self._file.readinto(space)  # type: ignore[attr-defined]

    def readline(self) -> bytes:
        """Return the rest of the line."""
        line = self._file.readline(max(self.left, 0))
        self.left -= len(line)
        return line

    def tell(self) -> int:
        """Return the place in the whole file."""
        return self._file.tell()


def checked_key(key: Any) -> Any:
    """Return a key whose hash costs nothing.

    Raises:
        RefusedError: It is none.
    """
    if (
        (type(key) is str and len(key) <= _LONGEST_KEY)
        or (type(key) is int and -_LARGEST_KEY < key < _LARGEST_KEY)
        or type(key) in {float, bool, type(None)}
    ):
        return key
    raise RefusedError(
        f"has a key that is a {type(key).__name__}, where networks have short texts and numbers"
    )
