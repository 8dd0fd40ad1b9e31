"""What all trials together say: the score over (i,j,k), and what it costs in trained numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from graftgan.core.settings import Count, Finite
from graftgan.studies.trials import Trial
from graftgan.transfer import ACTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The trials that froze ``freeze`` layers of a network and trained ``tune`` in full.

    Attributes:
        freeze: i, frozen layers.
        modulate: j, modulated layers: what is left.
        tune: k, layers of which every number trains.
        count: Trials, whatever they did to the other network.
        best: The lowest cost among them.
        mean: Of their costs.
    """

    freeze: Count
    modulate: Count
    tune: Count
    count: Count
    best: Finite
    mean: Finite


def surface(trials: Sequence[Trial], network: str) -> list[Cell]:
    """Return a cell for each (i,k) of a network that has a trial with a score.

    Layers are counted, wherever they lie: a plan that is no split falls into the cell of the split
    with as many layers of each kind.
    """
    costs: dict[tuple[int, int, int], list[float]] = {}
    for trial in trials:
        if trial.cost is not None and network in trial.actions:
            costs.setdefault(counts_of(trial.actions[network]), []).append(trial.cost)
    return [
        Cell(
            freeze=freeze,
            modulate=modulate,
            tune=tune,
            count=len(found),
            best=min(found),
            mean=fmean(found),
        )
        for (freeze, modulate, tune), found in sorted(costs.items())
    ]


def early_trials(trials: Sequence[Trial], sign: int) -> tuple[int, list[Trial]]:
    """Return the last iteration that every scored trial has reached, and the trials as they stood.

    Where trials were ended early, this is where all of them can be compared. Iteration 0, which is
    the untouched source, does not count; 0 is returned where there is no other.

    Args:
        trials: Those that have ended.
        sign: What a score is multiplied with to be a cost.
    """
    curves = [(trial, dict(trial.curve)) for trial in trials if len(trial.curve) > 1]
    reached = [set(curve) - {0} for _, curve in curves]
    last = max(set.intersection(*reached), default=0) if reached else 0
    found = [replace(trial, cost=sign * curve[last]) for trial, curve in curves if last]
    return last, found


def counts_of(actions: Mapping[str, str]) -> tuple[int, int, int]:
    """Return how many layers are frozen, modulated, and trained in full."""
    frozen = sum(action == "freeze" for action in actions.values())
    modulated = sum(ACTIONS[action].modulates for action in actions.values())
    return frozen, modulated, len(actions) - frozen - modulated


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other beats in both, fewer trained numbers first.

    One trial beats another if it trains no more numbers and scores no worse, and is better in one.
    Of trials that are equal in both, the first is kept.
    """
    measured = [
        (trial.trainable, trial.cost, trial.number, trial)
        for trial in trials
        if trial.trainable is not None and trial.cost is not None
    ]
    front: list[Trial] = []
    lowest = float("inf")
    for _, cost, _, trial in sorted(measured, key=lambda entry: entry[:3]):
        if cost < lowest:
            front.append(trial)
            lowest = cost
    return front
