"""Vendi score and intra-cluster distance on sets whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.diversity import intra_cluster_distance, vendi
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling


def normal(count: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def measured(name: str, generated: Tensor, real: Tensor, **resampling: int) -> Estimate:
    sides = (Features(values=rows, logits=None, sha256="") for rows in (generated, real))
    (estimate,) = METRICS[name].measure(*sides, Resampling(**resampling)).values()
    return estimate


@pytest.mark.parametrize("dimension", [4, 40])
def test_vendi_counts_directions_and_not_lengths(dimension: int):
    rows = torch.eye(dimension)[:4].repeat(3, 1) * torch.arange(1, 13)[:, None]
    assert vendi(rows) == pytest.approx(4.0)
    assert vendi(rows[:1].repeat(20, 1)) == pytest.approx(1.0)
    uneven = rows[[0, 4, 8, 1]]  # three of one kind, one of another
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert vendi(uneven) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "dimension"), [(50, 7), (7, 50), (30, 30)])
def test_vendi_is_the_entropy_of_the_cosines_whichever_matrix_is_smaller(
    count: int, dimension: int
):
    rows = normal(count, dimension, seed=0).double() + 0.3
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows, dim=2)
    values = torch.linalg.eigvalsh(cosines / count)
    entropy = -sum(float(v) * math.log(float(v)) for v in values if v > 1e-12)
    assert vendi(rows) == pytest.approx(math.exp(entropy), rel=1e-9)


@pytest.mark.parametrize(("count", "dimension"), [(40, 6), (10, 60), (30, 30), (2, 7)])
def test_vendi_influences_are_those_of_leaving_each_picture_out(
    count: int, dimension: int, monkeypatch: pytest.MonkeyPatch
):
    rows = normal(count, dimension, seed=0) + 0.3
    seen: list[Tensor] = []

    def note(self: Resampling, values: Tensor, role: str) -> Tensor:
        seen.append(values)
        return torch.zeros(self.replicates, dtype=torch.float64)

    monkeypatch.setattr(Resampling, "means", note)
    measured("vendi", rows, rows)
    left = [math.log(vendi(torch.cat([rows[:i], rows[i + 1 :]]))) for i in range(count)]
    without = torch.tensor(left, dtype=torch.float64)
    expected = (count - 1) * (without.mean() - without)
    torch.testing.assert_close(seen[0], expected, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize(("count", "dimension"), [(60, 6), (40, 60)])
def test_vendi_interval_is_as_wide_as_the_spread_of_fresh_draws(count: int, dimension: int):
    """Also where pictures are fewer than features; there, measured resamples are misleading."""
    draws = [normal(count, dimension, seed=s) + 0.8 for s in range(300)]
    values = torch.tensor([vendi(rows) for rows in draws])
    spread = float(values.quantile(0.975) - values.quantile(0.025))
    estimates = [measured("vendi", rows, rows, replicates=500) for rows in draws[:15]]
    width = sum(e.high - e.low for e in estimates) / len(estimates)
    assert width == pytest.approx(spread, rel=0.25)


def test_clusters_by_hand():
    """Around (1, 0): 0, 60 and 90 degrees of distance 1/2, 1, 1 - cos 30; around (-1, 0): equal."""
    angles = torch.tensor([0.0, 60.0, -30.0, 180.0, 180.0]) * math.pi / 180
    generated = torch.stack([angles.cos(), angles.sin()], dim=1)
    real = torch.tensor([[2.0, 0.0], [-3.0, 0.0], [0.0, -9.0]])
    first = (0.5 + (1 - math.cos(math.pi / 6)) + 1.0) / 3
    assert intra_cluster_distance(generated, real) == pytest.approx(first / 2, rel=1e-6)
    lone = torch.cat([generated, torch.tensor([[0.0, -1.0]])])  # one picture alone has no pair
    assert intra_cluster_distance(lone, real) == pytest.approx(first / 2, rel=1e-6)


def test_a_generator_that_copies_is_at_distance_zero():
    real = normal(6, 20, seed=0)
    copies = measured("intra_cluster", real.repeat(5, 1), real)
    assert (copies.low, copies.value, copies.high) == pytest.approx((0, 0, 0), abs=1e-12)
    varied = measured("intra_cluster", real.repeat(5, 1) + 0.3 * normal(30, 20, seed=1), real)
    assert 0 < varied.low < varied.value < varied.high
    more = intra_cluster_distance(real.repeat(5, 1) + 0.6 * normal(30, 20, seed=1), real)
    assert more > 1.5 * varied.value


@pytest.mark.parametrize("dimension", [3, 9])  # fewer than a cluster's pictures, and more
def test_every_replicate_pairs_only_different_pictures(dimension: int):
    rows, real = normal(9, dimension, seed=0), normal(2, dimension, seed=1)
    resampling = Resampling(replicates=25)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows, dim=2)
    nearest = torch.nn.functional.cosine_similarity(rows[:, None], real, dim=2).argmax(dim=1)
    assert sorted(nearest.bincount().tolist())[0] >= 2
    assert (nearest.bincount().max() > dimension) == (dimension == 3)

    def one(counts: list[float]) -> float:
        means: list[float] = []
        for cluster in (0, 1):
            inside = [i for i in range(9) if nearest[i] == cluster]
            pairs = [
                (counts[i] * counts[j], cosines[i, j]) for i in inside for j in inside if i != j
            ]
            weight = sum(w for w, _ in pairs)
            if weight:
                means.append(float(sum(w * (1 - c) for w, c in pairs)) / weight)
        return sum(means) / len(means)

    replicates = [one(w) for w in resampling.weights(9, "generated").tolist()]
    value = one([1.0] * 9)
    expected = resampling.interval(value, torch.tensor(replicates, dtype=torch.float64))
    found = measured("intra_cluster", rows, real, replicates=25)
    assert found.value == pytest.approx(value, rel=1e-5)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-4)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ScoreError, match="no two are in one cluster"):
        intra_cluster_distance(torch.eye(3), torch.eye(3))
    with pytest.raises(ScoreError, match="1 of 3 pictures are all zero"):
        vendi(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
