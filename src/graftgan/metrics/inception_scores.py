"""The numbers that the literature takes of Inception's features: FID, the Inception score, KID."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.feature_cache import cached_tensors
from graftgan.metrics.metric import METRICS, Estimate, Features, Metric, Resampling

_ROWS, _BLOCK = 4096, 1024
_NEGLIGIBLE = 1e-6  # singular values below this share of the largest do not reach the influences


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrechetStatistics:
    """The Gaussian that stands for a set of ``count`` pictures; all that a distance needs of it."""

    mean: Tensor  # (d,), float64
    factor: Tensor  # (d, r), float64, r at most the smaller of ``count`` and d
    count: int

    @property
    def covariance(self) -> Tensor:
        """(d, d), float64, with 1/(count - 1): ``factor @ factor.T``."""
        return self.factor @ self.factor.T


def frechet_statistics(features: Features) -> FrechetStatistics:
    """Return the mean and the covariance, in factors, of (n, d); ScoreError if n is 1."""
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
    of the largest are uncertain by as much. Raises ScoreError: the features have different
    dimensions.
    """
    _, _, cross = _ordered(first, second)
    squares = torch.linalg.eigvalsh(cross @ cross.T)
    return _distance(first, second, squares.clamp(min=0).sqrt())


def _measure_frechet(
    generated: Features, reference: Features, resampling: Resampling
) -> dict[str, Estimate]:
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


def inception_score(logits: Tensor) -> float:
    """Return exp of the mean KL divergence of p(class | picture) from their mean; 1 to classes.

    Source: Salimans et al. 2016 (arXiv:1606.03498). Differs: over all pictures at once, where the
    paper averages ten parts; a part of few pictures cannot show many classes. It knows no
    reference: compare it only where ImageNet's classes describe the pictures. Logits are
    (n, classes).
    """
    return float(_inception_scores(logits, torch.ones(1, len(logits), dtype=torch.float64)))


def _measure_inception(
    generated: Features, _reference: Features, resampling: Resampling
) -> dict[str, Estimate]:
    if generated.logits is None:
        raise ScoreError(
            "the Inception score needs a classifier's logits and this feature network has none; "
            "take one that has"
        )
    value = inception_score(generated.logits)
    weights = resampling.weights(len(generated), "generated")
    return {"IS": resampling.interval(value, _inception_scores(generated.logits, weights))}


def _inception_scores(logits: Tensor, weights: Tensor) -> Tensor:
    """Return (r,): the score under each row of ``weights`` (r, n)."""
    shares = weights / weights.sum(dim=1, keepdim=True)
    probabilities = logits.double().softmax(dim=1)
    own = torch.special.entr(probabilities).sum(dim=1)
    together = torch.special.entr(shares @ probabilities).sum(dim=1)
    return (together - shares @ own).exp()


def kernel_distance(generated_features: Tensor, real_features: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of (n, d) and (m, d).

    Source: Binkowski et al. 2018 (arXiv:1801.01401), "KID"; kernel (x.y/d + 1)^3. Differs: every
    pair of all pictures counts once, where the paper averages over random subsets; so it needs no
    subset size, takes sets of 2 pictures and of unequal counts, and is no random number. It can be
    negative. Sums in float64, in blocks: the matrix of all pairs is never held. Raises ScoreError:
    a set has fewer than two pictures.
    """
    ones = [torch.ones(1, len(rows)).double() for rows in (generated_features, real_features)]
    return float(_distances(generated_features, real_features, ones[0], ones[1]))


def _measure_kernel(
    generated: Features, reference: Features, resampling: Resampling
) -> dict[str, Estimate]:
    """Return the KID with an exact bootstrap interval.

    Each resample of both sets is measured in full, except that a picture drawn twice is not paired
    with itself: within a set, sum w_i w_j k_ij over i != j is divided by the sum of w_i w_j there.
    """
    weights = (
        resampling.whole_and_weights(len(generated), "generated"),
        resampling.whole_and_weights(len(reference), "reference"),
    )
    return {"KID": resampling.of_whole(_distances(generated.values, reference.values, *weights))}


def _distances(
    generated: Tensor, real: Tensor, generated_weights: Tensor, real_weights: Tensor
) -> Tensor:
    """Return (r,): the distance under each row of the weights (r, n) and (r, m).

    It is not finite for a row that weighs fewer than two pictures of a set.
    """
    fewest = min(len(generated), len(real))
    if fewest < 2:
        raise ScoreError(f"the kernel distance needs at least 2 pictures a set, there are {fewest}")
    across = _sums(generated, real, generated_weights, real_weights)
    across /= generated_weights.sum(dim=1) * real_weights.sum(dim=1)
    within = _mean_within(generated, generated_weights) + _mean_within(real, real_weights)
    return within - 2 * across


def _mean_within(features: Tensor, weights: Tensor) -> Tensor:
    """Return (r,): the weighted mean kernel of two different pictures of a set."""
    total = torch.zeros(len(weights), dtype=torch.float64)
    for start in range(0, len(features), _BLOCK):
        rows = slice(start, start + _BLOCK)
        kernel = _kernel(features[rows], features[rows]).fill_diagonal_(0)
        total += ((weights[:, rows] @ kernel) * weights[:, rows]).sum(dim=1)
        after = slice(start + _BLOCK, None)  # the matrix is symmetric: what is above counts twice
        total += 2 * _sums(features[rows], features[after], weights[:, rows], weights[:, after])
    return total / (weights.sum(dim=1).square() - weights.square().sum(dim=1))


def _sums(rows: Tensor, columns: Tensor, row_weights: Tensor, column_weights: Tensor) -> Tensor:
    """Return (r,): the weighted sums of the kernel over all pairs of (n, d) and (m, d)."""
    total = torch.zeros(len(row_weights), dtype=torch.float64)
    for row_start in range(0, len(rows), _BLOCK):
        here = slice(row_start, row_start + _BLOCK)
        for column_start in range(0, len(columns), _BLOCK):
            there = slice(column_start, column_start + _BLOCK)
            kernel = _kernel(rows[here], columns[there])
            total += ((row_weights[:, here] @ kernel) * column_weights[:, there]).sum(dim=1)
    return total


def _kernel(rows: Tensor, columns: Tensor) -> Tensor:
    """Return (n, m): (x.y/d + 1)^3, float64."""
    return (rows.double() @ columns.double().T / rows.shape[1] + 1) ** 3


METRICS.register("fid")(
    Metric(
        measure=_measure_frechet,
        better={"FID": "lower"},
        settings={"covariance": "1/(n-1)", "interval": "linearised bootstrap of both sets"},
    )
)
METRICS.register("inception_score")(
    Metric(
        measure=_measure_inception,
        better={"IS": "higher"},
        settings={"splits": 1, "interval": "bootstrap of the generated set"},
        needs_logits=True,
    )
)
METRICS.register("kid")(
    Metric(
        measure=_measure_kernel,
        better={"KID": "lower"},
        settings={"kernel": "(x.y/d + 1)^3", "interval": "bootstrap of both sets"},
    )
)
