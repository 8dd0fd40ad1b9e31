"""A running average of the generator, whose half-life follows the images seen."""

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from graftgan.core.network_types import Generator, tensors_of


class GeneratorAverage:
    """An exponential average of a generator's weights and running statistics.

    Source: Karras et al. 2018 (arXiv:1710.10196, section 6); half-life in images with a ramp-up as
    Karras et al. 2020 (arXiv:2006.06676): beta = 0.5 ^ (batch / half-life), half-life at most
    ``ramp_up`` times the images seen. A fixed decay of 0.999 lags behind a short transfer.

    Args:
        live: The generator that trains.
        half_life_images: Images until an old weight counts half.
        ramp_up: The half-life is at most this share of the images seen.
        settled: Buffers of ``live`` that the average takes over as they are.
    """

    def __init__(
        self,
        live: Generator,
        *,
        half_life_images: int,
        ramp_up: float,
        settled: Collection[Tensor] = (),
    ) -> None:
        self.generator = copy.deepcopy(live).requires_grad_(False)
        self._half_life_images = half_life_images
        self._ramp_up = ramp_up
        frozen = {name for name, p in live.named_parameters() if not p.requires_grad}
        new, old = tensors_of(live), tensors_of(self.generator)
        moving = [name for name in new if name not in frozen]
        chosen = {id(buffer) for buffer in settled}
        copied = {name for name, buffer in live.named_buffers() if id(buffer) in chosen}
        copied |= {name for name in moving if not new[name].is_floating_point()}
        real = [name for name in moving if name not in copied]
        self._new, self._old = [new[n] for n in real], [old[n] for n in real]
        self._copies = [(old[name], new[name]) for name in copied]

    @torch.no_grad()
    def update(self, *, batch_size: int, images_seen: int) -> None:
        """Move the average towards the live generator after a batch."""
        share = 1.0 - self.decay(batch_size=batch_size, images_seen=images_seen)
        if self._old:
            torch._foreach_lerp_(self._old, self._new, share)  # pyright: ignore[reportPrivateUsage]
        for old, new in self._copies:
            old.copy_(new)

    def decay(self, *, batch_size: int, images_seen: int) -> float:
        """Return the weight of the old average after ``images_seen`` images."""
        half_life = min(self._half_life_images, self._ramp_up * images_seen)
        return 0.5 ** (batch_size / half_life) if half_life > 0 else 0.0

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the averaged tensors by name."""
        return tensors_of(self.generator)
