"""A blank pair is the one that would be built, but for the numbers that are drawn."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graftgan.core.network_types import tensors_of
from graftgan.networks.backbone import BACKBONES, blank_pair, build_pair
from tiny_networks import latents, tiny_architecture


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_a_blank_pair_with_the_weights_of_another_is_that_other(backbone: str):
    architecture = tiny_architecture(backbone)
    built = build_pair(architecture, torch.Generator().manual_seed(5))
    blank = blank_pair(architecture)
    for (_, network), (_, other) in zip(blank.items(), built.items(), strict=True):
        network.load_state_dict(tensors_of(other))
        network.eval()
        other.eval()
    latent = latents()
    with torch.no_grad():
        assert torch.equal(blank.generator(latent), built.generator(latent))


class Draws(TorchDispatchMode):
    """Counts what PyTorch is made to draw, however deep inside of its own code."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += func in (torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_nothing_is_drawn_for_a_blank_pair(backbone: str):
    with Draws() as blank:
        blank_pair(tiny_architecture(backbone))
    with Draws() as built:
        build_pair(tiny_architecture(backbone))
    assert (blank.count, built.count > 10) == (0, True)
