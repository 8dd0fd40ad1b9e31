"""What a filter is: it reads a score off a picture and says from where on something is found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graftgan.core.registry import Registry
from graftgan.pictures.curation.view import PictureView

Mode = Literal["off", "reject", "keep_only"]
"""Not looked at; a picture where it is found is rejected; one where it is not found is."""
Reading = float | str
"""A score, or the mark that a comparison of all pictures starts from."""
FilterFunction = Callable[[PictureView], Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What filters are built with.

    Attributes:
        face_detector: A file of YuNet in ONNX; None: the detector that a package brings.
    """

    face_detector: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrejectedPicture:
    """A picture that no filter of single pictures has rejected.

    Attributes:
        name: Of the picture.
        pixels: In its file.
        readings: By filter.
    """

    name: str
    pixels: int
    readings: Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class Compared:
    """The score of a picture beside all others, and which of them it is about."""

    score: float
    beside: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One thing that can be found in a picture.

    Attributes:
        found: What is said of a picture where it is found, such as ``has text``.
        missing: What is said where it is not, such as ``has no text``.
        score: What the score is, with its unit.
        side: Found at scores of at least, or at most, the threshold.
        threshold: The usual one.
        mode: The usual one.
        dear: Takes long, so that it looks only at what cheaper ones leave.
        build: Return the measure, once for each process; a missing package or file raises
            SettingsError with what to do.
        compare: Makes scores of the marks of all candidates, in their order; None: each reading
            is a score.
    """

    found: str
    missing: str
    score: str
    side: Literal["at_least", "at_most"]
    threshold: float
    mode: Mode = "reject"
    dear: bool = False
    build: Callable[[Tools], FilterFunction]
    compare: Callable[[Sequence[UnrejectedPicture]], Sequence[Compared]] | None = None

    def finds(self, score: float, threshold: float) -> bool:
        """Return whether a picture with ``score`` has what this filter looks for."""
        return score >= threshold if self.side == "at_least" else score <= threshold


FILTERS: Registry[Filter] = Registry("filter")
