"""Plans: what happens to each layer of each network. Parse, resolve and apply them.

Three notations, one network after the other, in any mix:

* ``D(1,2,2) G(1,2,2)``: the notation of paper 001. ``D(i,j,k)`` counts from the discriminator's
  input: freeze the first i layers, AdaFM on the next j, fine-tune the last k. ``G(i,j,k)`` counts
  from the generator's input the other way round: fine-tune the first k, AdaFM on the next j, freeze
  the last i. On both networks the picture's side is frozen.
* ``D[layer1=freeze, layer2-4=adafm, *=fine_tune]``: rules; the first that matches a layer wins.
* a preset's name, such as ``combined``; it fits any depth.

Layers added to a backbone, such as a mapper or classes, are not counted and match no pattern, so
that a plan means the same with and without them. They train, unless a rule names them:
``G[mapper=freeze, *=fine_tune]``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import Parameter

from graftgan.core.errors import PlanError, shown
from graftgan.core.network_types import ADDED_LAYERS, NetworkPair
from graftgan.core.randomness import Randomness
from graftgan.core.registry import suggest
from graftgan.networks.blocks import (
    Statistics,
    follow_running_statistics,
    layers_on_batch_statistics,
)
from graftgan.transfer.actions import ACTIONS, Context, convolutions
from graftgan.transfer.modulation import USUAL_LOW_RANK, LowRank

_PART = re.compile(r"([DG])\s*(?:\(([^()]*)\)|\[([^\[\]]*)\])")


@dataclass(frozen=True, slots=True)
class Split:
    """The (i,j,k) of paper 001: frozen, modulated and fine-tuned layers; None: all others."""

    freeze: int | None
    modulate: int | None
    tune: int | None

    def actions(self, layers: Sequence[str], *, network: str) -> dict[str, str]:
        """Return the action of each layer; raise PlanError if the numbers do not add up."""
        own, asked = _counted(layers), (self.freeze, self.modulate, self.tune)
        given = [n for n in asked if n is not None]
        counts = [len(own) - sum(given) if n is None else n for n in asked]
        if sum(counts) != len(own) or min(counts) < 0:
            letter = network[0].upper()
            raise PlanError(
                f"{self.text(network)} covers {sum(given)} layers, the {network} has {len(own)} "
                f"({', '.join(own)}); the three numbers of {letter}(i,j,k) must add up to "
                f"{len(own)}"
            )
        from_picture = ["freeze"] * counts[0] + ["adafm"] * counts[1] + ["fine_tune"] * counts[2]
        ordered = own if network == "discriminator" else own[::-1]
        return _in_order(layers, dict(zip(ordered, from_picture, strict=True)))

    def text(self, network: str) -> str:
        """Return the notation, with ``*`` for all others."""
        numbers = ("*" if n is None else str(n) for n in (self.freeze, self.modulate, self.tune))
        return f"{network[0].upper()}({','.join(numbers)})"


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns of layer names, each with an action; the first that matches wins."""

    rules: tuple[tuple[str, str], ...]

    def actions(self, layers: Sequence[str], *, network: str) -> dict[str, str]:
        """Return the action of each layer; raise PlanError with every problem of the rules."""
        chosen: dict[str, str] = {}
        problems: list[str] = []
        for pattern, action in self.rules:
            matching = _matching(pattern, layers)
            if not matching:
                problems.append(f"'{pattern}' matches no layer of the {network}")
            elif pattern != "*" and all(layer in chosen for layer in matching):
                problems.append(f"'{pattern}={action}' comes too late: all its layers have a rule")
            for layer in matching:
                chosen.setdefault(layer, action)
        problems += _unknown_actions(self.rules)
        missing = [layer for layer in _counted(layers) if layer not in chosen]
        problems += [f"{layer} of the {network} has no rule" for layer in missing]
        if problems:
            raise PlanError(f"{'; '.join(problems)}; its layers are {', '.join(layers)}")
        return _in_order(layers, chosen)

    def text(self, network: str) -> str:
        """Return the rules as text."""
        inner = ", ".join(f"{pattern}={action}" for pattern, action in self.rules)
        return f"{network[0].upper()}[{inner}]"


