"""What the leading process decides on its own: collapse."""

import pytest
import torch

from graftgan.core.errors import TrainingDiverged
from graftgan.runs.recorder import CollapseGuard
from tiny_networks import tiny_pictures


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
