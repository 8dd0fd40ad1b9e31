"""Modulations of a fixed kernel, as parametrizations; folding them; means of folded networks."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import LayeredNetwork, NetworkPair
from graftgan.networks.blocks import batch_norms, use_batch_statistics

N = TypeVar("N", bound=LayeredNetwork)


class Modulation(nn.Module):
    """A parametrization that keeps the weight below it and folds into it.

    Attributes:
        factors: Names of its multiplicative parameters, which weight clipping must not touch.
        scales: Names of its scales and shifts, each with its neutral value.
    """

    factors: ClassVar[Sequence[str]] = ()
    scales: ClassVar[Mapping[str, float]] = {}


class AdaFM(Modulation):
    """Adaptive filter modulation: one scale and one shift for every k x k kernel.

    Source: Zhao et al. 2020 (arXiv:2002.11810), W' = gamma * W + beta with gamma, beta of the
    kernel's first two axes, (out, in) or transposed (in, out), the same for every tap. At the start
    gamma is 1 and beta 0, which gives W back exactly.
    Differs: in linear layers and 1 x 1 convolutions, where a kernel is a single weight, a pair for
    each would double the parameters and add nothing; there one pair serves a whole unit.
    """

    factors = ("gamma",)
    scales: ClassVar = {"gamma": 1.0, "beta": 0.0}

    def __init__(self, weight: Tensor, output_axis: int) -> None:
        super().__init__()
        shape = [*weight.shape[:2], *(1 for _ in weight.shape[2:])]
        if weight.shape[2:].numel() == 1:
            shape[1 - output_axis] = 1
        self.gamma = nn.Parameter(weight.new_ones(shape))
        self.beta = nn.Parameter(weight.new_zeros(shape))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the modulated kernel."""
        return torch.addcmul(self.beta, self.gamma, weight)


class ChannelScale(Modulation):
    """One learnable scale for each output channel: W' = gamma * W."""

    factors = ("gamma",)
    scales: ClassVar = {"gamma": 1.0}

    def __init__(self, weight: Tensor, channel_axis: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(weight.new_ones(weight.shape[channel_axis]))
        self._shape = [1] * weight.dim()
        self._shape[channel_axis] = -1

    def forward(self, weight: Tensor) -> Tensor:
        """Return the scaled tensor."""
        return self.gamma.view(self._shape) * weight


class ChannelShift(Modulation):
    """One learnable shift for each output channel: b' = b + beta."""

    scales: ClassVar = {"beta": 0.0}

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros_like(bias))

    def forward(self, bias: Tensor) -> Tensor:
        """Return the shifted bias."""
        return bias + self.beta


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """How the low-rank modulations of a plan are made.

    Attributes:
        rank: Of each change; at most that of the kernel.
        scale: Factor on the product of the two matrices.
        seed: Of the random initialisation of A.
    """

    rank: int = 4
    scale: float = 1.0
    seed: int = 0


USUAL_LOW_RANK = LowRank()


class LoRA(Modulation):
    """Low-rank adaptation: W' = W + scale * B A, with the kernel seen as a matrix.

    Source: Hu et al. 2021 (arXiv:2106.09685, section 4.1). The matrix has one row for each output
    channel, also for transposed convolutions. B starts at zero, which gives W back exactly, and A
    at N(0, 1 / columns).
    """

    factors = ("A", "B")

    def __init__(
        self, weight: Tensor, output_axis: int, low_rank: LowRank, rng: torch.Generator
    ) -> None:
        super().__init__()
        self._axis, self._scale = output_axis, low_rank.scale
        rows = weight.shape[output_axis]
        columns = weight.numel() // rows
        rank = min(low_rank.rank, rows, columns)  # a higher rank would add nothing
        start = torch.randn(rank, columns, generator=rng) / math.sqrt(columns)
        self.A = nn.Parameter(start.to(weight))
        self.B = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted kernel."""
        by_output = weight.transpose(0, self._axis).shape
        with torch.autocast(weight.device.type, enabled=False):  # as exact as the folded kernel
            change = (self.B @ self.A).view(by_output)
        return weight + self._scale * change.transpose(0, self._axis)


class KernelModulation(Modulation):
    """Rank-one modulation of some filters of a kernel: W' = W (1 + v u^T).

    Source: Zhao et al. 2022 (arXiv:2210.16559, section 4.2). v has one entry for each modulated
    filter; u has one for each input channel and tap, shared by the filters. At the start v is 0,
    which gives W back exactly, and u is 1, so that the first step scales whole filters.
    """

    factors = ("v", "u")

    def __init__(self, weight: Tensor, output_axis: int, filters: Tensor) -> None:
        super().__init__()
        self._axis = output_axis
        self.register_buffer("modulated", filters.clone())
        self.modulated: Tensor
        self.v = nn.Parameter(weight.new_zeros(len(filters)))
        self.u = nn.Parameter(weight.new_ones(weight.numel() // weight.shape[output_axis]))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the kernel with its modulated filters."""
        filters = weight.index_select(self._axis, self.modulated).transpose(0, self._axis)
        factor = 1.0 + (self.v[:, None] * self.u).view(filters.shape)
        changed = (filters * factor).transpose(0, self._axis)
        return weight.index_copy(self._axis, self.modulated, changed)