NetworkPlan = Split | Rules
Decisions = Mapping[str, Mapping[str, str]]  # network -> layer -> action


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to each layer of both networks."""

    discriminator: NetworkPlan
    generator: NetworkPlan

    def __str__(self) -> str:
        return f"{self.discriminator.text('discriminator')} {self.generator.text('generator')}"

    def for_network(self, network: str) -> NetworkPlan:
        """Return the part for ``discriminator`` or ``generator``."""
        return self.discriminator if network == "discriminator" else self.generator


PRESETS: dict[str, Plan] = {
    name: Plan(discriminator=both, generator=both)
    for name, both in {
        "fine_tune": Split(0, 0, None),
        "freeze": Split(None, 0, 2),
        "adafm": Split(0, None, 0),
        "lora": Rules((("*", "lora"),)),
        "combined": Split(1, None, 2),
        "scratch": Rules((("*", "reset"),)),
    }.items()
}
"""Named plans. On five layers ``combined`` is D(1,2,2) G(1,2,2), the best of paper 001, and
``freeze`` is D(3,0,2) G(3,0,2), its best plan with freezing alone."""


def parse_plan(text: str) -> Plan:
    """Read a plan from a preset's name or the notation; raise PlanError for other text."""
    stripped = text.strip()
    if stripped in PRESETS:
        return PRESETS[stripped]
    parts: dict[str, NetworkPlan] = {}
    for letter, numbers, rules in _PART.findall(stripped):
        network = {"D": "discriminator", "G": "generator"}[letter]
        if network in parts:
            raise PlanError(f"the plan '{text}' names {letter} twice")
        parts[network] = _parse_rules(rules, text) if rules else _parse_split(numbers, text)
    leftover = re.sub(r"[\s,;]+", "", _PART.sub("", stripped))
    if leftover or set(parts) != {"discriminator", "generator"}:
        raise PlanError(
            f"'{text}' is not a plan; write it like 'D(1,2,2) G(1,2,2)' or "
            f"'D[layer1=freeze, *=fine_tune] G(1,2,2)', or name one of: {', '.join(PRESETS)}"
        )
    return Plan(**parts)


def describe(network: str, actions: Mapping[str, str]) -> NetworkPlan:
    """Return the shortest plan with these actions for the layers of ``network``."""
    own = {layer: actions[layer] for layer in _counted(list(actions))}
    if dict(actions) != _in_order(list(actions), own):
        return Rules(tuple(actions.items()))  # added layers must be named
    count = [list(own.values()).count(a) for a in ("freeze", "adafm", "fine_tune")]
    split = Split(*count)
    if sum(count) == len(own) and split.actions(list(own), network=network) == own:
        return split
    if len(set(own.values())) == 1:
        return Rules((("*", next(iter(own.values()))),))
    return Rules(tuple(own.items()))


def _counted(layers: Sequence[str]) -> list[str]:
    """Return the backbone's own layers."""
    return [layer for layer in layers if layer not in ADDED_LAYERS]


