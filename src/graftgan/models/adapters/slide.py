"""The way from one mix of adapters to another, in pictures."""

from collections.abc import Sequence

import torch

from graftgan.core.tensors import Latents, PictureBytes
from graftgan.models.adapters.bank import AdapterBank, Weights
from graftgan.networks.sampling import generate


def slide(
    bank: AdapterBank,
    start: Weights,
    end: Weights,
    *,
    positions: Sequence[float],
    latents: Latents,
    truncation: float = 1.0,
) -> PictureBytes:
    """Return the pictures of ``latents`` at each position, as (position, latent, c, h, w).

    Args:
        bank: The base with its adapters.
        start: What stands at 0; ``{}`` is the source.
        end: What stands at 1.
        positions: Where to look; below 0 and above 1 lies what is beyond the ends.
        latents: One for each row (n, z).
        truncation: Below 1 pictures lie nearer to the average one.

    Raises:
        UnknownName: No adapter of the bank has a name in ``start`` or ``end``.
        SettingsError: A weight is out of range.
    """
    generators = (bank.generator(between(start, end, position)) for position in positions)
    return torch.stack([generate(g, latents, truncation=truncation) for g in generators])


def between(start: Weights, end: Weights, position: float) -> dict[str, float]:
    """Return the weights at ``position`` on the line through ``start`` (0) and ``end`` (1)."""
    names = dict.fromkeys((*start, *end))
    return {
        name: (1 - position) * start.get(name, 0.0) + position * end.get(name, 0.0)
        for name in names
    }
