"""A running average of the generator, whose half-life follows the images seen."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from graftgan.networks import Generator, tensors_of


class GeneratorAverage:
    """An exponential average of a generator's weights and running statistics.

    Source: Karras et al. 2018 (arXiv:1710.10196, section 6); half-life in images with a ramp-up as
    Karras et al. 2020 (arXiv:2006.06676): beta = 0.5 ^ (batch / half-life), half-life at most
    ``ramp_up`` times the images seen. A fixed decay of 0.999 lags behind a short transfer.
    """

    def __init__(self, live: Generator, *, half_life_images: int, ramp_up: float) -> None:
        self.generator = copy.deepcopy(live).requires_grad_(False)
        self._half_life_images = half_life_images
        self._ramp_up = ramp_up
        frozen = {name for name, p in live.named_parameters() if not p.requires_grad}
        new, old = tensors_of(live), tensors_of(self.generator)
        moving = [name for name in new if name not in frozen]
        real = [name for name in moving if new[name].is_floating_point()]
        self._new, self._old = [new[n] for n in real], [old[n] for n in real]
        counters = [name for name in moving if not new[name].is_floating_point()]
        self._new_counts, self._old_counts = [new[n] for n in counters], [old[n] for n in counters]

    @torch.no_grad()
    def update(self, *, batch_size: int, images_seen: int) -> None:
        """Move the average towards the live generator after a batch."""
        share = 1.0 - self.decay(batch_size=batch_size, images_seen=images_seen)
        if self._old:
            torch._foreach_lerp_(self._old, self._new, share)  # pyright: ignore[reportPrivateUsage]
        for old, new in zip(self._old_counts, self._new_counts, strict=True):
            old.copy_(new)

    def decay(self, *, batch_size: int, images_seen: int) -> float:
        """Return the weight of the old average after ``images_seen`` images."""
        half_life = min(self._half_life_images, self._ramp_up * images_seen)
        return 0.5 ** (batch_size / half_life) if half_life > 0 else 0.0

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the averaged tensors by name."""
        return tensors_of(self.generator)
