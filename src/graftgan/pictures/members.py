"""What a source of pictures holds: members that should be pictures, and how each is read."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

Content = bytes | NDArray[np.uint8]  # a file's bytes, or the pixels (h, w) or (h, w, c)

# fmt: off
PICTURE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".svg", ".tga",
    ".tif", ".tiff", ".webp",
))
# fmt: on
LARGEST_FILE = 512 * 2**20  # bytes; a larger file is no picture of at most 100 megapixels


class Unusable(Exception):  # noqa: N818 - caught wherever members are read, never shown as it is
    """A member cannot become a picture; the message is the short reason."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A member that is not in the set, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """One thing that should be a picture.

    Attributes:
        name: Relative to the source, with ``/`` between folders.
        read: Returns the content; raises :class:`Unusable` with the reason.
        stamp: Changes when the content does.
        size: Of the content in bytes, as far as it is known before reading.
    """

    name: str
    read: Callable[[], Content]
    stamp: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """The members of a source in their order, and remarks for the person.

    ``side`` is the shorter one of every picture, where all have one size.
    """

    members: Sequence[Member]
    notes: tuple[str, ...] = ()
    side: int | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """Where pictures come from; equal fingerprints mean equal pictures."""

    path: Path
    fingerprint: str
    open: Callable[[], AbstractContextManager[Contents]]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left out without a word."""
    return name.startswith(".") or name == "__MACOSX"


def has_picture_suffix(name: str) -> bool:
    """Return whether a file name says that it is a picture."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def printable_name(name: str) -> str:
    """Return a file name that can be printed and hashed, even if its bytes are no UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def too_large_file(largest: int = LARGEST_FILE) -> str:
    """Return the reason for a member of more than ``largest`` bytes."""
    return f"larger than {largest >> 20} MB"
