"""Filters of the pixels alone: blur, borders, duplicates, gray, overlays, size and shape."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.pictures.curation.filters.filter import (
    FILTERS,
    Compared,
    Filter,
    PictureReadings,
    PictureView,
)

_BLUR_LONGEST = 512  # pixels at which sharpness is measured; a smaller picture is not enlarged
_BLOCK = 32  # side of a block, in pixels
_SMALL = 128  # a picture with a shorter side than this has blocks of half the side
_SHARPEST = 0.1  # share of the blocks that count: the subject, not its background
_STRUCTURED = 0.25  # share of the blocks whose two finest octaves are compared
_NOISE = 0.5  # squared levels, so that the frequencies of a flat background do not count
_BINOMIAL = np.array([1, 4, 6, 4, 1], dtype=np.float32) / 16

_FRAME_LONGEST = 192  # pixels at which frames are searched
_FRAME_EVEN = 14  # levels by which a frame may vary, because of JPEG
_FRAME_STEP = 24  # levels by which the picture must differ from its frame
_STRAIGHT = 0.6  # share of the edge's length at which it must differ at once
_WHOLE = 0.98  # share of a row that must be flat
_SLACK = 3  # rows within which the picture must differ
_MOST = 0.45  # share of a side that a frame may take

_SIDE, _KEPT = 32, 8  # pixels that are transformed, and frequencies of each axis that are kept
_BITS = _KEPT * _KEPT
_AT_ONCE = 512  # pictures compared with all others

_GRAY_LONGEST = 256  # pixels at which colours are measured, which averages out the noise of JPEG
_SHARE = 0.95  # of the pixels must be without colour: a logo in the corner may have one
_NEUTRAL = 128.0  # Cb and Cr of gray

_EDGE_LONGEST = 768
_FLAT = 4  # pixels on each side of an edge that must be flat
_GAP = 2  # pixels that an edge may be wide
_EVEN = 5  # levels by which a flat side may vary
_STEP = 60  # levels between the two sides
_CLIPPED = (3, 252)  # levels beyond which photographs are flat, too

_Plane = NDArray[np.float32]  # a quantity for each pixel (h, w), or for each block


def sharpness(view: PictureView) -> float:
    """Return the sharpness of the sharpest blocks, along the axis on which it is lower.

    This is the product of two measures, since each can be fooled. The variance of the Laplacian
    (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy") rises with contrast
    as well as with sharpness. The ratio of the finest octave's amplitude to the next one's does not
    depend on contrast: it is about 1 or more where edges are as sharp as pixels allow, and about
    0.4 where they are not. The product falls with blur down to about 1, from rounding to levels.
    Differs from the source: the root of the variance, over the sharpest tenth of the blocks, and
    of the second difference along one axis, doubled (the Laplacian is the sum of both), since
    motion blur leaves the edges along the motion sharp.
    """
    gray = view.gray(_BLUR_LONGEST).astype(np.float32)
    block = _BLOCK if min(gray.shape) >= _SMALL else _BLOCK // 2
    return min(_along_rows(gray, block), _along_rows(np.ascontiguousarray(gray.T), block))


def _along_rows(gray: _Plane, block: int) -> float:
    padded = np.pad(gray, ((0, 0), (1, 1)), mode="edge")
    bent = (2 * gray - padded[:, :-2] - padded[:, 2:]) ** 2
    edges = np.sort(_of_blocks(bent, block))
    sharpest = edges[-max(1, round(_SHARPEST * len(edges))) :]
    return float(2 * np.sqrt(sharpest.mean()) * _finest_octave(gray, block))


def _finest_octave(gray: _Plane, block: int) -> float:
    """Return the finest octave's amplitude over the next one's, where there is structure."""
    once = _smoothed(gray, 1)
    finest = _of_blocks((gray - once) ** 2, block)
    coarser = _of_blocks((once - _smoothed(once, 2)) ** 2, block)
    structured = np.argsort(coarser)[-max(1, round(_STRUCTURED * len(coarser))) :]
    return float(np.sqrt(finest[structured].mean() / (coarser[structured].mean() + _NOISE)))


def _smoothed(gray: _Plane, step: int) -> _Plane:
    """Return the rows without their finest frequencies: a binomial filter, taps ``step`` apart."""
    width, reach = gray.shape[1], 2 * step
    padded = np.pad(gray, ((0, 0), (reach, reach)), mode="edge")
    smooth = np.zeros_like(gray)
    for tap, weight in enumerate(_BINOMIAL):
        smooth += weight * padded[:, tap * step : tap * step + width]
    return smooth


def _of_blocks(plane: _Plane, side: int) -> _Plane:
    """Return the mean of each square of ``side`` pixels, or of the whole plane if none fits."""
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


def share_of_border(view: PictureView) -> float:
    """Return the share of the picture's area that is a frame of one colour.

    A frame ends abruptly along the whole edge; a plain background does not.
    """
    pixels = np.asarray(view.shrunk(_FRAME_LONGEST), dtype=np.uint8).astype(np.int16)
    turned = pixels.transpose(1, 0, 2)
    top, bottom, left, right = map(_frame_depth, (pixels, pixels[::-1], turned, turned[::-1]))
    height, width = pixels.shape[:2]
    inside = max(0, height - top - bottom) * max(0, width - left - right)
    return 1 - inside / (height * width)


def _frame_depth(pixels: NDArray[np.int16]) -> int:
    """Return how many of the first rows are a frame."""
    colour = np.median(pixels[0], axis=0).astype(np.int16)
    apart = np.abs(pixels[: int(_MOST * len(pixels)) + _SLACK] - colour).max(axis=2)
    even = (apart <= _FRAME_EVEN).mean(axis=1) >= _WHOLE
    if even.all() or not even[0]:
        return 0
    rows = int(np.argmin(even))
    # Frames of the other sides do not end here: only what is inside them counts.
    inside = np.flatnonzero(apart[rows:].max(axis=0) > _FRAME_EVEN)
    parted = apart[rows : rows + _SLACK].max(axis=0) >= _FRAME_STEP
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


def perceptual_hash(view: PictureView) -> str:
    """Return the hashes of the picture and of its mirror image, 16 hexadecimal digits each.

    A bit says whether a low frequency of the cosine transform is above their median.
    Source: Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010,
    section 3.2.1. Differs: 32 x 32 pixels by Lanczos, without a mean filter before.
    """
    small = view.shrunk(8 * _SIDE).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    plane = np.asarray(small, dtype=np.float32)
    k, n = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * _SIDE)).astype(np.float32)
    digits = ""
    for one in (plane, plane[:, ::-1]):
        values = np.asarray(cosines @ one @ cosines.T, dtype=np.float32).ravel()
        bits = values > np.median(values[1:])  # the first is the mean brightness
        digits += np.packbits(bits).tobytes().hex()
    return digits


def nearest_better(candidates: Sequence[PictureReadings]) -> list[Compared]:
    """Return for each picture the nearest better one, and in how many bits the two differ.

    A picture is better if it has more pixels or, of equally many, comes first by name. The best of
    all is compared with none and gets the number of all bits.
    """
    order = sorted(
        range(len(candidates)), key=lambda i: (-candidates[i].pixels, candidates[i].name)
    )
    marks = b"".join(bytes.fromhex(str(candidates[i].readings["duplicate"])) for i in order)
    bits = np.unpackbits(np.frombuffer(marks, dtype=np.uint8)).reshape(-1, 2, _BITS)
    plain, mirrored = (2.0 * bits.astype(np.float32) - 1.0).transpose(1, 0, 2)
    found: list[Compared] = [Compared(float(_BITS))] * len(candidates)
    for start in range(0, len(order), _AT_ONCE):
        rows = plain[start : start + _AT_ONCE]
        # Signs are +1 and -1: a product is the number of equal bits minus that of different ones.
        alike = np.maximum(rows @ plain.T, rows @ mirrored.T)
        for place, row in enumerate(alike, start=start):
            if place:
                best = int(row[:place].argmax())
                differing = (_BITS - float(row[best])) / 2
                found[order[place]] = Compared(differing, candidates[order[best]].name)
    return found


FILTERS.register("duplicate")(
    Filter(
        found="is nearly the same",
        missing="is like no other",
        score="bits of 64 that differ from a better picture",
        side="at_most",
        threshold=6,
        build=lambda _: perceptual_hash,
        compare=nearest_better,
    )
)


def colourfulness(view: PictureView) -> float:
    """Return how far the pixels are from gray: the length of (Cb, Cr) that 5 % of them reach.

    In levels, 0 to about 180. Black-and-white photographs are below 1, also as JPEG; toned ones
    such as sepia are about 20, as pale colour photographs are, and count as colour.
    """
    pixels = np.asarray(view.shrunk(_GRAY_LONGEST).convert("YCbCr"), dtype=np.float64)
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


def drawn_edges(view: PictureView) -> float:
    """Return the length of edges between two flat sides, over the picture's mean side.

    Photographs have noise beside their edges; logos, stickers, captions and screen bars have none.
    Edges with both sides clipped do not count: overexposed skies are flat, too.
    """
    plane = view.gray(_EDGE_LONGEST)
    count = _upright_edges(plane) + _upright_edges(np.ascontiguousarray(plane.T))
    return count / (0.5 * sum(plane.shape))


def _upright_edges(plane: NDArray[np.uint8]) -> int:
    """Return the number of vertical edges, each one pixel long, that have two flat sides."""
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
    # An edge shows in several windows side by side: only the first counts.
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
FILTERS.register("small")(
    Filter(
        found="is small",
        missing="is not small",
        score="shorter side in px",
        side="at_most",
        threshold=255,
        build=lambda _: lambda view: float(min(view.width, view.height)),
    )
)
FILTERS.register("elongated")(
    Filter(
        found="is elongated",
        missing="is not elongated",
        score="longer side over shorter side",
        side="at_least",
        threshold=2.2,
        build=lambda _: lambda view: max(view.width, view.height) / min(view.width, view.height),
    )
)
