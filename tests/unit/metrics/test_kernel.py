"""The kernel distance against a double loop, and its interval."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics import inception_scores
from graftgan.metrics.inception_scores import kernel_distance
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling


def normal(count: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def kid(generated: Tensor, real: Tensor, resampling: Resampling | None = None) -> Estimate:
    sides = (Features(values=rows, logits=None, sha256="") for rows in (generated, real))
    return METRICS["kid"].measure(*sides, resampling or Resampling())["KID"]


def looped(generated: Tensor, real: Tensor, v: list[float], w: list[float]) -> float:
    """The weighted definition, one pair at a time."""

    def k(x: Tensor, y: Tensor) -> float:
        return float((x.double() @ y.double() / len(x) + 1) ** 3)

    def within(rows: Tensor, weights: list[float]) -> float:
        n = range(len(rows))
        pairs = [(weights[i] * weights[j], k(rows[i], rows[j])) for i in n for j in n if i != j]
        return sum(a * b for a, b in pairs) / sum(a for a, _ in pairs)

    across = sum(a * b * k(generated[i], real[j]) for i, a in enumerate(v) for j, b in enumerate(w))
    return within(generated, v) + within(real, w) - 2 * across / (sum(v) * sum(w))


def test_it_is_the_mean_over_different_pairs():
    generated, real = normal(7, 5, seed=1) + 0.5, normal(9, 5, seed=2)
    expected = looped(generated, real, [1.0] * 7, [1.0] * 9)
    assert kernel_distance(generated, real) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("block", [1, 3, 8, 64])
def test_the_blocks_leave_no_trace(block: int, monkeypatch: pytest.MonkeyPatch):
    generated, real = normal(17, 5, seed=1) + 0.5, normal(8, 5, seed=2)
    whole = kid(generated, real)
    monkeypatch.setattr(inception_scores, "_BLOCK", block)
    parts = kid(generated, real)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_every_replicate_is_the_distance_of_its_resample():
    generated, real = normal(6, 4, seed=1), normal(5, 4, seed=2) * 1.5
    resampling = Resampling(replicates=20)
    v, w = resampling.weights(6, "generated"), resampling.weights(5, "reference")
    replicates = [
        looped(generated, real, a, b) for a, b in zip(v.tolist(), w.tolist(), strict=True)
    ]
    value = looped(generated, real, [1.0] * 6, [1.0] * 5)
    expected = resampling.interval(value, torch.tensor(replicates, dtype=torch.float64))
    found = kid(generated, real, resampling)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)


def test_it_is_unbiased():
    """Over many draws of equal sets the mean is 0, though every set is small."""
    values = torch.tensor(
        [kernel_distance(normal(6, 3, 2 * s), normal(4, 3, 2 * s + 1)) for s in range(600)]
    )
    error = float(values.std()) / len(values) ** 0.5
    assert abs(float(values.mean())) < 3 * error
    assert float(values.min()) < 0


def test_fifty_pictures_tell_different_sets_and_do_not_tell_equal_ones():
    equal = [kid(normal(50, 16, s), normal(50, 16, 100 + s)) for s in range(20)]
    assert sum(e.low <= 0 <= e.high for e in equal) >= 19
    moved = [kid(normal(50, 16, s) + 0.5, normal(50, 16, 100 + s)) for s in range(20)]
    assert all(e.low > 0 for e in moved)


def test_the_interval_is_as_wide_as_the_spread_of_fresh_draws():
    draws = [(normal(60, 8, s) + 0.6, normal(90, 8, 500 + s)) for s in range(400)]
    values = torch.tensor([kernel_distance(*draw) for draw in draws])
    spread = float(values.quantile(0.975) - values.quantile(0.025))
    estimates = [kid(*draw) for draw in draws[:15]]
    width = sum(e.high - e.low for e in estimates) / len(estimates)
    assert width == pytest.approx(spread, rel=0.25)


def test_two_pictures_a_set_are_enough_and_one_is_not():
    estimate = kid(normal(2, 3, seed=0), normal(2, 3, seed=1) + 4)
    assert estimate.low <= estimate.value <= estimate.high
    with pytest.raises(ScoreError, match="at least 2 pictures a set, there are 1"):
        kernel_distance(normal(1, 3, seed=0), normal(5, 3, seed=1))
