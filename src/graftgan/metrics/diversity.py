"""How different the generated pictures are from one another."""

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.metric import Estimates, Features, Resampling, register_metric

_STEP = 0.25
_OF_GENERATED = "bootstrap of the generated set"


def vendi(features: Tensor) -> float:
    """Return the effective number of different pictures among (n, d): 1 to n.

    The exponential of the entropy of the eigenvalues of K/n, K the cosine similarities.

    Source: Friedman & Dieng 2022 (arXiv:2210.02410). Differs: none; if d < n, the same eigenvalues
    are taken from the (d, d) matrix. Raises ScoreError: a row is zero and has no direction.
    """
    return float(torch.special.entr(_spectrum(features)[0]).sum().exp())


def intra_cluster_distance(generated_features: Tensor, real_features: Tensor) -> float:
    """Return the mean cosine distance between generated pictures nearest to the same real picture.

    Each of (n, d) joins the cluster of the nearest row of (m, d). The mean is over the pairs of a
    cluster, then over the clusters with at least 2 pictures. In [0, 2]; 0 if every cluster repeats
    one picture, as for a generator that only copies the real ones.

    Source: Ojha et al. 2021 (arXiv:2104.06820), "intra-cluster LPIPS". Differs: distances are
    1 - cosine of whole-picture features, not LPIPS, so the published numbers do not compare.
    Raises ScoreError: no cluster has 2 pictures, or a row is zero.
    """
    rows = _directions(generated_features)
    ones = torch.ones(1, len(rows), dtype=torch.float64)
    return float(_cluster_means(rows, _nearest(rows, real_features), ones))


def pairwise_distance(features: Tensor) -> float:
    """Return the mean cosine distance of two of (n, d), in [0, 2]; ScoreError if n is 1."""
    return float(_pairwise_means(features, torch.ones(1, len(features), dtype=torch.float64)))


@register_metric(
    "vendi",
    {"Vendi": "higher"},
    settings={"kernel": "cosine", "interval": f"linearised {_OF_GENERATED}"},
)
def _measure_vendi(generated: Features, _: Features, resampling: Resampling) -> Estimates:
    """Return the score with a linearised bootstrap interval (the jackknife: Tukey 1958).

    The entropy of a resample changes by what each picture adds, found by leaving it out. (A
    resample measured in full is less diverse than new pictures, as it repeats some.)
    """
    values, shares = _spectrum(generated.values)
    added = _entropy_added(values, shares)
    changes = resampling.means(len(added) * (added - added.mean()), "generated")
    value = float(torch.special.entr(values).sum().exp())
    return {"Vendi": resampling.interval(value, value * changes.exp())}


# The other intervals are exact bootstraps. A picture drawn twice is not paired with itself.


@register_metric(
    "pairwise_distance",
    {"pairwise distance": "higher"},
    settings={"distance": "1 - cosine", "interval": _OF_GENERATED},
)
def _measure_pairwise(generated: Features, _: Features, resampling: Resampling) -> Estimates:
    means = _pairwise(generated, resampling, "generated")
    return {"pairwise distance": resampling.of_whole(means)}


@register_metric(
    "diversity",
    {"diversity": "higher"},
    settings={
        "distance": "1 - cosine, over that of the real pictures",
        "interval": "bootstrap of both sets",
    },
)
def _measure_diversity(
    generated: Features, reference: Features, resampling: Resampling
) -> Estimates:
    """Return the ratio of the mean pairwise distances of both sets."""
    real = _pairwise(reference, resampling, "reference")
    if float(real[0]) == 0:
        raise ScoreError(
            "the real pictures are all the same, so diversity cannot be compared with theirs; use "
            "another reference"
        )
    return {"diversity": resampling.of_whole(_pairwise(generated, resampling, "generated") / real)}


