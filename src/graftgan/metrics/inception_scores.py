"""The usual scores of Inception's features: FID, the Inception score and KID."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.feature_cache import cached_of
from graftgan.metrics.metric import Estimates, Features, Resampling, register_metric

_ROWS, _BLOCK = 4096, 1024
_NEGLIGIBLE = 1e-6  # influences ignore singular values below this share of the largest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrechetStatistics:
    """The Gaussian fitted to a set of ``count`` pictures."""

    mean: Tensor  # (d,), float64
    factor: Tensor  # (d, r), float64, r at most the smaller of ``count`` and d
    count: int

    @property
    def covariance(self) -> Tensor:
        """(d, d), float64, with 1/(count - 1): ``factor @ factor.T``."""
        return self.factor @ self.factor.T


def frechet_statistics(features: Features) -> FrechetStatistics:
    """Return the mean and the factored covariance of (n, d); ScoreError if n is 1."""
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
    (arXiv:1706.08500). Differs: the trace of the root is computed as the sum of the singular values
    of ``first.factor.T @ second.factor``, a small matrix for small sets; no matrix root is taken
    and nothing is added to the diagonal. They are roots of eigenvalues, so small ones are uncertain
    by about 1e-8 of the largest. Raises ScoreError: the features have different dimensions.
    """
    _, _, cross = _ordered(first, second)
    squares = torch.linalg.eigvalsh(cross @ cross.T)
    return _distance(first, second, squares.clamp(min=0).sqrt())


@register_metric(
    "fid",
    {"FID": "lower"},
    settings={"covariance": "1/(n-1)", "interval": "linearised bootstrap of both sets"},
)
def _measure_frechet(generated: Features, reference: Features, resampling: Resampling) -> Estimates:
    """Return the FID with a linearised bootstrap interval (infinitesimal jackknife: Jaeckel 1972).

    The distance of a resample is approximated to first order in the weights of the pictures of both
    sets. A generated picture x with weight 1/n contributes
    2 (m_g - m_r).c + n/(n-1) (|c|^2 - c.T c), where c = x - m_g and T is the optimal transport
    of the generated Gaussian to the reference one; likewise a reference picture. The intervals are
    accurate for many pictures of different sets, and up to half too wide for few pictures in many
    dimensions or for equal sets, where higher orders matter.
    """
    sides = _cached_statistics(generated), _cached_statistics(reference)
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


def _cached_statistics(features: Features) -> FrechetStatistics:
    def compute() -> dict[str, Tensor]:
        statistics = frechet_statistics(features)
        return {"mean": statistics.mean, "factor": statistics.factor}

    return FrechetStatistics(**cached_of(features, ("frechet",), compute), count=len(features))


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
    """Return the side of smaller rank, the other one, and the product of their factors."""
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
    paper averages over ten parts; few pictures cannot cover many classes. It uses no reference, so
    it is only meaningful if ImageNet's classes describe the pictures. Logits are (n, classes).
    """
    return float(_inception_scores(logits, torch.ones(1, len(logits), dtype=torch.float64)))


@register_metric(
    "inception_score",
    {"IS": "higher"},
    settings={"splits": 1, "interval": "bootstrap of the generated set"},
    needs_logits=True,
)
def _measure_inception(generated: Features, _: Features, resampling: Resampling) -> Estimates:
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
    pair of pictures counts once, where the paper averages over random subsets. So it needs no
    subset size, accepts sets of 2 pictures and of different sizes, and is deterministic. It can be
    negative. Sums are in float64 and in blocks, so that the matrix of all pairs never is in memory.
    Raises ScoreError: a set has fewer than two pictures.
    """
    ones = [torch.ones(1, len(rows)).double() for rows in (generated_features, real_features)]
    return float(_distances(generated_features, real_features, ones[0], ones[1]))


@register_metric(
    "kid",
    {"KID": "lower"},
    settings={"kernel": "(x.y/d + 1)^3", "interval": "bootstrap of both sets"},
)
def _measure_kernel(generated: Features, reference: Features, resampling: Resampling) -> Estimates:
    """Return the KID with an exact bootstrap interval.

    A picture drawn twice is not paired with itself: within a set, the sum of w_i w_j k_ij over
    i != j is divided by that of w_i w_j.
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

    It is not finite for a row with fewer than two pictures of a set.
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
        after = slice(start + _BLOCK, None)  # the matrix is symmetric: the upper part counts twice
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
