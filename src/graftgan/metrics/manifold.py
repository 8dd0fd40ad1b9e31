"""Precision, recall, density and coverage, which separate quality from variety.

A set's manifold is the union of balls around its pictures, each as wide as the distance to the
picture's k-th nearest neighbour in the set, itself not counted.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.metric import Estimates, Features, Resampling, register_metric

_ROWS, _COLUMNS = 1024, 4096
_ROUNDING = 1e-13  # squared distances below this share of the squared norms are 0
_PRECISION_NEIGHBOURS, _DENSITY_NEIGHBOURS = 3, 5
_HELD = "bootstrap of the pictures, manifolds held fixed"


def precision_and_recall(
    generated_features: Tensor, real_features: Tensor, *, neighbours: int = _PRECISION_NEIGHBOURS
) -> tuple[Tensor, Tensor]:
    """Return which generated pictures are precise (n,) and which real ones recalled (m,), bool.

    A generated picture is precise if it is in the real manifold, and a real one is recalled if it
    is in the generated manifold; precision and recall are the means.

    Source: Kynkäänniemi et al. 2019 (arXiv:1904.06991). Differs: none; as there, a ball contains
    its border (<=). Raises ScoreError: a set has fewer than ``neighbours`` + 1 pictures.
    """
    generated_radii = _squared_radii(generated_features, neighbours)
    real_radii = _squared_radii(real_features, neighbours)
    precise = torch.zeros(len(generated_features), dtype=torch.bool)
    recalled = torch.zeros(len(real_features), dtype=torch.bool)
    for rows, squared in _squared_distances(real_features, generated_features):
        precise |= (squared <= real_radii[rows, None]).any(dim=0)
        recalled[rows] = (squared <= generated_radii).any(dim=1)
    return precise, recalled


def density_and_coverage(
    generated_features: Tensor, real_features: Tensor, *, neighbours: int = _DENSITY_NEIGHBOURS
) -> tuple[Tensor, Tensor]:
    """Return the density at each generated picture (n,), float64, and the real ones covered (m,).

    The density is how many real balls the picture is in, over ``neighbours``; a real picture is
    covered if its ball holds a generated one (bool). The two scores are the means.

    Source: Naeem et al. 2020 (arXiv:2002.09797). Differs: none; as in the authors' code, a ball
    does not contain its border (<), so that a set has a density of 1 in itself. Raises ScoreError:
    the real set has fewer than ``neighbours`` + 1 pictures.
    """
    real_radii = _squared_radii(real_features, neighbours)
    balls = torch.zeros(len(generated_features), dtype=torch.float64)
    covered = torch.zeros(len(real_features), dtype=torch.bool)
    for rows, squared in _squared_distances(real_features, generated_features):
        inside = squared < real_radii[rows, None]
        balls += inside.sum(dim=0)
        covered[rows] = inside.any(dim=1)
    return balls / neighbours, covered


# Intervals are bootstraps over the pictures; the manifolds are held fixed.


@register_metric(
    "precision_recall",
    {"precision": "higher", "recall": "higher"},
    settings={"neighbours": _PRECISION_NEIGHBOURS, "ball": "<=", "interval": _HELD},
    least=_PRECISION_NEIGHBOURS + 1,
)
def _measure_precision(
    generated: Features, reference: Features, resampling: Resampling
) -> Estimates:
    precise, recalled = precision_and_recall(generated.values, reference.values)
    return {
        "precision": resampling.mean(precise, "generated"),
        "recall": resampling.mean(recalled, "reference"),
    }


@register_metric(
    "density_coverage",
    {"density": "higher", "coverage": "higher"},
    settings={"neighbours": _DENSITY_NEIGHBOURS, "ball": "<", "interval": _HELD},
    least=_DENSITY_NEIGHBOURS + 1,
)
def _measure_density(generated: Features, reference: Features, resampling: Resampling) -> Estimates:
    density, covered = density_and_coverage(generated.values, reference.values)
    return {
        "density": resampling.mean(density, "generated"),
        "coverage": resampling.mean(covered, "reference"),
    }


def _squared_radii(features: Tensor, neighbours: int) -> Tensor:
    """Return (n,): each row's squared distance to its nearest neighbour number ``neighbours``."""
    if len(features) <= neighbours:
        raise ScoreError(
            f"a ball around {neighbours} neighbours needs at least {neighbours + 1} pictures, "
            f"there are {len(features)}"
        )
    nearest = [  # the very nearest is the picture itself
        squared.topk(neighbours + 1, largest=False).values
        for _, squared in _squared_distances(features, features)
    ]
    return torch.cat(nearest)[:, -1]


def _squared_distances(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of the squared distances (n, m) with the rows they are of.

    They are computed about the mean in float64 and rounded to float32, so that equal distances
    compare as equal whatever the order of the sums.
    """
    centre = columns.mean(dim=0, dtype=torch.float64)
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS].double() - centre
        parts = [_squared_block(block, part.double() - centre) for part in columns.split(_COLUMNS)]
        yield slice(start, start + len(block)), torch.cat(parts, dim=1)


def _squared_block(rows: Tensor, columns: Tensor) -> Tensor:
    """Return (n, m), float32, of float64 rows."""
    norms = rows.square().sum(dim=1)[:, None] + columns.square().sum(dim=1)
    squared = torch.addmm(norms, rows, columns.T, alpha=-2)
    return squared.masked_fill_(squared < _ROUNDING * norms, 0).float()
