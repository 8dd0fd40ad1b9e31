"""Frames around a picture: letterboxes, screenshots, prints on a white ground."""

import numpy as np
from numpy.typing import NDArray

from graftgan.pictures.curation.filters.filter import FILTERS, Filter
from graftgan.pictures.curation.view import PictureView

_LONGEST = 192  # pixels at which frames are looked for
_EVEN = 14  # brightness by which a frame may vary, for the sake of JPEG
_STEP = 24  # brightness by which the picture must part from its frame
_STRAIGHT = 0.6  # share of the edge's length at which it must part at once
_WHOLE = 0.98  # of a row that must be even
_SLACK = 3  # rows within which it must
_MOST = 0.45  # of a side's length that a frame may take


def share_of_border(view: PictureView) -> float:
    """Return the share of the picture's area that lies in a frame of one colour.

    A frame ends at once along the whole edge; a plain background, which does not, is none.
    """
    pixels = view.pixels(_LONGEST).astype(np.int16)
    turned = pixels.transpose(1, 0, 2)
    top, bottom, left, right = map(_depth, (pixels, pixels[::-1], turned, turned[::-1]))
    height, width = pixels.shape[:2]
    inside = max(0, height - top - bottom) * max(0, width - left - right)
    return 1 - inside / (height * width)


def _depth(pixels: NDArray[np.int16]) -> int:
    """Return how many of the first rows are a frame."""
    colour = np.median(pixels[0], axis=0).astype(np.int16)
    apart = np.abs(pixels[: int(_MOST * len(pixels)) + _SLACK] - colour).max(axis=2)
    even = (apart <= _EVEN).mean(axis=1) >= _WHOLE
    if even.all() or not even[0]:
        return 0
    rows = int(np.argmin(even))
    # Where a frame on the other sides goes on, nothing parts: only what is inside them counts.
    inside = np.flatnonzero(apart[rows:].max(axis=0) > _EVEN)
    parted = apart[rows : rows + _SLACK].max(axis=0) >= _STEP
    return rows if parted[inside[0] : inside[-1] + 1].mean() >= _STRAIGHT else 0


FILTERS.register("border")(
    Filter(
        found="has a border",
        missing="has no border",
        score="share of the area that is a frame",
        side="at_least",
        threshold=0.02,
        build=lambda _: share_of_border,
    )
)
