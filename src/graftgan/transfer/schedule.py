"""Schedules: plans that change while a run goes on.

``combined > fine_tune@0.4`` begins with one plan and goes on with another once 40 % of the run is
done; any number of steps may follow. ``combined >> fine_tune@0.2-0.6`` changes layer by layer, at
equal distances between 20 % and 60 %: the layers far from the picture first, as they hold what is
particular to the source. A plan alone is a schedule of one step.

At a step, a layer whose action stays keeps its modulation and its optimizer state. Of any other,
the modulation is folded into the weights, which the new action begins with.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch

from graftgan.core.errors import PlanError
from graftgan.core.network_types import LayeredNetwork, NetworkPair, tensors_of
from graftgan.transfer.modulation import fold
from graftgan.transfer.plan import AppliedPlan, Decisions, Plan, describe, parse_plan, resolve

_STEP = re.compile(r"(>{1,2})([^>]*)@\s*([0-9.]+)\s*(?:-\s*([0-9.]+)\s*)?(?=>|$)")
_ONLY_AT_FIRST = {"reset", "by_importance"}  # the second needs a probe of the untouched source
_EXAMPLE = "write a schedule like 'combined > fine_tune@0.4' or 'adafm >> fine_tune@0.2-0.6'"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A plan, and the share of the run from which it holds.

    Attributes:
        until: The share by which all layers have changed, if they do so one by one.
    """

    plan: Plan
    at: float
    until: float | None = None

    def __str__(self) -> str:
        if self.until is None:
            return f" > {self.plan}@{self.at:g}"
        return f" >> {self.plan}@{self.at:g}-{self.until:g}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan that a run begins with, and its steps."""

    first: Plan
    steps: tuple[PlanStep, ...] = ()

    def __str__(self) -> str:
        return str(self.first) + "".join(map(str, self.steps))

    def in_full(self, pair: NetworkPair) -> "Schedule":
        """Return the schedule without gradual steps; PlanError: a plan does not fit ``pair``."""
        steps: list[PlanStep] = []
        before = self.first
        for step in self.steps:
            _refuse_late(before, step.plan, pair)
            steps += [step] if step.until is None else _one_by_one(before, step, pair)
            before = step.plan
        return Schedule(self.first, tuple(steps))

    @property
    def plans(self) -> tuple[Plan, ...]:
        """All plans in order."""
        return (self.first, *(step.plan for step in self.steps))

    def at(self, progress: float) -> int:
        """Return the number of the plan in force after ``progress`` of the run; 0 is the first."""
        return sum(step.at <= progress for step in self.steps)

    def end_of(self, number: int) -> float:
        """Return the share of the run at which plan ``number`` ends."""
        return self.steps[number].at if number < len(self.steps) else float("inf")


def parse_schedule(text: str) -> Schedule:
    """Read a schedule, or a plan alone; raise PlanError for other text."""
    first, mark, rest = text.partition(">")
    found = list(_STEP.finditer(mark + rest))
    if "".join(match[0] for match in found) != mark + rest:
        raise PlanError(f"'{text}' is not a schedule; {_EXAMPLE}")
    steps = tuple(_step(match, text) for match in found)
    shares = [share for step in steps for share in (step.at, step.until) if share is not None]
    if any(not 0 < share < 1 for share in shares) or any(a >= b for a, b in pairwise(shares)):
        raise PlanError(f"in '{text}', the shares of the run must rise between 0 and 1")
    return Schedule(parse_plan(first), steps)


def _step(match: re.Match[str], text: str) -> PlanStep:
    arrow, plan, at, until = match.groups()
    if (arrow == ">>") != (until is not None):
        raise PlanError(f"in '{text}', '>>' takes two shares of the run and '>' one; {_EXAMPLE}")
    try:
        return PlanStep(
            parse_plan(plan.strip()), float(at), None if until is None else float(until)
        )
    except ValueError:
        raise PlanError(f"in '{text}', '{at}' is no share of the run; {_EXAMPLE}") from None


def _refuse_late(before: Plan, after: Plan, pair: NetworkPair) -> None:
    """Refuse a step to an action that belongs to the beginning of a run."""
    old, new = resolve(before, pair), resolve(after, pair)
    for network, layers in new.items():
        for layer, action in layers.items():
            if action in _ONLY_AT_FIRST and old[network][layer] != action:
                raise PlanError(
                    f"{layer} of the {network} cannot become {action} while a run goes on; only "
                    "the first plan of a schedule may say so"
                )


def _one_by_one(before: Plan, step: PlanStep, pair: NetworkPair) -> list[PlanStep]:
    """Return the steps from ``before`` to a gradual one, a layer of each network at a time."""
    assert step.until is not None
    old, new = resolve(before, pair), resolve(step.plan, pair)
    orders = {
        network: _from_far(network, [la for la in new[network] if new[network][la] != layers[la]])
        for network, layers in old.items()
    }
    count = max(len(order) for order in orders.values())
    steps: list[PlanStep] = []
    for number in range(1, count + 1):
        plans = {
            network: describe(
                network, {**old[network], **{la: new[network][la] for la in order[:number]}}
            )
            for network, order in orders.items()
        }
        share = (number - 1) / max(1, count - 1)
        at = step.at + share * (step.until - step.at)
        steps.append(PlanStep(Plan(**plans), round(at, 6)))
    return steps


def _from_far(network: str, layers: list[str]) -> list[str]:
    """Return layers in the order of the network, those far from the picture first."""
    return layers if network == "generator" else layers[::-1]


def lasting(schedule: Schedule, number: int, pair: NetworkPair) -> Plan:
    """Return what plans 0 to ``number`` of a schedule did to each layer, as one plan.

    A layer whose action never changed has that; any other counts as fine-tuned.
    """
    decided = [resolve(plan, pair) for plan in schedule.plans[: number + 1]]
    parts = {
        network: describe(
            network,
            {
                layer: action if all(d[network][layer] == action for d in decided) else "fine_tune"
                for layer, action in decided[0][network].items()
            },
        )
        for network in decided[0]
    }
    return Plan(**parts)


@torch.no_grad()
def replanned(
    pair: NetworkPair,
    before: Decisions,
    fresh: Callable[[], NetworkPair],
    put_in_force: Callable[[NetworkPair], AppliedPlan],
) -> tuple[NetworkPair, AppliedPlan]:
    """Return new networks with the function of ``pair``, under another plan.

    Layers whose action stays, by ``before`` and the plan that ``put_in_force`` applies, keep their
    modulations; those of others are folded. ``fresh`` returns networks of this architecture.
    """
    new = fresh()
    for role, folded in fold(pair).items():
        dict(new.items())[role].load_state_dict(tensors_of(folded))
    applied = put_in_force(new)
    for role, network in new.items():
        own = tensors_of(network)
        old = dict(pair.items())[role]
        stored = tensors_of(old)
        for name in kept_names(old, before[role], applied.decisions[role]) & own.keys():
            own[name].copy_(stored[name])
    return new, applied


def kept_names(
    network: LayeredNetwork, before: Mapping[str, str], after: Mapping[str, str]
) -> set[str]:
    """Return the names of all tensors in the layers of ``network`` whose action stays."""
    same = {
        id(tensor)
        for name, layer in network.layers().items()
        if before[name] == after[name]
        for tensor in (*layer.parameters(), *layer.buffers())
    }
    named = (*network.named_parameters(), *network.named_buffers())
    return {name for name, tensor in named if id(tensor) in same}
