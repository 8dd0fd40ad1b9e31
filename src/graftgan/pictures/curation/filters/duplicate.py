"""Pictures that are nearly the same: one picture found twice, resized, re-encoded or mirrored."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftgan.pictures.curation.filters.filter import FILTERS, Compared, Filter, UnrejectedPicture
from graftgan.pictures.curation.view import PictureView

_SIDE, _KEPT = 32, 8  # pixels that are transformed, and frequencies of each axis that are kept
_BITS = _KEPT * _KEPT
_BLOCK = 512  # pictures compared with all others at once


def perceptual_hash(view: PictureView) -> str:
    """Return the hashes of the picture and of its mirror image, 16 hexadecimal digits each.

    A bit says whether a low frequency of the cosine transform lies above their median.
    Source: Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010,
    section 3.2.1. Differs: 32 x 32 pixels by Lanczos, no mean filter before.
    """
    small = view.shrunk(8 * _SIDE).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    plane = np.asarray(small, dtype=np.float32)
    return "".join(_hexadecimal(_low_frequencies(p)) for p in (plane, plane[:, ::-1]))


def nearest_better(candidates: Sequence[UnrejectedPicture]) -> list[Compared]:
    """Return for each picture the fewest bits in which it differs from a better one, and that one.

    Better is what has more pixels, and of equal ones what comes first by name. The best of all is
    beside none, and has as many bits as there are.
    """
    order = sorted(
        range(len(candidates)), key=lambda i: (-candidates[i].pixels, candidates[i].name)
    )
    signs = np.stack([_signs(str(candidates[i].readings["duplicate"])) for i in order])
    plain, mirrored = signs[:, 0], signs[:, 1]
    found: list[Compared] = [Compared(float(_BITS))] * len(candidates)
    for start in range(0, len(order), _BLOCK):
        rows = plain[start : start + _BLOCK]
        # Signs are +1 and -1: a product is the bits that agree less those that differ.
        alike = np.maximum(rows @ plain.T, rows @ mirrored.T)
        for place, row in enumerate(alike, start=start):
            if place:
                best = int(row[:place].argmax())
                differing = (_BITS - float(row[best])) / 2
                found[order[place]] = Compared(differing, candidates[order[best]].name)
    return found


def _low_frequencies(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    k, n = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * _SIDE)).astype(np.float32)
    return np.asarray(cosines @ plane @ cosines.T, dtype=np.float32)


def _hexadecimal(frequencies: NDArray[np.float32]) -> str:
    values = frequencies.ravel()
    bits = values > np.median(values[1:])  # the first is the mean brightness
    return np.packbits(bits).tobytes().hex()


def _signs(mark: str) -> NDArray[np.float32]:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(mark), dtype=np.uint8))
    return (2.0 * bits.astype(np.float32) - 1.0).reshape(2, _BITS)


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
