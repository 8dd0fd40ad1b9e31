"""What the leading process decides on its own: the best checkpoint, collapse."""

import json
from pathlib import Path

import pytest
import torch

from graftgan.errors import TrainingDiverged
from graftgan.recorder import CollapseGuard, best_iteration
from tiny_networks import tiny_pictures


def test_the_best_iteration_has_the_lowest_score(tmp_path: Path):
    assert best_iteration(tmp_path) is None
    scores = [(100, 0.3), (200, 0.1), (300, 0.2)]
    lines = [json.dumps({"iteration": i, "name": "SWD(16px)", "value": v}) for i, v in scores]
    other = json.dumps({"iteration": 300, "name": "another score", "value": 0.0})
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, other]) + "\n")
    assert best_iteration(tmp_path) == 200


def test_one_picture_over_and_over_is_a_collapse_only_after_variety():
    real = tiny_pictures(16)
    one = real[:1].expand(16, -1, -1, -1)
    guard = CollapseGuard(real)
    guard.look(one, iteration=300)  # a slow start: nothing was there to lose
    guard.look(tiny_pictures(16, seed=9), iteration=400)
    with pytest.raises(TrainingDiverged, match="iteration 500"):
        guard.look(one, iteration=500)


def test_a_set_of_almost_equal_pictures_may_be_learnt():
    base = tiny_pictures(1).float()
    rng = torch.Generator().manual_seed(0)
    alike = [(base + torch.randn(16, 3, 32, 32, generator=rng)).clamp(0, 255).byte() for _ in "ab"]
    guard = CollapseGuard(alike[1])
    for iteration in (0, 500):
        guard.look(alike[0], iteration=iteration)


def test_one_real_picture_alone_has_no_spread_to_lose():
    one = tiny_pictures(1)
    CollapseGuard(one).look(one, iteration=1)
