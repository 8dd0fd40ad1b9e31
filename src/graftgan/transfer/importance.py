"""Fisher information, and the filters that ``by_importance`` chooses by it.

Source: Zhao et al. 2022 (arXiv:2210.16559, section 4). A probe modulates every filter; the
importance of a filter is the Fisher information of its modulation.
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
Filters = Mapping[str, Tensor]  # network.module -> the modulated filters of its kernel
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

    The gradient of each sample is squared before the mean. Squaring the mean of a batch instead
    would give about 1 / batch of it.
    """
    sums = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    for number, sample in enumerate(samples, start=1):
        gradients = torch.autograd.grad(log_likelihood(sample), parameters)
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient.double().square()
        progress(what, number, len(samples))
    return [(total / len(samples)).float() for total in sums]


def refuse_mixed_samples(pair: NetworkPair, *, what: str, instead: str) -> None:
    """Raise SettingsError where a network normalises with the batch; ``what`` needs each sample."""
    if any(layers_on_batch_statistics(network.layers().items()) for _, network in pair.items()):
        raise SettingsError(
            f"{what} looks at one sample at a time, and this source normalises with the statistics "
            f"of a batch; take {instead}"
        )


def filter_importance(
    pair: NetworkPair, latents: Latents, real: Images, *, progress: Progress = silent
) -> dict[str, Tensor]:
    """Return the importance of each filter of each modulated kernel, by ``network.module``.

    It is the Fisher information of the filter's own v plus the mean of that of the shared u. The
    likelihood is that of the logistic loss: sigmoid(D(G(z))) for the generator, and
    sigmoid(D(x)) (1 - sigmoid(D(G(z)))) for the discriminator. ``pair`` is at the end of the probe,
    and cannot be used afterwards; ``latents`` is (n, z), ``real`` (n, c, h, w).
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
            of_both = mean_squared_gradients(
                likelihoods[role], factors, numbers, what=what, progress=progress
            )
            of_v_and_u = zip(kernels, of_both[::2], of_both[1::2], strict=True)
            found |= {f"{role}.{name}": of_v + of_u.mean() for name, of_v, of_u in of_v_and_u}
        network.requires_grad_(False)
    return found


def most_important(importance: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return for each kernel its filters among the top ``share`` of the network's filters."""
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
    """Return the modulated filters in saved networks, from ``<network>.<tensor's name>``."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kernel, inside, rest = name.partition(_INSIDE)
        if inside and rest.endswith(".modulated"):
            found[kernel] = tensor
        elif inside and rest.endswith(".tuned"):  # perhaps no filter of the kernel is modulated
            found.setdefault(kernel, tensor[:0])
    return found
