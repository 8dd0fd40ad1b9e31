"""Pictures unlike all others, such as unrelated ones under a hashtag."""

import base64
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.settings import ExtractorSettings
from graftgan.pictures.curation.filters.filter import (
    FILTERS,
    Compared,
    Filter,
    FilterFunction,
    PictureReadings,
    PictureView,
    Tools,
)

_NEIGHBOURS = 10
_SEEN = 256  # pixels of the sides of the network's input
_KEPT = 128  # dimensions of the projected features
_BLOCK = 512
_NORMAL = 1.4826  # standard deviation over median absolute deviation of a normal distribution


def build(_: Tools) -> FilterFunction:
    """Return a measure whose mark is a random projection of the picture's features.

    Random projections preserve angles (Johnson and Lindenstrauss 1984): 128 dimensions instead of
    1,280 make a mark of 344 letters.
    """
    extractor = build_extractor(ExtractorSettings(extractor_view="pixels"))
    rng = torch.Generator().manual_seed(0)
    projection = torch.randn(extractor.dimension, _KEPT, generator=rng)

    def mark(view: PictureView) -> str:
        square = view.shrunk(_SEEN).resize((_SEEN, _SEEN))
        pictures = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None]
        features = torch.nn.functional.normalize(extractor.embed(pictures) @ projection)
        return base64.b64encode(features[0].numpy().astype(np.float16).tobytes()).decode("ascii")

    return mark


def strangeness(candidates: Sequence[PictureReadings]) -> list[Compared]:
    """Return how unusual the distance of each picture to its ten nearest neighbours is.

    That is the mean cosine distance to the neighbours minus its median over all pictures, divided
    by its scaled median absolute deviation.
    """
    features = np.stack([_features(str(c.readings["outlier"])) for c in candidates])
    neighbours = min(_NEIGHBOURS, len(candidates) - 1)
    if neighbours < 1:
        return [Compared(0.0)] * len(candidates)
    distances = np.concatenate(
        [
            _nearest(features[start : start + _BLOCK] @ features.T, neighbours)
            for start in range(0, len(features), _BLOCK)
        ]
    )
    middle = np.median(distances)
    deviation = _NORMAL * np.median(np.abs(distances - middle))
    scores = (distances - middle) / max(float(deviation), 1e-6)
    return [Compared(round(float(score), 3)) for score in scores]


def _features(mark: str) -> NDArray[np.float32]:
    values = np.frombuffer(base64.b64decode(mark), dtype=np.float16).astype(np.float32)
    return values / max(float(np.linalg.norm(values)), 1e-6)


def _nearest(likeness: NDArray[np.float32], neighbours: int) -> NDArray[np.float32]:
    """Return the mean distance to the nearest, leaving out the picture itself."""
    nearest = -np.partition(-likeness, neighbours, axis=1)[:, : neighbours + 1]
    return 1 - (nearest.sum(axis=1) - nearest.max(axis=1)) / neighbours


FILTERS.register("outlier")(
    Filter(
        found="is unlike the others",
        missing="is like others",
        score="deviations from the usual distance to its neighbours",
        side="at_least",
        threshold=4.0,
        mode="off",
        dear=True,
        build=build,
        compare=strangeness,
    )
)
