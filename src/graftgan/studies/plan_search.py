"""A search for a plan as plain data: its space, its scores and its budget."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from graftgan.core.errors import PlanError, SettingsError
from graftgan.core.registry import NamesDoc, Registry
from graftgan.core.settings import parse, require_range, strict, to_plain
from graftgan.experiments.experiment import DEFAULT_PLAN, Experiment
from graftgan.metrics.metric import METRICS
from graftgan.models.sources import open_source
from graftgan.studies.comparison import (
    check_scored,
    comparison_fingerprint,
    dotted_setting,
    overridden,
    settled_base,
)
from graftgan.transfer import ACTIONS, Plan, Split, parse_schedule
from graftgan.transfer.plan import NetworkPlan, describe

if TYPE_CHECKING:
    from graftgan.studies.strategies import Strategy

STRATEGIES: "Registry[type[Strategy]]" = Registry("strategy")


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits of a search, which begins no trial once it has reached one of them."""

    trials: int | None = None
    """Begin at most this many trials, with those before a --resume."""
    seconds: float | None = None
    """Begin no trial once all trials together took this many seconds."""
    images: int | None = None
    """Begin no trial once all trials together were shown this many images."""

    def __post_init__(self) -> None:
        require_range(self, "finite and positive", "trials", "seconds", "images")

    @property
    def unlimited(self) -> bool:
        """Whether only its strategy limits the search."""
        return self.trials is None and self.seconds is None and self.images is None


