"""Which filters matter: what ``by_importance`` decides after a probe, and what is kept of it.

Source: Zhao et al. 2022 (arXiv:2210.16559, section 4). In the probe every filter is modulated; how
much a filter matters is the Fisher information of its modulation.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.network_types import LayeredNetwork, NetworkPair
from graftgan.core.progress import Progress, silent
from graftgan.core.tensors import Images, Latents, Scalar
from graftgan.transfer.apply import AppliedPlan
from graftgan.transfer.fisher import mean_squared_gradients
from graftgan.transfer.modulation import KernelModulation

ACTION = "by_importance"
Filters = Mapping[str, Tensor]  # network.module -> the filters of its kernel that are modulated
_INSIDE = ".parametrizations.weight."


def needs_probe(plan: AppliedPlan) -> bool:
    """Return whether some layer is treated by the importance of its filters."""
    return any(ACTION in layers.values() for layers in plan.decisions.values())


def filter_importance(
    pair: NetworkPair, latents: Latents, real: Images, *, progress: Progress = silent
) -> dict[str, Tensor]:
    """Return how much each filter of each modulated kernel matters, by ``network.module``.

    It is the Fisher information of the filter's own number v plus the mean over those of u that the
    filters share. The likelihood is that of the logistic loss: for the generator sigmoid(D(G(z))),
    for the discriminator sigmoid(D(x)) (1 - sigmoid(D(G(z)))). ``pair`` is spent by it.

    Args:
        pair: The networks at the end of the probe, every filter modulated.
        latents: What to draw, (n, z).
        real: Pictures of the target, (n, c, h, w).
        progress: Told how far it is.
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
        kernels = _modulations(network)
        factors = [p for kernel in kernels.values() for p in (kernel.v, kernel.u)]
        for factor in factors:
            factor.requires_grad_(True)
        if factors:
            what = f"measuring the {role}'s filters"
            numbers: Sequence[int] = range(len(latents))
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


def _modulations(network: LayeredNetwork) -> dict[str, KernelModulation]:
    return {
        name.partition(_INSIDE)[0]: part
        for name, part in network.named_modules()
        if isinstance(part, KernelModulation)
    }
