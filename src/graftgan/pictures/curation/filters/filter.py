"""Filters: each takes a reading of a picture, which is decoded once for all of them."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.core.errors import SettingsError
from graftgan.core.registry import Registry
from graftgan.core.settings import Count

LONGEST_SIDE = 1024
"""The most pixels of the longer side that filters see; larger pictures are shrunk once for all."""
Mode = Literal["off", "reject", "keep_only"]
"""Do not run the filter; reject pictures where it finds something; reject all others."""
Reading = float | str
"""A score, or a mark from which the comparison of all pictures computes one."""


@dataclass(frozen=True, slots=True)
class PictureView:
    """A decoded picture, shared by all filters."""

    image: Image.Image  # upright, RGB, the longer side at most LONGEST_SIDE
    width: int  # in the file, in pixels, upright
    height: int
    _scaled: dict[int, Image.Image] = field(default_factory=dict[int, Image.Image], repr=False)

    def shrunk(self, longest: int) -> Image.Image:
        """Return the picture in RGB with its longer side at most ``longest`` pixels."""
        if longest >= max(self.image.size):
            return self.image
        if longest not in self._scaled:
            self._scaled[longest] = _thumbnail(self.image, longest)
        return self._scaled[longest]

    def gray(self, longest: int) -> NDArray[np.uint8]:
        """Return the brightness (height, width), the longer side at most ``longest`` pixels."""
        return np.asarray(self.shrunk(longest).convert("L"), dtype=np.uint8)


def picture_view(image: Image.Image, size: tuple[int, int]) -> PictureView:
    """Return the view of a decoded RGB picture whose file has ``size`` (width, height)."""
    width, height = size
    if (image.width > image.height) != (width > height):  # the file lies on its side
        width, height = height, width
    image = _thumbnail(image, LONGEST_SIDE) if max(image.size) > LONGEST_SIDE else image
    return PictureView(image, width, height)


def _thumbnail(image: Image.Image, longest: int) -> Image.Image:
    small = image.copy()
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


FilterFunction = Callable[[PictureView], Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Optional files that filters use."""

    face_detector: Path | None = None  # YuNet in ONNX; None: the detector of dlib


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReadings:
    """What is known about one picture."""

    name: str  # relative to the raw folder or zip
    stamp: str  # changes when the file does
    sha256: str  # of the file's bytes; empty if it cannot be read
    size: tuple[Count, Count]  # width and height in pixels, upright
    readings: Mapping[str, Reading]  # by the name of each filter that has run on it
    unusable: str | None = None  # why it is not a usable picture

    @property
    def pixels(self) -> int:
        """The number of pixels in the file."""
        return self.size[0] * self.size[1]

    def as_line(self) -> dict[str, Any]:
        """Return it as plain data."""
        line = asdict(self)
        if self.unusable is None:
            del line["unusable"]
        return line


@dataclass(frozen=True, slots=True)
class Compared:
    """The score of a picture compared with all others, and the name of the other it refers to."""

    score: float
    beside: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Finds one property in pictures."""

    found: str  # said of a picture that has it, such as "has text"
    missing: str  # said of one that does not, such as "has no text"
    score: str  # the meaning of the score, with its unit
    side: Literal["at_least", "at_most"]  # found at scores of at least, or at most, the threshold
    threshold: float  # the default
    mode: Mode = "reject"  # the default
    dear: bool = False  # slow, so that it runs only on pictures that cheaper filters keep
    # Returns the measure, once for each process; SettingsError: a package or file is missing.
    build: Callable[[Tools], FilterFunction]
    # Turns the marks of all candidates into scores, in order; None: each reading is a score.
    compare: Callable[[Sequence[PictureReadings]], Sequence[Compared]] | None = None

    def finds(self, score: float, threshold: float) -> bool:
        """Return whether a picture with ``score`` has the property."""
        return score >= threshold if self.side == "at_least" else score <= threshold


def load_package(name: str, *, needed_by: str, needs: str) -> Any:
    """Import an optional package; SettingsError says that the filter ``needed_by`` ``needs`` it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SettingsError(
            f"the filter {needed_by} needs {needs} missing; run "
            "'pip install \"graftgan[curate]\"', or turn it off"
        ) from None


FILTERS: Registry[Filter] = Registry("filter")
