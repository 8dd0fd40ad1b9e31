"""The Fréchet distance against closed forms, and its interval against repeated draws."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.inception_scores import (
    FrechetStatistics,
    frechet_distance,
    frechet_statistics,
)
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling


def features(values: Tensor) -> Features:
    return Features(values=values.float(), logits=None, sha256="")


def gaussian(count: int, dimension: int, seed: int) -> Tensor:
    """Rows of unequal spread."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimension, generator=rng) * torch.linspace(1.5, 0.1, dimension)


def fid(generated: Tensor, real: Tensor, **resampling: int) -> Estimate:
    return METRICS["fid"].measure(features(generated), features(real), Resampling(**resampling))[
        "FID"
    ]


def weighted_distance(weighted: Tensor, weights: Tensor, other: Tensor) -> float:
    """The definition, of a set whose pictures weigh ``weights`` (n,), through singular values."""
    rows = weighted - weights @ weighted / weights.sum()
    rows = rows * (weights / (len(rows) - 1))[:, None].sqrt()
    others = (other - other.mean(0)) / (len(other) - 1) ** 0.5
    gap = weights @ weighted / weights.sum() - other.mean(0)
    overlap = torch.linalg.svdvals(rows @ others.T).sum()
    return float(gap.square().sum() + rows.square().sum() + others.square().sum() - 2 * overlap)


def test_commuting_gaussians_have_a_closed_form():
    """Diagonal covariances: the squared distances of means and of standard deviations add up."""
    one, two, shift = torch.tensor(
        [[1.0, 2.0, 0.5], [3.0, 2.0, 0.1], [1.0, -2.0, 0.0]], dtype=torch.float64
    )
    turn = torch.linalg.qr(gaussian(3, 3, seed=5).double()).Q
    first = FrechetStatistics(mean=torch.zeros(3).double(), factor=turn * one, count=9)
    second = FrechetStatistics(mean=shift, factor=turn * two, count=9)
    expected = 5.0 + 4.0 + 0.0 + 0.16
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


def test_gaussians_of_any_orientation_against_an_explicit_root():
    first, second = (frechet_statistics(features(gaussian(90, 6, seed=s))) for s in (1, 2))
    turned = FrechetStatistics(
        mean=second.mean,
        factor=torch.linalg.qr(gaussian(6, 6, seed=3).double()).Q @ second.factor,
        count=90,
    )
    values, vectors = torch.linalg.eigh(first.covariance)
    root = vectors * values.sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ turned.covariance @ root).sqrt().sum()
    gap = (first.mean - turned.mean).square().sum()
    expected = gap + first.covariance.trace() + turned.covariance.trace() - 2 * overlap
    assert frechet_distance(first, turned) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize(("count", "dimension"), [(200, 20), (20, 200), (20, 20), (2, 5)])
def test_the_statistics_are_the_mean_and_the_covariance(count: int, dimension: int):
    rows = gaussian(count, dimension, seed=0) + 3
    found = frechet_statistics(features(rows))
    assert found.count == count
    torch.testing.assert_close(found.mean, rows.double().mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(rows.double().T), atol=1e-12, rtol=1e-9)
    assert found.factor.shape == (dimension, min(count, dimension))


