"""The results of a search, as in ``search.json``, and its winner."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from graftgan.core.settings import Count, Finite, to_plain, to_toml
from graftgan.experiments.experiment import flat
from graftgan.reports import in_words
from graftgan.studies.comparison import Overrides, overridden
from graftgan.studies.comparison_results import read_summary
from graftgan.studies.plan_search import Budget, PlanSearch, Space
from graftgan.studies.study_statistics import WITHIN, VariantStatistics
from graftgan.studies.trials import (
    FINISHED,
    PRUNED,
    Places,
    Trial,
    candidates,
    confirmed,
    new_seeds,
    places,
    ranked,
    spent,
)
from graftgan.transfer import ACTIONS, PRESETS

FOUND = "search.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """The trials with the same (i, j, k) in one network, whatever they did to the other.

    They froze i layers, modulated j and fine-tuned k; ``best`` and ``mean`` are costs.
    """

    freeze: Count
    modulate: Count
    tune: Count
    count: Count
    best: Finite
    mean: Finite


Surfaces = Mapping[str, tuple[Cell, ...]]
"""By network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The statistics of a trial, or the untouched source (None), over new seeds alone."""

    trial: Count | None = None
    statistics: VariantStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A search as far as it is done; before it begins, only its fingerprint."""

    format: int = FORMAT
    settings_sha256: str  # of ``search.toml`` without its budget
    command: str = ""  # that wrote this last
    strategy: str = ""
    judge: str = ""
    score: str = ""  # the name of the deciding score
    better: str = "lower"  # or ``higher``
    iterations: Count = 0
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    searched: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    spent: Budget = field(default_factory=Budget)  # its cost so far, without the reruns
    trials: tuple[Trial, ...] = ()  # with the reruns
    surface: Surfaces = field(default_factory=dict[str, tuple[Cell, ...]])  # over (i, k)
    early_iteration: Count | None = None  # the last that all reached; None: all reached the end
    early: Surfaces = field(default_factory=dict[str, tuple[Cell, ...]])  # over (i, k) there
    front: tuple[Count, ...] = ()  # the Pareto front of score and trainable parameters
    importances: Mapping[str, float] = field(default_factory=dict[str, float])  # shares of 1
    ranking: tuple[Count, ...] = ()  # numbers of the trials with a score, the best first
    source: VariantStatistics | None = None  # of the untouched source, if its score is known
    confirmed: tuple[Confirmed, ...] = ()  # the best trials by new seeds, the best first
    winner: Count | None = None  # the trial in winner.toml, if one beats the source
    shared: Overrides = field(default_factory=dict[str, Any])  # settings that all trials share
    says: tuple[str, ...] = ()  # the findings, as sentences
    notes: tuple[str, ...] = ()  # their limits, as sentences
    complete: bool = False  # whether nothing is left to do


def read_search_result(folder: Path) -> SearchResult:
    """Return the results of a search; raise RunError if they are missing or damaged."""
    return read_summary(SearchResult, folder / FOUND, what="search", verb="search")


def gather_result(
    search: PlanSearch,
    space: Space,
    trials: Sequence[Trial],
    *,
    importances: Mapping[str, float],
    complete: bool,
) -> SearchResult:
    """Return the results of the trials."""
    order = ranked(trials)
    found, again = places(search, trials), confirmed(search, trials)
    winner = _winner(order, found, again)
    scores = [score for t in trials if (score := t.end or t.best) is not None]
    ended = [trial for trial in trials if trial.stage == "search" and not trial.is_open]
    name = scores[0].name if scores else ""
    early_at, early = early_trials(ended, -1 if search.better == "higher" else 1)
    cut = early_at and any(trial.state == PRUNED for trial in ended)
    varied = {name for trial in trials for name in trial.overrides} | {"seed"}
    return SearchResult(
        settings_sha256=search.sha256(),
        command=" ".join(["graftgan", *sys.argv[1:]]),
        strategy=search.strategy,
        judge=search.judge,
        score=name,
        better=search.better,
        iterations=search.base.training.iterations,
        layers={role: tuple(layers) for role, layers in space.layers.items()},
        searched=space.searched,
        budget=search.budget,
        spent=spent(trials),
        trials=tuple(trials),
        surface={role: tuple(surface(order, role)) for role in space.searched},
        early_iteration=early_at if cut else None,
        early={role: tuple(surface(early, role)) for role in space.searched} if cut else {},
        front=tuple(trial.number for trial in pareto_front(order)),
        importances=importances,
        ranking=tuple(trial.number for trial in order),
        source=next((statistics for number, statistics in found if number is None), None),
        confirmed=tuple(Confirmed(trial=n, statistics=statistics) for n, statistics in again),
        winner=None if winner is None else winner.number,
        shared={k: v for k, v in flat(to_plain(search.base)).items() if k not in varied},
        says=tuple(_says(search, order, found, again, winner, score=name, complete=complete)),
        notes=tuple(_notes(search, trials, order, again, winner)),
        complete=complete,
    )


def winner_toml(search: PlanSearch, trial: Trial, *, score: str) -> str:
    """Return the winner's experiment file."""
    value = "" if trial.cost is None else f", {score} {in_words(search.cost(trial.cost))}"
    return (
        f"# Found by graftgan search --strategy {search.strategy}: trial {trial.number}{value}.\n"
        f"# {trial.plan}\n"
        "# Use: graftgan transfer PICTURES --config winner.toml\n"
        f"{to_toml(overridden(search.base, trial.overrides))}"
    )


def _winner(order: Sequence[Trial], found: Places, again: Places) -> Trial | None:
    """Return the best trial that beats the source, by new seeds if there are any."""
    decides = again if _is_measured(again) else found
    numbers = [
        number for number, s in decides if s.mean is not None and s.beats_source is not False
    ]
    return next((trial for n in numbers for trial in order if trial.number == n), None)


