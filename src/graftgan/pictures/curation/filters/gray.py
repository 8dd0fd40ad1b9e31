"""Pictures without colours."""

import numpy as np

from graftgan.pictures.curation.filters.filter import FILTERS, Filter
from graftgan.pictures.curation.view import PictureView

_LONGEST = 256  # pixels at which colours are looked at: less of the noise of JPEG is left
_SHARE = 0.95  # of the pixels that must be without colour: a logo in the corner may have one
_NEUTRAL = 128.0  # what Cb and Cr are where there is no colour


def colourfulness(view: PictureView) -> float:
    """Return how far from gray the pixels are: the length of (Cb, Cr) that 5 % of them reach.

    In levels, 0 to about 180. Black-and-white photographs have less than 1, also from JPEG files;
    toned ones such as sepia have about 20, as pale colour photographs do, and count as colour.
    """
    pixels = np.asarray(view.shrunk(_LONGEST).convert("YCbCr"), dtype=np.float64)
    colour = pixels[..., 1:] - _NEUTRAL
    return float(np.quantile(np.hypot(colour[..., 0], colour[..., 1]), _SHARE))


FILTERS.register("gray")(
    Filter(
        found="is gray",
        missing="is in colour",
        score="colour that 5 % of the pixels reach, in levels",
        side="at_most",
        threshold=2.5,
        build=lambda _: colourfulness,
    )
)
