"""The networks of training on codes: the generator in two parts, and the critic of codes.

A code is what enters the first of the frozen layers at the end of the generator. Those are the
decoder, the layers before them are the head.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from graftgan.core.network_types import (
    Architecture,
    Discriminator,
    Generator,
    Layers,
    Steps,
    in_turn,
)
from graftgan.core.tensors import Images, Latents, Logits
from graftgan.networks.blocks import start_by_fan_in

_CRITIC_WIDTHS = (512, 256, 128)  # those of the authors' code


class Head(Generator):
    """The first layers of a generator, shared with it: from latents to codes."""

    def __init__(self, generator: Generator, layers: Sequence[str]) -> None:
        super().__init__()
        self.architecture = generator.architecture
        self._parts = nn.ModuleDict({name: generator.layers()[name] for name in layers})
        self._steps = {name: generator.steps()[name] for name in layers}

    def layers(self) -> Layers:
        """Return the layers of the head."""
        return dict(self._parts.items())

    def steps(self) -> Steps:
        """Return the generator's first steps."""
        return self._steps

    def forward(self, latents: Latents) -> Tensor:
        """Map latents (b, z) to codes (b, ...)."""
        return in_turn(self._steps, latents)


class CodeCritic(Discriminator):
    """Four linear layers with ReLU between them: from codes to scores."""

    def __init__(self, code_size: int, architecture: Architecture, rng: torch.Generator) -> None:
        super().__init__()
        self.architecture = architecture
        sizes = [code_size, *_CRITIC_WIDTHS, 1]
        self.linears = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        for linear in self.linears:
            assert isinstance(linear, nn.Linear)
            start_by_fan_in(linear, rng)

    def layers(self) -> Layers:
        """Return ``layer1`` (codes) to ``layer4`` (score)."""
        return {f"layer{i}": linear for i, linear in enumerate(self.linears, start=1)}

    def forward(self, images: Tensor) -> Logits:
        """Map codes (b, ...) to logits (b,)."""
        *hidden, last = self.linears
        features = images.flatten(start_dim=1)
        for linear in hidden:
            features = torch.relu(linear(features))
        return last(features).flatten()


class Decoder:
    """The last layers of a generator, shared with it: from codes to pictures."""

    def __init__(self, generator: Generator, layers: Sequence[str]) -> None:
        self._steps = {name: generator.steps()[name] for name in layers}

    def __call__(self, codes: Tensor) -> Images:
        """Map codes (b, ...) to images (b, c, h, w)."""
        return in_turn(self._steps, codes)


def head_and_decoder(actions: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of the layers before the frozen ones at the end, and of those."""
    names = list(actions)
    frozen = 0
    while frozen < len(names) and actions[names[-1 - frozen]] == "freeze":
        frozen += 1
    border = len(names) - frozen
    return names[:border], names[border:]
