"""Precision, recall, density and coverage on sets whose answer is known."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics import manifold
from graftgan.metrics.manifold import density_and_coverage, precision_and_recall
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling


def normal(count: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def scores(generated: Tensor, real: Tensor) -> dict[str, Estimate]:
    sides = [Features(values=rows, logits=None, sha256="") for rows in (generated, real)]
    found: dict[str, Estimate] = {}
    for name in ("precision_recall", "density_coverage"):
        found.update(METRICS[name].measure(*sides, Resampling()))
    return found


def test_points_on_a_line_by_hand():
    """Real balls of 1 neighbour: 0 and 1 of radius 1, 5 of radius 4; generated: 3, 5.5, 30."""
    real, generated = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[3.0], [5.5], [30.0]])
    precise, recalled = precision_and_recall(generated, real, neighbours=1)
    assert precise.tolist() == [True, True, False]
    # Generated balls: [0.5, 5.5], [3, 8], [5.5, 54.5].
    assert recalled.tolist() == [False, True, True]
    density, covered = density_and_coverage(generated, real, neighbours=1)
    assert density.tolist() == [1.0, 1.0, 0.0]
    assert covered.tolist() == [False, False, True]


def test_a_border_is_inside_for_precision_and_outside_for_density():
    real, generated = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [4.0]])
    precise, recalled = precision_and_recall(generated, real, neighbours=1)
    assert precise.tolist() == [True, False]
    assert recalled.tolist() == [True, True]
    density, covered = density_and_coverage(generated, real, neighbours=1)
    assert density.tolist() == [0.0, 0.0]
    assert covered.tolist() == [False, False]


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    found = scores(0.05 * normal(80, 8, seed=1), normal(120, 8, seed=2))
    assert found["precision"].value > 0.95
    assert found["recall"].value < 0.05
    assert found["coverage"].value < 0.3
    assert found["density"].value > 1


def test_a_scattering_generator_recalls_and_is_not_precise():
    found = scores(4 * normal(120, 8, seed=1), normal(80, 8, seed=2))
    assert found["precision"].value < 0.2
    assert found["recall"].value > 0.95
    assert found["density"].value < 0.2


def test_equal_sets_are_all_inside_and_of_density_one():
    rows = 50 + normal(90, 6, seed=3)
    found = scores(rows[torch.randperm(90)], rows)
    values = {label: estimate.value for label, estimate in found.items()}
    one = pytest.approx(1.0, abs=1e-12)  # a mean of fifths, rounded by the order of the rows
    assert values == {"precision": 1.0, "recall": 1.0, "density": one, "coverage": 1.0}


def test_far_sets_share_nothing():
    values = [e.value for e in scores(normal(40, 6, 1) + 100, normal(40, 6, 2)).values()]
    assert values == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 3), (1000, 1000)])
def test_the_blocks_leave_no_trace(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch):
    generated, real = 0.8 * normal(40, 5, seed=1), normal(31, 5, seed=2)
    whole = scores(generated, real)
    monkeypatch.setattr(manifold, "_ROWS", rows)
    monkeypatch.setattr(manifold, "_COLUMNS", columns)
    assert scores(generated, real) == whole
    assert 0 < whole["recall"].value < 1


def test_small_differences_far_from_the_origin_are_kept():
    """Float32 sums of squares would lose what tells these pictures apart."""
    near_generated, near_real = 0.7 * normal(60, 4, seed=1), normal(60, 4, seed=2)
    offset = 2.0**12
    far_real, far_generated = near_real + offset, near_generated + offset
    # What is left of the pictures after the shift, exactly.
    expected = scores(far_generated - offset, far_real - offset)
    assert scores(far_generated, far_real) == expected
    assert 0.1 < expected["recall"].value < 0.9


@pytest.mark.parametrize("dimension", [6, 300])
def test_repeated_pictures_are_at_distance_zero_whatever_the_rounding(dimension: int):
    """Their balls have no radius: they hold the picture itself (<=), or nothing (<)."""
    repeated = (normal(1, dimension, seed=1) + 100).repeat(6, 1)
    real = torch.cat([repeated, normal(31, dimension, seed=2) + 109])
    generated = torch.cat([repeated[:5], normal(11, dimension, seed=3)])
    precise, _ = precision_and_recall(generated, real, neighbours=3)
    assert precise[:5].all()
    density, covered = density_and_coverage(repeated[:5], real, neighbours=3)
    assert density.tolist() == [0.0] * 5
    assert not covered[:6].any()


def test_the_intervals_are_those_of_means_over_pictures():
    generated, real = 0.7 * normal(60, 4, seed=1), normal(70, 4, seed=2)
    precise, recalled = precision_and_recall(generated, real)
    density, covered = density_and_coverage(generated, real)
    draw = Resampling()
    expected = {
        "precision": draw.mean(precise, "generated"),
        "recall": draw.mean(recalled, "reference"),
        "density": draw.mean(density, "generated"),
        "coverage": draw.mean(covered, "reference"),
    }
    found = scores(generated, real)
    assert found == expected
    assert all(e.low < e.value < e.high for name, e in found.items() if name != "precision")


def test_too_few_pictures_are_refused_and_least_is_enough():
    for name in ("precision_recall", "density_coverage"):
        metric = METRICS[name]
        enough = Features(values=normal(metric.least, 3, 0), logits=None, sha256="")
        assert metric.measure(enough, enough, Resampling())
        few = enough.subset(torch.arange(metric.least - 1))
        with pytest.raises(ScoreError, match=f"at least {metric.least} pictures"):
            metric.measure(enough, few, Resampling())