class TunedFilters(Modulation):
    """Trains some filters of a kernel; they start as the kernel's own."""

    def __init__(self, weight: Tensor, output_axis: int, filters: Tensor) -> None:
        super().__init__()
        self._axis = output_axis
        self.register_buffer("tuned", filters.clone())
        self.tuned: Tensor
        self.kernels = nn.Parameter(weight.detach().index_select(output_axis, filters))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the kernel with its tuned filters."""
        return weight.index_copy(self._axis, self.tuned, self.kernels)


def factors_in(module: nn.Module) -> list[nn.Parameter]:
    """Return the multiplicative parameters of the modulations in ``module``."""
    parts = [part for part in module.modules() if isinstance(part, Modulation)]
    return [part.get_parameter(name) for part in parts for name in part.factors]


def modulations_in(module: nn.Module) -> list[tuple[nn.Parameter, float]]:
    """Return the scales and shifts in ``module``, each with its neutral value."""
    parts = [part for part in module.modules() if isinstance(part, Modulation)]
    return [(part.get_parameter(n), value) for part in parts for n, value in part.scales.items()]


def fold(pair: NetworkPair) -> NetworkPair:
    """Return a copy with the modulations folded into the weights; its outputs are the same."""
    folded = copy.deepcopy(pair)
    modules = [module for _, network in folded.items() for module in network.modules()]
    for module in filter(parametrize.is_parametrized, modules):
        # A deep copy shares its class with the original, and removing a parametrization deletes
        # the attribute from the class: the original would lose it too.
        shared = type(module)
        own = type(shared.__name__, shared.__bases__, dict(shared.__dict__))
        module.__class__ = own  # pyright: ignore[reportAttributeAccessIssue]
        for name, chain in list(module.parametrizations.items()):  # pyright: ignore
            if any(isinstance(part, Modulation) for part in chain):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return folded


@torch.no_grad()
def mix_networks(parts: Sequence[tuple[N, float]]) -> N:
    """Return the weighted mean of plain networks, as a new network.

    Running variances are mixed geometrically: extrapolating them linearly soon leaves the positive
    numbers, and is further from the variances that the mixed weights really have (see
    ``docs/adapters.md``). A counter becomes the largest of the counters, and a norm follows the
    batch if one of theirs does.

    ``parts`` are networks whose modulations are folded, with weights that sum to 1. A network of
    weight 0 is ignored; a single one is returned as it is, bit for bit. Raises CheckpointError for
    different architectures.
    """
    networks = [network for network, weight in parts if weight != 0]
    weights = [weight for _, weight in parts if weight != 0]
    mixed = copy.deepcopy(networks[0])
    if len(networks) == 1:
        return mixed
    described = [network.architecture.as_dict() for network in networks]
    for name in described[0]:
        found = list(dict.fromkeys(str(each[name]) for each in described))
        if len(found) > 1:
            raise CheckpointError(
                f"networks of different architectures cannot be mixed: {name} is "
                f"{' and '.join(found)}; take one of them alone, with weight 1"
            )

    def mean(values: Tensor) -> Tensor:
        return torch.tensordot(values.new_tensor(weights), values, dims=1)

    states = [network.state_dict() for network in networks]
    variances = {id(norm.running_var) for norm in batch_norms([mixed])}
    for name, place in mixed.state_dict(keep_vars=True).items():
        values = torch.stack([state[name] for state in states])
        if not place.is_floating_point():
            place.copy_(values.amax(0))
        elif id(place) in variances:
            smallest = torch.finfo(values.dtype).tiny  # a dead channel's variance may be 0
            place.copy_(mean(values.double().clamp_min(smallest).log()).exp())
        else:
            place.copy_(mean(values.double()))
    for place, *like in zip(*(batch_norms([n]) for n in (mixed, *networks)), strict=True):
        if not all(norm.track_running_stats for norm in like):
            use_batch_statistics(place)
    return mixed