@register_metric(
    "intra_cluster",
    {"intra-cluster distance": "higher"},
    settings={
        "distance": "1 - cosine",
        "clusters": "nearest real picture",
        "interval": f"{_OF_GENERATED}, real pictures held fixed",
    },
)
def _measure_clusters(
    generated: Features, reference: Features, resampling: Resampling
) -> Estimates:
    rows = _directions(generated.values)
    nearest = _nearest(rows, reference.values)
    means = _cluster_means(rows, nearest, resampling.whole_and_weights(len(rows), "generated"))
    return {"intra-cluster distance": resampling.of_whole(means)}


def _pairwise(features: Features, resampling: Resampling, role: str) -> Tensor:
    """Return (1 + replicates,): the mean distance of all pairs, then that of each resample."""
    return _pairwise_means(features.values, resampling.whole_and_weights(len(features), role))


def _pairwise_means(features: Tensor, weights: Tensor) -> Tensor:
    """Return (r,): the mean distance of all pairs under each row of ``weights``."""
    one_cluster = torch.zeros(len(features), dtype=torch.long)
    return _cluster_means(_directions(features), one_cluster, weights)


def _spectrum(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues (r,), and each picture's share in each of them (n, r)."""
    rows = _directions(features)
    count, dimension = rows.shape
    if count <= dimension:
        values, vectors = torch.linalg.eigh(rows @ rows.T / count)
        values = values.clamp(min=0)
        return values, values * vectors.square()
    values, vectors = torch.linalg.eigh(rows.T @ rows / count)
    return values.clamp(min=0), (rows @ vectors).square() / count


def _entropy_added(values: Tensor, shares: Tensor) -> Tensor:
    """Return (n,): how much the entropy falls without each picture, up to a constant.

    With R = X^T X / n and h(u) = x.(R + u)^-1 x / n, removing x lowers -tr(R log R) by the integral
    of -log(1 - h(u)) over u > 0, up to a constant: the integrated resolvent of a rank-one update of
    R. (The constant is infinite, but finite here as u is bounded.) The sum over equal steps of
    log u is exact to about 1e-9.
    """
    points = torch.arange(-28, 20, _STEP, dtype=torch.float64).exp()
    resolvents = shares @ (1 / (values[:, None] + points))
    return -torch.log1p(-resolvents.clamp(max=1 - 1e-15)) @ points * _STEP


def _nearest(directions: Tensor, real_features: Tensor) -> Tensor:
    """Return (n,): the index of the real picture at the smallest cosine distance from each."""
    centres = _directions(real_features).T
    return torch.cat([(rows @ centres).argmax(dim=1) for rows in directions.split(4096)])


def _cluster_means(directions: Tensor, nearest: Tensor, weights: Tensor) -> Tensor:
    """Return (r,): the mean over clusters of the mean distance under each row of ``weights``.

    NaN for a row that leaves no cluster two pictures; the first row must leave one.
    """
    sums = torch.zeros(len(weights), dtype=torch.float64)
    clusters = torch.zeros(len(weights), dtype=torch.float64)
    for cluster in nearest.unique():
        members = (nearest == cluster).nonzero().flatten()
        if len(members) < 2:
            continue
        rows, drawn = directions[members], weights[:, members]
        # Unit rows: the sum of w_i w_j cos_ij over i != j is |sum of w_i x_i|^2 - sum of w_i^2.
        same = drawn.square().sum(dim=1)
        pairs = drawn.sum(dim=1).square() - same
        few = len(members) < rows.shape[1]  # then it is faster to compute all cosines
        sums_squared = drawn @ (rows @ rows.T) * drawn if few else (drawn @ rows).square()
        alike = sums_squared.sum(dim=1) - same
        paired = pairs > 0
        sums[paired] += (1 - alike[paired] / pairs[paired]).clamp(min=0)
        clusters += paired
    if not clusters[0]:
        raise ScoreError(
            f"each of the {len(directions)} generated pictures is nearest to a different real "
            "picture, so no two are in one cluster; generate more pictures"
        )
    return sums / clusters


def _directions(features: Tensor) -> Tensor:
    rows = features.double()
    norms = rows.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        raise ScoreError(
            f"the features of {int((norms == 0).sum())} of {len(rows)} pictures are all zero and "
            "have no direction; use another feature network"
        )
    return rows / norms
