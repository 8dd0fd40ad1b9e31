"""The kernel distance of two sets of features: KID where the features are Inception's."""

from collections.abc import Mapping

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.bootstrap import Estimate, Resampling
from graftgan.metrics.features import Features
from graftgan.metrics.metric import METRICS, Metric

_BLOCK = 1024


def kernel_distance(generated_features: Tensor, real_features: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of (n, d) and (m, d).

    Source: Binkowski et al. 2018 (arXiv:1801.01401), "KID"; kernel (x.y/d + 1)^3. Differs: every
    pair of all pictures counts once, where the paper averages over random subsets; so it needs no
    subset size, takes sets of 2 pictures and of unequal counts, and is no random number. It can be
    negative. Sums in float64, in blocks: the matrix of all pairs is never held.

    Raises:
        ScoreError: A set has fewer than two pictures.
    """
    ones = [torch.ones(1, len(rows)).double() for rows in (generated_features, real_features)]
    return float(_distances(generated_features, real_features, ones[0], ones[1]))


def _measure(
    generated: Features, reference: Features, resampling: Resampling
) -> Mapping[str, Estimate]:
    """Return the KID with an exact bootstrap interval.

    Each resample of both sets is measured in full, except that a picture drawn twice is not paired
    with itself: within a set, sum w_i w_j k_ij over i != j is divided by the sum of w_i w_j there.
    """
    weights = [
        torch.cat([torch.ones(1, len(side)), resampling.weights(len(side), role)])
        for side, role in ((generated, "generated"), (reference, "reference"))
    ]
    distances = _distances(generated.values, reference.values, weights[0], weights[1])
    return {"KID": resampling.interval(float(distances[0]), distances[1:])}


def _distances(
    generated_features: Tensor,
    real_features: Tensor,
    generated_weights: Tensor,
    real_weights: Tensor,
) -> Tensor:
    """Return (r,): the distance under each row of the weights (r, n) and (r, m).

    It is not finite for a row that weighs fewer than two pictures of a set.
    """
    fewest = min(len(generated_features), len(real_features))
    if fewest < 2:
        raise ScoreError(f"the kernel distance needs at least 2 pictures a set, there are {fewest}")
    across = _sums(generated_features, real_features, generated_weights, real_weights)
    across /= generated_weights.sum(dim=1) * real_weights.sum(dim=1)
    return (
        _mean_within(generated_features, generated_weights)
        + _mean_within(real_features, real_weights)
        - 2 * across
    )


def _mean_within(features: Tensor, weights: Tensor) -> Tensor:
    """Return (r,): the weighted mean kernel of two different pictures of a set."""
    total = torch.zeros(len(weights), dtype=torch.float64)
    starts = range(0, len(features), _BLOCK)
    for start in starts:
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


METRICS.register("kid")(
    Metric(
        measure=_measure,
        better={"KID": "lower"},
        settings={"kernel": "(x.y/d + 1)^3", "interval": "bootstrap of both sets"},
    )
)