def _is_measured(again: Places) -> bool:
    return any(statistics.mean is not None for _, statistics in again)


def _says(
    search: PlanSearch,
    order: Sequence[Trial],
    found: Places,
    again: Places,
    winner: Trial | None,
    *,
    score: str,
    complete: bool,
) -> list[str]:
    if not order:
        return ["There is no score yet."]
    where = "at the end" if search.judge == "end" else "at its best checkpoint"
    best = order[0]
    assert best.cost is not None  # ranked
    sentences = [
        f"Of {len(order)} trials with a score, trial {best.number} has the best {where}: "
        f"{in_words(search.cost(best.cost))} with {best.plan}."
    ]
    preset = next((trial for trial in order if trial.why in PRESETS), best)
    if preset is not best and preset.cost is not None:
        value = in_words(search.cost(preset.cost))
        sentences.append(f"The best preset, {preset.why} (trial {preset.number}), has {value}.")
    for number, statistics in found:
        if number is None and statistics.mean is not None:
            sentences.append(f"The untouched source has {in_words(statistics.mean)}.")
    for number, told in again:
        if told.mean is not None and told.low is not None and told.high is not None:
            what = "the untouched source" if number is None else f"trial {number}"
            noise = ", within noise of the best" if told.verdict == WITHIN else ""
            sentences.append(
                f"With new seeds, {what} has {in_words(told.mean)} (95 % interval "
                f"{in_words(told.low)} to {in_words(told.high)}, {len(told.seeds)} seeds{noise})."
            )
    if winner is not None:
        last = f"winner.toml holds the settings of trial {winner.number}: {winner.plan}."
    else:
        is_measured = _is_measured(again)
        who = "With new seeds, no trial" if is_measured else "No trial"
        last = f"{who} beats the untouched source by {score}; there is no winner"
        last += "" if complete else " so far"
        last += ", and none is run again." if search.confirm_seeds and not is_measured else "."
    return [*sentences, last]


def _notes(
    search: PlanSearch,
    trials: Sequence[Trial],
    order: Sequence[Trial],
    again: Places,
    winner: Trial | None,
) -> list[str]:
    notes: list[str] = []
    if not _is_measured(again) and winner is not None and len(order) > 1:
        notes.append(
            f"The winner is the best of {len(order)} scores of one run each. The best of many "
            "noisy scores is partly luck, so expect a worse score when it is run again. "
            "--confirm-seeds 3 runs the best again with new seeds."
        )
    if again:
        wanted = len(new_seeds(search))
        short = [str(number) for number, s in again if number is not None and len(s.seeds) < wanted]
        if short:
            notes.append(f"Not all new seeds have a score for trial {', '.join(short)}.")
        if winner is not None and len(candidates(search, trials)) < len(order):
            notes.append(
                "The winner is chosen by the new seeds alone, among the best trials; its interval "
                "is not corrected for that choice."
            )
    own = [trial for trial in trials if trial.stage == "search"]
    pruned = sum(trial.state == PRUNED for trial in own)
    if pruned:
        notes.append(
            f"{pruned} of {len(own)} trials were ended early because they fell behind; they have "
            "no score here, though some may only have started slowly."
        )
    bad = [t for t in own if not t.is_open and t.state not in {FINISHED, PRUNED}]
    if bad:
        told = "; ".join(f"trial {t.number} {t.state}: {t.message}" for t in bad[:3])
        more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
        notes.append(f"{len(bad)} of {len(own)} trials did not reach their end: {told}{more}")
    if search.strategy == "gradual":
        notes.append(
            "The gradual search follows one path and relies on one score at each step; it may "
            "miss a better plan."
        )
    return notes


def surface(trials: Sequence[Trial], network: str) -> list[Cell]:
    """Return a cell for each (i, k) of a network that has a trial with a score.

    Layers are only counted, so a plan that is no split falls into the cell of the split with the
    same counts.
    """
    costs: dict[tuple[int, int, int], list[float]] = {}
    for trial in trials:
        if trial.cost is not None and network in trial.actions:
            costs.setdefault(counts_of(trial.actions[network]), []).append(trial.cost)
    return [Cell(*ijk, len(of), min(of), fmean(of)) for ijk, of in sorted(costs.items())]


def early_trials(trials: Sequence[Trial], sign: int) -> tuple[int, list[Trial]]:
    """Return the last scored iteration that all trials have reached, and the trials at it.

    There they can all be compared, even if some were ended early. 0 means that there is none after
    the untouched source. A score times ``sign`` is a cost.
    """
    curves = [(trial, dict(trial.curve)) for trial in trials if len(trial.curve) > 1]
    reached = [set(curve) - {0} for _, curve in curves]
    last = max(set.intersection(*reached), default=0) if reached else 0
    found = [replace(trial, cost=sign * curve[last]) for trial, curve in curves if last]
    return last, found


def counts_of(actions: Mapping[str, str]) -> tuple[int, int, int]:
    """Return how many layers are frozen, modulated and fine-tuned."""
    frozen = sum(action == "freeze" for action in actions.values())
    modulated = sum(ACTIONS[action].modulates for action in actions.values())
    return frozen, modulated, len(actions) - frozen - modulated


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the Pareto front of cost and trainable parameters, fewest parameters first.

    Of trials that are equal in both, the first is kept.
    """
    measured = [trial for trial in trials if trial.trainable is not None]
    front: list[Trial] = []
    lowest = float("inf")
    for trial in sorted(ranked(measured), key=lambda trial: trial.trainable or 0):
        if trial.cost is not None and trial.cost < lowest:
            front.append(trial)
            lowest = trial.cost
    return front
