"""Resolve a plan against real networks, check it, apply it, and report what it did."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from torch import Tensor, nn
from torch.nn import Parameter

from graftgan.core.errors import PlanError
from graftgan.core.network_types import NetworkPair
from graftgan.core.randomness import Randomness
from graftgan.networks.normalisation_statistics import (
    Statistics,
    follow_running_statistics,
    layers_on_batch_statistics,
)
from graftgan.transfer.actions import ACTIONS, Context
from graftgan.transfer.modulation import USUAL_LOW_RANK, LowRank
from graftgan.transfer.plan import Plan, describe

Decisions = Mapping[str, Mapping[str, str]]  # network -> layer -> action


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What a plan did to one layer.

    Attributes:
        parameters: Numbers in the layer before the plan.
        trainable: Numbers that training may change.
    """

    layer: str
    action: str
    kind: str
    parameters: int
    trainable: int


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a plan did, layer by layer, before the first iteration."""

    notation: str
    statistics: Statistics
    networks: Mapping[str, tuple[LayerReport, ...]]

    @property
    def parameters(self) -> int:
        """Numbers in both networks."""
        return sum(row.parameters for rows in self.networks.values() for row in rows)

    @property
    def trainable(self) -> int:
        """Numbers that training may change."""
        return sum(row.trainable for rows in self.networks.values() for row in rows)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``plan.json``."""
        return {
            "notation": self.notation,
            "frozen_statistics": self.statistics,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "networks": {
                network: [
                    {name: getattr(row, name) for name in LayerReport.__slots__} for row in rows
                ]
                for network, rows in self.networks.items()
            },
        }


@dataclass(frozen=True, slots=True)
class TrainableLayer:
    """The parameters of one layer that training may change, with the action that chose them."""

    layer: str
    action: str
    parameters: list[Parameter]


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """A plan in force.

    Attributes:
        trainable: For each network, its layers with something to train.
    """

    report: PlanReport
    decisions: Decisions
    trainable: Mapping[str, tuple[TrainableLayer, ...]]


def resolve(plan: Plan, pair: NetworkPair) -> Decisions:
    """Decide the action of every layer, and check that each layer can take it.

    Raises:
        PlanError: Everything that does not fit, in one message. The networks are untouched.
    """
    decisions: dict[str, dict[str, str]] = {}
    problems: list[str] = []
    for network, module in pair.items():
        layers = module.layers()
        try:
            decided = plan.for_network(network).actions(list(layers), network=network)
        except PlanError as error:
            problems.append(str(error))
            continue
        for layer, action in decided.items():
            problem = ACTIONS[action].problem(layers[layer])
            if problem is not None:
                problems.append(f"{layer} of the {network} cannot take {action}: it {problem}")
        decisions[network] = decided
    if problems:
        raise PlanError("; ".join(problems))
    return decisions


def apply_plan(
    plan: Plan,
    pair: NetworkPair,
    *,
    fresh: Callable[[], NetworkPair],
    statistics: Statistics,
    low_rank: LowRank = USUAL_LOW_RANK,
    filters: Mapping[str, Tensor] | None = None,
) -> AppliedPlan:
    """Put ``plan`` in force on ``pair``, in place; it owns trainability from here on.

    Args:
        plan: What to do.
        pair: The source's networks.
        fresh: Returns the same networks with fresh weights; called for ``reset`` alone.
        statistics: What frozen and modulated layers normalise with.
        low_rank: How ``lora`` is done.
        filters: For ``by_importance``, the filters of each kernel, as ``network.module``, that are
            modulated; None: all of them, as in the probe that finds out.

    Raises:
        PlanError: The plan does not fit; the networks are untouched.
        CheckpointError: ``filters`` are not those of these networks.
    """
    decisions = resolve(plan, pair)
    if statistics == "source":
        _refuse_without_statistics(decisions, pair)
    built = cache(fresh)
    reports: dict[str, tuple[LayerReport, ...]] = {}
    trainable: dict[str, tuple[TrainableLayer, ...]] = {}
    for network, module in pair.items():
        module.train().requires_grad_(False)
        follow_running_statistics(module)
        modulated = None if filters is None else _by_module(filters, network, module)
        rows: list[LayerReport] = []
        chosen: list[TrainableLayer] = []
        for name, layer in module.layers().items():
            action = decisions[network][name]
            size = _size(layer)
            rng = Randomness(low_rank.seed).generator(f"modulation of {network} {name}")
            context = Context(
                statistics, partial(_layer, built, network, name), low_rank, rng, modulated
            )
            parameters = ACTIONS[action].apply(layer, context)
            for parameter in parameters:
                parameter.requires_grad_(True)
            # Modulations bring parameters of their own; keep all others of the layer frozen.
            _freeze_all_but(layer, parameters)
            rows.append(LayerReport(name, action, _kind(layer), size, _numbers(parameters)))
            if parameters:
                chosen.append(TrainableLayer(name, action, parameters))
        reports[network], trainable[network] = tuple(rows), tuple(chosen)
    in_full = Plan(**{network: describe(network, d) for network, d in decisions.items()})
    report = PlanReport(str(in_full), statistics, reports)
    return AppliedPlan(report, decisions, trainable)


def _layer(fresh: Callable[[], NetworkPair], network: str, name: str) -> nn.Module:
    return dict(fresh().items())[network].layers()[name]


def _by_module(
    filters: Mapping[str, Tensor], network: str, module: nn.Module
) -> dict[nn.Module, Tensor]:
    names = {f"{network}.{path}": part for path, part in module.named_modules()}
    return {part: filters[name] for name, part in names.items() if name in filters}


def _refuse_without_statistics(decisions: Decisions, pair: NetworkPair) -> None:
    """Refuse to normalise with running statistics that the source itself does not use."""
    unusable = [
        f"{layer} of the {network}"
        for network, module in pair.items()
        for layer in layers_on_batch_statistics(module.layers().items())
        if decisions[network][layer] not in {"fine_tune", "reset"}
    ]
    if unusable:
        raise PlanError(
            f"the source normalises {', '.join(unusable)} with the batch's statistics and has no "
            "running ones that fit; take --frozen-statistics batch, or fine_tune these layers"
        )


def _freeze_all_but(layer: nn.Module, chosen: list[Parameter]) -> None:
    kept = {id(p) for p in chosen}
    for parameter in layer.parameters():
        parameter.requires_grad_(id(parameter) in kept)


def _numbers(parameters: list[Parameter]) -> int:
    return sum(math.prod(p.shape) for p in parameters)


def _size(layer: nn.Module) -> int:
    return _numbers(list(layer.parameters()))


def _kind(layer: nn.Module) -> str:
    """Return the layer's first kernel in words, such as ``ConvTranspose2d 100-512, 4x4``."""
    for part in layer.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            height, width = part.kernel_size
            name = "ConvTranspose2d" if isinstance(part, nn.ConvTranspose2d) else "Conv2d"
            return f"{name} {part.in_channels}-{part.out_channels}, {height}x{width}"
        if isinstance(part, nn.Linear):
            return f"Linear {part.in_features}-{part.out_features}"
    return type(layer).__name__
