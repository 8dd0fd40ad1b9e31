"""The Fréchet distance of two sets of features: FID where the features are Inception's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.bootstrap import Estimate, Resampling
from graftgan.metrics.feature_cache import cached_tensors
from graftgan.metrics.features import Features
from graftgan.metrics.metric import METRICS, Metric

_ROWS = 4096
_NEGLIGIBLE = 1e-6  # singular values below this share of the largest do not reach the influences


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrechetStatistics:
    """The Gaussian that stands for a set; all that a distance needs of it.

    Attributes:
        mean: (d,), float64.
        factor: (d, r), float64, r at most the smaller of ``count`` and d; the covariance, with
            1/(count - 1), is ``factor @ factor.T``.
        count: Pictures.
    """

    mean: Tensor
    factor: Tensor
    count: int

    @property
    def covariance(self) -> Tensor:
        """(d, d), float64, with 1/(count - 1)."""
        return self.factor @ self.factor.T


def frechet_statistics(features: Features) -> FrechetStatistics:
    """Return the mean and the covariance, in factors, of ``features`` (n, d).

    Raises:
        ScoreError: There are fewer than two pictures.
    """
    count = len(features)
    if count < 2:
        raise ScoreError(f"a covariance needs at least 2 pictures, there are {count}")
    mean = features.values.mean(dim=0, dtype=torch.float64)
    if count <= features.dimension:
        factor = (features.values.double() - mean).T / (count - 1) ** 0.5
    else:
        scatter = torch.zeros(features.dimension, features.dimension, dtype=torch.float64)
        for rows in _centred(features, mean):
            scatter.addmm_(rows.T, rows)
        factor = _factor(scatter / (count - 1))
    return FrechetStatistics(mean=mean, factor=factor, count=count)


def frechet_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), at least 0; in squared feature units.

    Source: Dowson & Landau 1982; of Inception features as "FID": Heusel et al. 2017
    (arXiv:1706.08500). Differs: the trace of the root is the sum of the singular values of
    ``first.factor.T @ second.factor``, which is small for small sets; no root of a matrix is taken
    and nothing is added to its diagonal. They are found through their squares, so those below 1e-8
    of the largest are uncertain by as much.

    Raises:
        ScoreError: The features have different dimensions.
    """
    _, _, cross = _ordered(first, second)
    squares = torch.linalg.eigvalsh(cross @ cross.T)
    return _distance(first, second, squares.clamp(min=0).sqrt())


def _measure(
    generated: Features, reference: Features, resampling: Resampling
) -> Mapping[str, Estimate]:
    """Return the FID with a linearised bootstrap interval (infinitesimal jackknife: Jaeckel 1972).

    A resample is not measured again: its distance is the first-order change in the weights of the
    pictures, of both sets. To first order a generated picture x with weight 1/n contributes
    2 (m_g - m_r).c + n/(n-1) (|c|^2 - c.T c), where c = x - m_g and T is the optimal transport
    of the generated Gaussian to the reference one; likewise a reference picture. Such intervals
    are right for many pictures of different sets, and up to half too wide for few pictures in
    many dimensions or for equal sets, where what is left out is not small.
    """
    sides = _kept_statistics(generated), _kept_statistics(reference)
    if not resampling.replicates:
        return {"FID": resampling.interval(frechet_distance(*sides), torch.empty(0))}
    small, large, cross = _ordered(*sides)
    squares, left = torch.linalg.eigh(cross @ cross.T)
    singular = squares.clamp(min=0).sqrt()
    kept = singular > _NEGLIGIBLE * singular.max()
    left, roots = left[:, kept], singular[kept].sqrt()
    # With cross = U s V^T: c.T c = |V^T large.factor^T c|^2 / s for c in the span of small.
    maps = {
        id(small): large.factor @ (cross.T @ (left / roots**3)),
        id(large): small.factor @ (left / roots),
    }
    gap = sides[0].mean - sides[1].mean
    value = _distance(*sides, singular)
    replicates = (
        value
        + resampling.means(_influences(generated, sides[0], gap, maps[id(sides[0])]), "generated")
        + resampling.means(_influences(reference, sides[1], -gap, maps[id(sides[1])]), "reference")
    )
    return {"FID": resampling.interval(value, replicates)}


def _kept_statistics(features: Features) -> FrechetStatistics:
    """Return the statistics, from the cache where the features come from there."""

    def compute() -> dict[str, Tensor]:
        statistics = frechet_statistics(features)
        return {"mean": statistics.mean, "factor": statistics.factor}

    kept = cached_tensors(("frechet", *features.key), compute) if features.key else compute()
    return FrechetStatistics(mean=kept["mean"], factor=kept["factor"], count=len(features))


def _influences(
    features: Features, statistics: FrechetStatistics, gap: Tensor, root_of_transport: Tensor
) -> Tensor:
    """Return (n,): the distance's first-order change with the weight of each picture."""
    scale = statistics.count / (statistics.count - 1)
    parts: list[Tensor] = []
    for rows in _centred(features, statistics.mean):
        moved = (rows @ root_of_transport).square().sum(dim=1)
        parts.append(2 * rows @ gap + scale * (rows.square().sum(dim=1) - moved))
    influences = torch.cat(parts)
    return influences - influences.mean()


def _ordered(
    first: FrechetStatistics, second: FrechetStatistics
) -> tuple[FrechetStatistics, FrechetStatistics, Tensor]:
    """Return the side of the smaller rank, the other, and the product of their factors."""
    if len(first.mean) != len(second.mean):
        raise ScoreError(
            f"features of {len(first.mean)} and {len(second.mean)} dimensions do not compare; "
            "take both from the same feature network"
        )
    small, large = sorted((first, second), key=lambda side: side.factor.shape[1])
    return small, large, small.factor.T @ large.factor


def _distance(first: FrechetStatistics, second: FrechetStatistics, singular: Tensor) -> float:
    """Return the distance, given the singular values of the product of the factors."""
    spread = first.factor.square().sum() + second.factor.square().sum()
    squared_gap = (first.mean - second.mean).square().sum()
    return max(0.0, float(squared_gap + spread - 2 * singular.sum()))


def _factor(covariance: Tensor) -> Tensor:
    """Return (d, r) F with F F^T = ``covariance``: triangular, or from the eigenvectors."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not int(failed):
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    kept = values >= len(values) * torch.finfo(values.dtype).eps * values[-1]
    return vectors[:, kept] * values[kept].sqrt()


def _centred(features: Features, mean: Tensor) -> Iterator[Tensor]:
    """Yield the features minus ``mean`` in blocks of rows, float64."""
    for rows in features.values.split(_ROWS):
        yield rows.double() - mean


METRICS.register("fid")(
    Metric(
        measure=_measure,
        better={"FID": "lower"},
        settings={"covariance": "1/(n-1)", "interval": "linearised bootstrap of both sets"},
    )
)
