"""How much numbers matter: their Fisher information, and what ``by_importance`` decides by it.

Source: Zhao et al. 2022 (arXiv:2210.16559, section 4). In a probe every filter is modulated; how
much a filter matters is the Fisher information of its modulation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import Progress, SettingsError, silent
from graftgan.core.network_types import Images, Latents, NetworkPair, Scalar
from graftgan.networks.blocks import layers_on_batch_statistics
from graftgan.transfer.modulation import KernelModulation

S = TypeVar("S")
Filters = Mapping[str, Tensor]  # network.module -> the filters of its kernel that are modulated
_INSIDE = ".parametrizations.weight."


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
    """Raise SettingsError where networks mix the samples of a batch: ``what`` looks at each."""
    if any(layers_on_batch_statistics(network.layers().items()) for _, network in pair.items()):
        raise SettingsError(
            f"{what} looks at one sample at a time, and this source normalises with the statistics "
            f"of a batch; take {instead}"
        )


def filter_importance(
    pair: NetworkPair, latents: Latents, real: Images, *, progress: Progress = silent
) -> dict[str, Tensor]:
    """Return how much each filter of each modulated kernel matters, by ``network.module``.

    It is the Fisher information of the filter's own number v plus the mean over those of u that the
    filters share. The likelihood is that of the logistic loss: for the generator sigmoid(D(G(z))),
    for the discriminator sigmoid(D(x)) (1 - sigmoid(D(G(z)))). ``pair`` is at the end of the probe,
    and is spent by it; ``latents`` (n, z) are drawn, ``real`` (n, c, h, w) is of the target.
    """
    for _, network in pair.items():
        network.eval().requires_grad_(False)

    def of_generator(number: int) -> Scalar:
        return F.logsigmoid(pair.discriminator(pair.generator(latents[number, None]))).sum()

    def of_discriminator(number: int) -> Scalar:
        with torch.no_grad():
            fake = pair.generator(latents[number, None])
        real_logit = pair.discriminator(real[number, None])
        return (F.logsigmoid(real_logit) + F.logsigmoid(-pair.discriminator(fake))).sum()

    likelihoods = {"discriminator": of_discriminator, "generator": of_generator}
    found: dict[str, Tensor] = {}
    for role, network in pair.items():
        parts = network.named_modules()
        kernels = {n.partition(_INSIDE)[0]: p for n, p in parts if isinstance(p, KernelModulation)}
        factors = [p for kernel in kernels.values() for p in (kernel.v, kernel.u)]
        for factor in factors:
            factor.requires_grad_(True)
        if factors:
            what, numbers = f"measuring the {role}'s filters", range(len(latents))
            squares = iter(
                mean_squared_gradients(
                    likelihoods[role], factors, numbers, what=what, progress=progress
                )
            )
            found |= {f"{role}.{name}": next(squares) + next(squares).mean() for name in kernels}
        network.requires_grad_(False)
    return found


def most_important(importance: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the filters of each kernel among the most important ``share`` of its network's."""
    chosen: dict[str, Tensor] = {}
    for role in {name.partition(".")[0] for name in importance}:
        own = {n: t.cpu() for n, t in importance.items() if n.startswith(f"{role}.")}
        together = torch.cat(list(own.values()))
        ranked = together.sort(descending=True, stable=True).indices
        modulated = torch.zeros(len(together), dtype=torch.bool)
        modulated[ranked[: round(share * len(together))]] = True
        parts = modulated.split([len(t) for t in own.values()])
        chosen |= {name: part.nonzero().flatten() for name, part in zip(own, parts, strict=True)}
    return chosen


def filters_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return which filters are modulated in saved networks, from ``<network>.<tensor's name>``."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kernel, inside, rest = name.partition(_INSIDE)
        if inside and rest.endswith(".modulated"):
            found[kernel] = tensor
        elif inside and rest.endswith(".tuned"):  # alone in a kernel of which nothing is modulated
            found.setdefault(kernel, tensor[:0])
    return found
