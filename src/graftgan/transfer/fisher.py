"""The diagonal of the Fisher information: how much each number matters for what a pair draws."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.core.progress import Progress, silent
from graftgan.core.tensors import Scalar
from graftgan.networks.normalisation_statistics import layers_on_batch_statistics

S = TypeVar("S")


def mean_squared_gradients(
    log_likelihood: Callable[[S], Scalar],
    parameters: Sequence[Tensor],
    samples: Sequence[S],
    *,
    what: str = "measuring",
    progress: Progress = silent,
) -> list[Tensor]:
    """Return E[(d log_likelihood(sample) / d parameter)^2], the diagonal of the Fisher information.

    The gradient of each sample is squared before the mean. Squaring the mean over a batch instead
    gives about a share of 1 / batch of it; a mean without a square is no Fisher information.
    """
    sums = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    for number, sample in enumerate(samples, start=1):
        gradients = torch.autograd.grad(log_likelihood(sample), parameters)
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient.double().square()
        progress(what, number, len(samples))
    return [(total / len(samples)).float() for total in sums]


def refuse_mixed_samples(pair: NetworkPair, *, what: str, instead: str) -> None:
    """Refuse to look at single samples where networks mix those of a batch.

    Raises:
        SettingsError: Some layer normalises with the statistics of the batch at hand.
    """
    if any(layers_on_batch_statistics(network.layers().items()) for _, network in pair.items()):
        raise SettingsError(
            f"{what} looks at one sample at a time, and this source normalises with the statistics "
            f"of a batch; take {instead}"
        )
