"""Styles of two latents in one picture."""

import pytest
import torch

from graftgan.core.network_types import mixed_styles

PICTURES, LAYERS = 4000, 6


@pytest.fixture(scope="module")
def chosen() -> torch.Tensor:
    """Return for each picture and layer whether it has the other's style."""
    ours, others = torch.zeros(PICTURES, LAYERS, 3), torch.ones(PICTURES, LAYERS, 3)
    mixed = mixed_styles(ours, others, 0.6, torch.Generator().manual_seed(0))
    assert torch.equal(mixed[..., 0], mixed[..., 2])
    return mixed[..., 0].bool()


def test_a_share_of_pictures_is_mixed(chosen: torch.Tensor):
    assert float(chosen.any(dim=1).float().mean()) == pytest.approx(0.6, abs=0.03)


def test_the_first_layer_is_always_ones_own_and_the_rest_begins_anywhere(chosen: torch.Tensor):
    assert not chosen[:, 0].any()
    begins = LAYERS - chosen[chosen.any(dim=1)].sum(dim=1)
    counts = torch.bincount(begins, minlength=LAYERS)[1:].float()
    assert (counts / counts.sum() - 1 / (LAYERS - 1)).abs().max() < 0.03
    assert chosen.int().diff(dim=1).min() >= 0, "from there to the end"


def test_none_and_all():
    ours, others = torch.randn(2, 50, 4, 2, generator=torch.Generator().manual_seed(1))
    rng = torch.Generator().manual_seed(2)
    assert torch.equal(mixed_styles(ours, others, 0.0, rng), ours)
    assert torch.equal(mixed_styles(ours, others, 1.0, rng)[:, -1], others[:, -1])