def test_features_that_depend_on_each_other_have_statistics_too():
    rows = gaussian(100, 10, seed=0)
    rows = torch.cat([rows, rows[:, :5], torch.ones(100, 3)], dim=1)
    found = frechet_statistics(features(rows))
    torch.testing.assert_close(found.covariance, torch.cov(rows.double().T), atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize(("count", "dimension"), [(200, 20), (20, 200)])
def test_a_set_is_at_no_distance_from_itself(count: int, dimension: int):
    rows = gaussian(count, dimension, seed=0) + 3
    statistics = frechet_statistics(features(rows))
    trace = float(statistics.covariance.trace())
    assert 0 <= frechet_distance(statistics, statistics) < 1e-6 * trace
    shuffled = frechet_statistics(features(rows[torch.randperm(count)]))
    assert 0 <= frechet_distance(statistics, shuffled) < 1e-6 * trace
    moved = frechet_statistics(features(rows + 0.1))
    assert frechet_distance(statistics, moved) == pytest.approx(0.01 * dimension, rel=1e-4)


@pytest.mark.parametrize("sizes", [(150, 150), (150, 12), (12, 150), (12, 9)])
def test_it_is_symmetric_whatever_the_ranks(sizes: tuple[int, int]):
    first, second = (
        frechet_statistics(features(gaussian(n, 30, seed=n) * s))
        for n, s in zip(sizes, (1.0, 1.4), strict=True)
    )
    forth = frechet_distance(first, second)
    assert forth == pytest.approx(frechet_distance(second, first), rel=1e-9)
    assert forth > 0.5


@pytest.mark.parametrize("sizes", [(40, 50, 6), (8, 30, 20), (30, 8, 20), (9, 10, 20), (60, 7, 20)])
@pytest.mark.parametrize("side", ["generated", "reference"])
def test_influences_are_the_derivatives(
    sizes: tuple[int, int, int], side: str, monkeypatch: pytest.MonkeyPatch
):
    generated = gaussian(sizes[0], sizes[2], seed=1)
    real = gaussian(sizes[1], sizes[2], seed=2) * 1.3 + 0.2
    seen: dict[str, Tensor] = {}

    def note(self: Resampling, values: Tensor, role: str) -> Tensor:
        seen[role] = values
        return torch.zeros(self.replicates, dtype=torch.float64)

    monkeypatch.setattr(Resampling, "means", note)
    fid(generated, real)
    own, other = (generated, real) if side == "generated" else (real, generated)
    own, other = own.double(), other.double()
    step, count = 1e-4, len(own)
    expected: list[float] = []
    for one in torch.eye(count).double():
        change = step * (one - 1 / count)  # weight moves to this picture from all
        up, down = (weighted_distance(own, 1 + s * change, other) for s in (1, -1))
        expected.append((up - down) / (2 * step) * count)
    torch.testing.assert_close(
        seen[side], torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("count", "dimension", "shift", "low", "high"),
    [(300, 16, 0.5, 0.75, 1.25), (200, 8, 0.8, 0.75, 1.25), (40, 60, 0.3, 0.9, 1.6)],
)
def test_the_interval_is_as_wide_as_the_spread_of_fresh_draws(
    count: int, dimension: int, shift: float, low: float, high: float
):
    """Few pictures in many dimensions: too wide, as documented, and never too narrow."""
    draws = [
        (gaussian(count, dimension, seed) + shift, gaussian(count, dimension, 1000 + seed))
        for seed in range(300)
    ]
    values = torch.tensor([fid(*draw, replicates=0).value for draw in draws])
    spread = float(values.quantile(0.975) - values.quantile(0.025))
    estimates = [fid(*draw, replicates=500, seed=s) for s, draw in enumerate(draws[:15])]
    width = sum(e.high - e.low for e in estimates) / len(estimates)
    assert low < width / spread < high


def test_the_interval_is_around_the_distance_and_repeats():
    generated, real = gaussian(50, 12, seed=1) + 0.4, gaussian(60, 12, seed=2)
    estimate = fid(generated, real)
    statistics = (frechet_statistics(features(rows)) for rows in (generated, real))
    assert estimate.value == pytest.approx(frechet_distance(*statistics), rel=1e-9)
    assert estimate.low < estimate.value < estimate.high
    assert estimate == fid(generated, real)
    assert estimate != fid(generated, real, seed=1)
    bare = fid(generated, real, replicates=0)
    assert bare.low == bare.value == bare.high == pytest.approx(estimate.value, rel=1e-9)


def test_two_sets_that_each_repeat_one_picture_are_points():
    estimate = fid(torch.zeros(5, 3), torch.full((4, 3), 2.0))
    assert estimate == Estimate(12.0, 12.0, 12.0)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ScoreError, match="at least 2 pictures, there are 1"):
        frechet_statistics(features(torch.ones(1, 3)))
    first, second = (frechet_statistics(features(gaussian(5, d, seed=0))) for d in (3, 4))
    with pytest.raises(ScoreError, match="3 and 4 dimensions"):
        frechet_distance(first, second)