@strict
@dataclass(frozen=True, kw_only=True)
class PlanSearch:
    """Everything that decides the trials of a search, which all start from ``base``."""

    base: Experiment
    strategy: Annotated[str, NamesDoc("{}.", STRATEGIES)] = "gradual"
    budget: Budget = field(default_factory=Budget)
    networks: Literal["both", "discriminator", "generator"] = "both"
    """The networks whose layers are searched; the other one keeps its part of --plan."""
    actions: tuple[str, ...] = ("freeze", "adafm", "fine_tune")
    """The actions a layer may have; optuna takes any."""
    step: int = 1
    """The grid cuts a network at every this many layers."""
    then: tuple[str, ...] = ()
    """Steps of a schedule, such as fine_tune@0.4: grid and optuna try every plan without a step and
    with each of these after it. A schedule as --plan keeps its own steps after every plan."""
    tune: tuple[str, ...] = ("modulation_rate=0.3:30",)
    """Settings that optuna also chooses, each NAME=LOW:HIGH."""
    pruner: Literal["median", "halving", "hyperband", "none"] = "median"
    """How optuna ends trials early."""
    judge: Literal["end", "best"] = "end"
    """Compare trials by their score at the end, or at the best checkpoint."""
    confirm_seeds: int = 0
    """Run the best trials again with this many new seeds, beyond the budget; their means choose
    the winner."""
    confirm_top: int = 3
    """The number of trials that are run again."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.actions if name not in ACTIONS]
        if unknown or len(set(self.actions)) < max(2, len(self.actions)):
            raise SettingsError(
                f"actions must be two or more different ones of {', '.join(ACTIONS)}; got "
                f"{', '.join(self.actions)}"
            )
        require_range(self, "at least 1", "step", "confirm_top")
        for step in self.then:
            parse_schedule(f"{DEFAULT_PLAN} {_as_step(step)}")
        require_range(self, "finite and not negative", "confirm_seeds")

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks whose layers are searched."""
        return ("discriminator", "generator") if self.networks == "both" else (self.networks,)

    @property
    def better(self) -> str:
        """Which values of the deciding score are better, ``lower`` or ``higher``."""
        return next(iter(METRICS[self.base.scoring.metrics[0]].better.values()))

    def cost(self, value: float) -> float:
        """Return a score as a cost, or a cost as a score; a lower cost is better."""
        return -value if self.better == "higher" else value

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the range of each setting in ``tune``, by dotted name."""
        found: dict[str, tuple[float, float]] = {}
        for text in self.tune:
            name, _, ends = text.partition("=")
            try:
                low, high = (float(end) for end in ends.split(":"))
            except ValueError:
                raise SettingsError(
                    f"--tune takes a setting and its range, NAME=LOW:HIGH; got '{text}'"
                ) from None
            if not 0 < low < high < math.inf:
                raise SettingsError(f"the range in '{text}' must be positive and ascending")
            setting = dotted_setting(name)
            for end in (low, high):
                overridden(self.base, {setting: end})
            found[setting] = (low, high)
        return found

    def check(self) -> None:
        """Raise SettingsError if trials would not be comparable, or a name is unknown."""
        if self.base.source is None:
            raise SettingsError("search is for transfers: it needs a --source")
        check_scored(self.base, what="a search")
        self.base.check_names()
        self.ranges()
        if self.then and parse_schedule(self.base.plan or DEFAULT_PLAN).steps:
            raise SettingsError("--plan has steps already; leave them out, or leave --then out")

    @classmethod
    def around(cls, base: Experiment, table: Mapping[str, Any], *, where: str) -> Self:
        """Return the search that the table ``[search]`` of an experiment file describes."""
        asked = parse(cls, {"base": {"pictures": ""}, **table}, where=where)
        return replace(asked, base=base)

    def located(self) -> "PlanSearch":
        """Return the search as it is written: with absolute paths and the batch size."""
        return replace(self, base=settled_base(self.base))

    def sha256(self) -> str:
        """Return a fingerprint of all settings but the budget, which may change."""
        return comparison_fingerprint(to_plain(replace(self, budget=Budget())))


def _as_step(text: str) -> str:
    """Return a step with its arrow, which may be left out."""
    step = text.strip()
    if step.startswith(">"):
        return step
    return f">> {step}" if "-" in step.rpartition("@")[2] else f"> {step}"


Choices = Mapping[str, Mapping[str, str]]
"""An action for each layer of each network."""


@dataclass(frozen=True, slots=True)
class Space:
    """The plans that a search may try."""

    layers: Mapping[str, Mapping[str, Sequence[str]]]  # of each network; each with its actions
    searched: tuple[str, ...]  # networks; another one keeps its part of ``base``
    base: Plan
    endings: tuple[str, ...] = ("",)  # steps that may follow a plan, of a schedule

    def plan(self, parts: Mapping[str, NetworkPlan], ending: str | None = None) -> str:
        """Return the plan of these parts; a network without one keeps that of the base.

        ``ending`` is one of ``endings``; None: the first.
        """
        of_roles = {role: parts.get(role, self.base.for_network(role)) for role in self.layers}
        return f"{Plan(**of_roles)}{self.endings[0] if ending is None else ending}"

    def plan_of(self, choices: Choices, ending: str | None = None) -> str:
        """Return the plan that gives every searched layer its action, with an ending."""
        parts = {role: describe(role, actions) for role, actions in choices.items()}
        return self.plan(parts, ending)

    def actions(self, network: str, choices: Choices) -> Mapping[str, str]:
        """Return the action of each layer of a network, chosen or as in the base."""
        if network in choices:
            return choices[network]
        return self._actions_of(network, self.base.for_network(network))

    def choices_of(self, plan: str) -> dict[str, dict[str, str]] | None:
        """Return the action of each searched layer; None: the plan is not in the space."""
        parsed = parse_schedule(plan).first
        found: dict[str, dict[str, str]] = {}
        for role in self.searched:
            try:
                actions = self._actions_of(role, parsed.for_network(role))
            except PlanError:  # the network has too few layers
                return None
            if not self._has(role, actions):
                return None
            found[role] = actions
        return found

    def splits(self, network: str, *, step: int = 1) -> list[Split]:
        """Return every (i,j,k) of a network in the space that trains something.

        The network is cut at every ``step`` layers from the picture's side, and at the ends.
        """
        depth = len(self.layers[network])
        cuts = sorted({*range(0, depth, step), depth})
        every = [
            Split(first, second - first, depth - second)
            for first, second in combinations_with_replacement(cuts, 2)
            if first < depth
        ]
        return [split for split in every if self._has(network, self._actions_of(network, split))]

    def _actions_of(self, network: str, part: NetworkPlan) -> dict[str, str]:
        return part.actions(list(self.layers[network]), network=network)

    def _has(self, network: str, actions: Mapping[str, str]) -> bool:
        return all(action in self.layers[network][layer] for layer, action in actions.items())


def space_of(search: PlanSearch) -> Space:
    """Return the space of a search on its source."""
    assert search.base.source is not None  # checked
    pair = open_source(search.base.source).pair
    layers = {
        role: {
            name: tuple(a for a in search.actions if ACTIONS[a].problem(layer) is None)
            for name, layer in network.layers().items()
        }
        for role, network in pair.items()
    }
    for role in search.roles:
        stuck = [layer for layer, actions in layers[role].items() if not actions]
        if stuck:
            raise PlanError(
                f"{', '.join(stuck)} of the {role} can take none of {', '.join(search.actions)}; "
                "add one to --actions"
            )
    base = parse_schedule(search.base.plan or DEFAULT_PLAN)
    endings = tuple(f" {_as_step(step)}" for step in search.then)
    return Space(layers, search.roles, base.first, ("".join(map(str, base.steps)), *endings))