def _in_order(layers: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the action of each layer; added layers without a rule train."""
    nothing_kept = set(chosen.values()) == {"reset"}
    return {layer: chosen.get(layer, "reset" if nothing_kept else "fine_tune") for layer in layers}


def _parse_split(numbers: str, text: str) -> Split:
    fields = [part.strip() for part in numbers.split(",")]
    if len(fields) != 3 or not all(f == "*" or f.isdecimal() for f in fields):
        raise PlanError(f"in '{text}', '({numbers})' must be three numbers like (1,2,2)")
    if fields.count("*") > 1:
        raise PlanError(f"in '{text}', only one of the three numbers may be *")
    return Split(*(None if f == "*" else int(f) for f in fields))


def _parse_rules(rules: str, text: str) -> Rules:
    pairs = [tuple(part.strip() for part in rule.split("=")) for rule in rules.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise PlanError(f"in '{text}', rules look like 'layer1=freeze, *=fine_tune'")
    found = tuple((pattern, action) for pattern, action in pairs)
    problems = _unknown_actions(found)
    if problems:
        raise PlanError(f"in '{text}', {'; '.join(problems)}")
    return Rules(found)


def _unknown_actions(rules: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"no action is named '{shown(action)}'; {suggest(action, ACTIONS)}"
        for _, action in rules
        if action not in ACTIONS
    ]


def _matching(pattern: str, layers: Sequence[str]) -> list[str]:
    if pattern in layers:
        return [pattern]
    layers = _counted(layers)
    span = re.fullmatch(r"(\w*?)(\d+)-(\d+)", pattern)
    if span is None:
        return [layer for layer in layers if fnmatchcase(layer, pattern)]
    stem, first, last = span.group(1), int(span.group(2)), int(span.group(3))
    wanted = {f"{stem}{number}" for number in range(first, last + 1)}
    return [layer for layer in layers if layer in wanted] if wanted <= set(layers) else []


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What a plan did to one layer; ``parameters`` counts those before the plan."""

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
    schedule: str = ""  # in full, if the plan changes with time

    @property
    def parameters(self) -> int:
        """Number of parameters of both networks."""
        return sum(row.parameters for rows in self.networks.values() for row in rows)

    @property
    def trainable(self) -> int:
        """Number of trainable parameters."""
        return sum(row.trainable for rows in self.networks.values() for row in rows)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``plan.json``."""
        return {
            "notation": self.schedule or self.notation,
            "frozen_statistics": self.statistics,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "networks": {
                network: [asdict(row) for row in rows] for network, rows in self.networks.items()
            },
        }


@dataclass(frozen=True, slots=True)
class TrainableLayer:
    """The trainable parameters of one layer, and the action that chose them."""

    layer: str
    action: str
    parameters: list[Parameter]


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """A plan that was applied; ``trainable`` lists the layers of each network that train."""

    report: PlanReport
    decisions: Decisions
    trainable: Mapping[str, tuple[TrainableLayer, ...]]


def needs_probe(plan: AppliedPlan) -> bool:
    """Return whether some layer has the action ``by_importance``."""
    return any("by_importance" in layers.values() for layers in plan.decisions.values())


def resolve(plan: Plan, pair: NetworkPair) -> Decisions:
    """Return the action of every layer; raise PlanError with everything that does not fit."""
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
    """Apply ``plan`` to ``pair`` in place; it alone decides what trains from here on.

    Args:
        plan: What to do.
        pair: The source's networks.
        fresh: Returns the same networks with fresh weights; called only for ``reset``.
        statistics: What frozen and modulated layers normalise with.
        low_rank: The settings of ``lora``.
        filters: For ``by_importance``, the modulated filters of each kernel by ``network.module``;
            None: all of them, as in the probe.

    Raises:
        PlanError: The plan does not fit; the networks are untouched.
        CheckpointError: ``filters`` are not those of these networks.
    """
    decisions = resolve(plan, pair)
    if statistics == "source":
        _refuse_without_statistics(decisions, pair)
    built = cache(lambda: dict(fresh().items()))
    reports: dict[str, tuple[LayerReport, ...]] = {}
    trainable: dict[str, tuple[TrainableLayer, ...]] = {}
    for network, module in pair.items():
        module.train().requires_grad_(False)
        follow_running_statistics(module)
        modulated = None
        if filters is not None:
            parts: dict[str, nn.Module] = dict(module.named_modules(prefix=network))
            modulated = {part: filters[path] for path, part in parts.items() if path in filters}
        rows: list[LayerReport] = []
        chosen: list[TrainableLayer] = []
        for name, layer in module.layers().items():
            action, size = decisions[network][name], sum(p.numel() for p in layer.parameters())
            rng = Randomness(low_rank.seed).generator(f"modulation of {network} {name}")

            def fresh_layer(network: str = network, name: str = name) -> nn.Module:
                return built()[network].layers()[name]

            context = Context(statistics, fresh_layer, low_rank, rng, modulated)
            parameters = ACTIONS[action].apply(layer, context)
            # Modulations bring parameters of their own; all others of the layer stay frozen.
            for parameter in layer.parameters():
                parameter.requires_grad_(any(parameter is own for own in parameters))
            count = sum(p.numel() for p in parameters)
            rows.append(LayerReport(name, action, _kind(layer), size, count))
            if parameters:
                chosen.append(TrainableLayer(name, action, parameters))
        reports[network], trainable[network] = tuple(rows), tuple(chosen)
    in_full = Plan(**{network: describe(network, d) for network, d in decisions.items()})
    report = PlanReport(str(in_full), statistics, reports)
    return AppliedPlan(report, decisions, trainable)


def _refuse_without_statistics(decisions: Decisions, pair: NetworkPair) -> None:
    """Refuse running statistics that the source itself does not use."""
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


def _kind(layer: nn.Module) -> str:
    """Return the layer's first kernel in words, such as ``ConvTranspose2d 100-512, 4x4``."""
    for part in convolutions(layer):
        if isinstance(part, nn.Linear):
            return f"Linear {part.in_features}-{part.out_features}"
        height, width = part.kernel_size
        name = "ConvTranspose2d" if isinstance(part, nn.ConvTranspose2d) else "Conv2d"
        return f"{name} {part.in_channels}-{part.out_channels}, {height}x{width}"
    return type(layer).__name__
