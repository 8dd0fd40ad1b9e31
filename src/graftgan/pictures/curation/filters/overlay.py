"""What was drawn onto a picture: logos, stickers, captions, bars of a screen."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from graftgan.pictures.curation.filters.filter import FILTERS, Filter
from graftgan.pictures.curation.view import PictureView

_LONGEST = 768
_FLAT = 4  # pixels on each side of an edge that must be even
_GAP = 2  # pixels within which the edge must be over
_EVEN = 5  # brightness by which they may vary
_STEP = 60  # brightness between the two sides
_CLIPPED = (3, 252)  # brightness beyond which cameras too are even


def drawn_edges(view: PictureView) -> float:
    """Return the length of edges between two even sides, over the picture's mean side.

    A camera's pictures have noise beside their edges, what is drawn has none. Both sides at the
    ends of the scale do not count: overexposed skies are even, too.
    """
    plane = view.gray(_LONGEST)
    count = _count(plane) + _count(np.ascontiguousarray(plane.T))
    return count / (0.5 * sum(plane.shape))


def _count(plane: NDArray[np.uint8]) -> int:
    """Return how many vertical edges, each one pixel long, have two even sides."""
    reach, across = _FLAT + _GAP, plane.shape[1] - _FLAT + 1
    if across <= reach:
        return 0
    shifted = [plane[:, i : i + across] for i in range(_FLAT)]
    low, high = reduce(np.minimum, shifted), reduce(np.maximum, shifted)
    even = high - low <= _EVEN
    before, after = low[:, :-reach], low[:, reach:]
    darker, brighter = np.minimum(before, after), np.maximum(before, after)
    edges = even[:, :-reach] & even[:, reach:] & (brighter - darker >= _STEP)
    edges &= (darker > _CLIPPED[0]) | (brighter < _CLIPPED[1])
    # An edge shows in several windows side by side: the first alone counts.
    edges[:, 1:] &= ~edges[:, :-1]
    return int(edges.sum())


FILTERS.register("overlay")(
    Filter(
        found="has something drawn on it",
        missing="has nothing drawn on it",
        score="length of even edges over the mean side",
        side="at_least",
        threshold=0.7,
        build=lambda _: drawn_edges,
    )
)
