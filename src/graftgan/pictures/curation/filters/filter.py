"""What a filter is, and what it looks at: it reads a score off a picture that was decoded once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.core.registry import Registry

LONGEST = 1024
"""Pixels of the longer side that filters see; a larger picture is shrunk once, for all of them."""
Mode = Literal["off", "reject", "keep_only"]
"""Not looked at; a picture where it is found is rejected; one where it is not found is."""
Reading = float | str
"""A score, or the mark that a comparison of all pictures starts from."""


@dataclass(frozen=True, slots=True)
class PictureView:
    """A picture that was decoded once, however many filters look at it."""

    image: Image.Image  # upright, RGB, the longer side at most LONGEST
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
        """Return its brightness (height, width), the longer side at most ``longest`` pixels."""
        return np.asarray(self.shrunk(longest).convert("L"), dtype=np.uint8)


def picture_view(image: Image.Image, size: tuple[int, int]) -> PictureView:
    """Return the view of a decoded RGB picture whose file has ``size`` (width, height)."""
    width, height = size
    if (image.width > image.height) != (width > height):  # the file lies on its side
        width, height = height, width
    image = _thumbnail(image, LONGEST) if max(image.size) > LONGEST else image
    return PictureView(image, width, height)


def _thumbnail(image: Image.Image, longest: int) -> Image.Image:
    small = image.copy()
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


FilterFunction = Callable[[PictureView], Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What filters are built with."""

    face_detector: Path | None = None  # YuNet in ONNX; None: the detector that a package brings


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrejectedPicture:
    """A picture that no filter of single pictures has rejected."""

    name: str
    pixels: int  # in its file
    readings: Mapping[str, Reading]  # by filter


@dataclass(frozen=True, slots=True)
class Compared:
    """The score of a picture beside all others, and which of them it is about."""

    score: float
    beside: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One thing that can be found in a picture."""

    found: str  # said of a picture where it is found, such as "has text"
    missing: str  # said where it is not, such as "has no text"
    score: str  # what the score is, with its unit
    side: Literal["at_least", "at_most"]  # found at scores of at least, or at most, the threshold
    threshold: float  # the usual one
    mode: Mode = "reject"  # the usual one
    dear: bool = False  # takes long, so that it looks only at what cheaper ones leave
    # Returns the measure, once for each process; a missing package or file raises SettingsError
    # with what to do.
    build: Callable[[Tools], FilterFunction]
    # Makes scores of the marks of all candidates, in their order; None: each reading is a score.
    compare: Callable[[Sequence[UnrejectedPicture]], Sequence[Compared]] | None = None

    def finds(self, score: float, threshold: float) -> bool:
        """Return whether a picture with ``score`` has what this filter looks for."""
        return score >= threshold if self.side == "at_least" else score <= threshold


FILTERS: Registry[Filter] = Registry("filter")
