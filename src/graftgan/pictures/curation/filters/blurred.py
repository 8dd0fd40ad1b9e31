"""Pictures whose sharpest parts are not sharp."""

import numpy as np
from numpy.typing import NDArray

from graftgan.pictures.curation.filters.filter import FILTERS, Filter
from graftgan.pictures.curation.view import PictureView

_LONGEST = 512  # pixels at which sharpness is judged; a smaller picture is not enlarged
_BLOCK = 32  # side of the parts that are told apart, in pixels
_SMALL = 128  # a picture with a shorter side than this has parts of half the side
_SHARPEST = 0.1  # share of the parts that are looked at: a subject, not its background
_STRUCTURED = 0.25  # share of the parts whose two finest octaves are compared
_NOISE = 0.5  # squared levels, so that the frequencies of an even ground say nothing
_BINOMIAL = np.array([1, 4, 6, 4, 1], dtype=np.float32) / 16

LumaPlane = NDArray[np.float32]
"""Brightness or what is made of it (height, width), or a value for each block."""


def sharpness(view: PictureView) -> float:
    """Return how sharp the sharpest parts are, in the direction in which they are least so.

    Two measures, multiplied, as each is fooled by something. The variance of the Laplacian
    (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy") rises with contrast
    as well as with sharpness. What the finest octave of frequencies holds of the next one does not
    know contrast: it is near 1 and above where edges are as sharp as pixels allow, and near 0.4
    where they are not. The product falls with blur until only the rounding to levels is left,
    at about 1.
    Differs from the source: the root of the variance, over the sharpest tenth of the blocks, and
    of the second difference along one direction, doubled (the Laplacian is the sum of both): what
    moved sideways still has edges along its way.
    """
    gray = view.gray(_LONGEST).astype(np.float32)
    block = _BLOCK if min(gray.shape) >= _SMALL else _BLOCK // 2
    return min(_along_rows(gray, block), _along_rows(np.ascontiguousarray(gray.T), block))


def _along_rows(gray: LumaPlane, block: int) -> float:
    """Return the sharpness in the direction of the rows."""
    padded = np.pad(gray, ((0, 0), (1, 1)), mode="edge")
    bent = (2 * gray - padded[:, :-2] - padded[:, 2:]) ** 2
    edges = np.sort(_of_blocks(bent, block))
    sharpest = edges[-max(1, round(_SHARPEST * len(edges))) :]
    return float(2 * np.sqrt(sharpest.mean()) * _finest_octave(gray, block))


def _finest_octave(gray: LumaPlane, block: int) -> float:
    """Return the finest octave's amplitude over the next one's, where there is structure."""
    once = _smoothed(gray, 1)
    finest = _of_blocks((gray - once) ** 2, block)
    coarser = _of_blocks((once - _smoothed(once, 2)) ** 2, block)
    structured = np.argsort(coarser)[-max(1, round(_STRUCTURED * len(coarser))) :]
    return float(np.sqrt(finest[structured].mean() / (coarser[structured].mean() + _NOISE)))


def _smoothed(gray: LumaPlane, step: int) -> LumaPlane:
    """Return the rows without their finest frequencies: a binomial filter, taps ``step`` apart."""
    width, reach = gray.shape[1], 2 * step
    padded = np.pad(gray, ((0, 0), (reach, reach)), mode="edge")
    smooth = np.zeros_like(gray)
    for tap, weight in enumerate(_BINOMIAL):
        smooth += weight * padded[:, tap * step : tap * step + width]
    return smooth


def _of_blocks(plane: LumaPlane, side: int) -> LumaPlane:
    """Return the mean of each square of ``side`` pixels, or of all where not one fits."""
    down, across = (length // side for length in plane.shape)
    if not (down and across):
        return plane.mean(keepdims=True).ravel()
    whole = plane[: down * side, : across * side]
    return whole.reshape(down, side, across, side).mean(axis=(1, 3)).ravel()


FILTERS.register("blurred")(
    Filter(
        found="is blurred",
        missing="is sharp",
        score="sharpness of the sharpest parts, in levels",
        side="at_most",
        threshold=5.0,
        build=lambda _: sharpness,
    )
)
