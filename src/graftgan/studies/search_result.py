"""What a search has found, and the winner as an experiment.

``search.json`` is a :class:`SearchResult`: as it is written, so it is read back.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graftgan.core.settings import Count, to_plain, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.reports import in_words
from graftgan.studies.comparison import Overrides, flat, overridden
from graftgan.studies.comparison_results import read_summary
from graftgan.studies.plan_search import Budget, PlanSearch
from graftgan.studies.reruns import Places, candidates, confirmed, new_seeds, places
from graftgan.studies.response_surface import Cell, early_trials, pareto_front, surface
from graftgan.studies.search_space import Space
from graftgan.studies.study_statistics import WITHIN, VariantStatistics
from graftgan.studies.trial_store import spent
from graftgan.studies.trials import FINISHED, PRUNED, Trial, ranked
from graftgan.transfer import PRESETS

FOUND = "search.json"
FORMAT = 1
Surfaces = Mapping[str, tuple[Cell, ...]]
"""By network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """Where a trial stands by new seeds alone.

    Attributes:
        trial: Its number; None: the untouched source.
        statistics: Of its runs with the new seeds.
    """

    trial: Count | None = None
    statistics: VariantStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A search as far as it is done; one that has not begun has its fingerprint alone.

    Attributes:
        settings_sha256: Of ``search.toml`` without its budget.
        command: What wrote this last.
        score: The name of the score that decides.
        better: ``lower`` or ``higher``.
        layers: Names of the layers of each network, input first.
        searched: The networks that were searched.
        budget: What it may cost.
        spent: What it has cost, without the reruns.
        trials: All, the reruns too.
        surface: For each searched network, the costs over (i,k).
        early_iteration: Where all trials can still be compared; None: all have reached the end.
        early: For each searched network, the costs over (i,k) there.
        front: Numbers of the trials on the Pareto front of score against trained numbers.
        importances: How much each choice matters, where the strategy can tell.
        ranking: Numbers of the trials with a score, the best first.
        source: Where the untouched source stands among them; None: its score is not known.
        confirmed: The best trials by new seeds, the best first.
        winner: The number of the trial whose settings are ``winner.toml``; None: none has a score,
            or none beats the untouched source.
        shared: Settings that all trials have alike.
        says: What was found, in sentences.
        notes: What limits it, in sentences.
        complete: Whether nothing is left to do.
    """

    format: int = FORMAT
    settings_sha256: str
    command: str = ""
    strategy: str = ""
    judge: str = ""
    score: str = ""
    better: str = "lower"
    iterations: Count = 0
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    searched: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    spent: Budget = field(default_factory=Budget)
    trials: tuple[Trial, ...] = ()
    surface: Surfaces = field(default_factory=dict[str, tuple[Cell, ...]])
    early_iteration: Count | None = None
    early: Surfaces = field(default_factory=dict[str, tuple[Cell, ...]])
    front: tuple[Count, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict[str, float])
    ranking: tuple[Count, ...] = ()
    source: VariantStatistics | None = None
    confirmed: tuple[Confirmed, ...] = ()
    winner: Count | None = None
    shared: Overrides = field(default_factory=dict[str, Any])
    says: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = False


def read_search_result(folder: Path) -> SearchResult:
    """Return what a search has found.

    Raises:
        RunError: It is not there, or damaged.
    """
    return read_summary(SearchResult, folder / FOUND, what="search", verb="search")


def gather_result(
    search: PlanSearch,
    space: Space,
    trials: Sequence[Trial],
    *,
    importances: Mapping[str, float],
    complete: bool,
) -> SearchResult:
    """Return what the trials say."""
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


def winning_experiment(search: PlanSearch, trial: Trial) -> Experiment:
    """Return the experiment of a trial, ready to be run."""
    return overridden(search.base, trial.overrides)


def winner_toml(search: PlanSearch, trial: Trial, *, score: str) -> str:
    """Return the winner's experiment file."""
    value = "" if trial.cost is None else f", {score} {in_words(_value(search, trial.cost))}"
    return (
        f"# Found by graftgan search --strategy {search.strategy}: trial {trial.number}{value}.\n"
        f"# {trial.plan}\n"
        "# Use: graftgan transfer PICTURES --config winner.toml\n"
        f"{to_toml(winning_experiment(search, trial))}"
    )


def _winner(order: Sequence[Trial], found: Places, again: Places) -> Trial | None:
    """Return the best that beats the source, by new seeds, or where there are none by one score."""
    decides = again if _is_measured(again) else found
    numbers = [
        number for number, s in decides if s.mean is not None and s.beats_source is not False
    ]
    return next((trial for n in numbers for trial in order if trial.number == n), None)


def _is_measured(again: Places) -> bool:
    return any(statistics.mean is not None for _, statistics in again)


def _value(search: PlanSearch, cost: float) -> float:
    """Return the score that a cost stands for; the two differ in sign or not at all."""
    return search.cost(cost)


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
        f"{in_words(_value(search, best.cost))} with {best.plan}."
    ]
    preset = next((trial for trial in order if trial.why in PRESETS), best)
    if preset is not best and preset.cost is not None:
        value = in_words(_value(search, preset.cost))
        sentences.append(f"The best preset, {preset.why} (trial {preset.number}), has {value}.")
    for number, statistics in found:
        if number is None and statistics.mean is not None:
            sentences.append(f"The untouched source has {in_words(statistics.mean)}.")
    for number, statistics in again:
        if statistics.mean is None or statistics.low is None or statistics.high is None:
            continue
        interval = f"{in_words(statistics.low)} to {in_words(statistics.high)}"
        told = ", within noise of the best" if statistics.verdict == WITHIN else ""
        what = "the untouched source" if number is None else f"trial {number}"
        sentences.append(
            f"With new seeds, {what} has {in_words(statistics.mean)} (95 % interval "
            f"{interval}, {len(statistics.seeds)} seeds{told})."
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
            "noisy numbers is partly luck, so its own score is too good: expect a worse one when "
            "it is run again. --confirm-seeds 3 runs the best again with new seeds."
        )
    if again:
        wanted = len(new_seeds(search))
        short = [str(number) for number, s in again if number is not None and len(s.seeds) < wanted]
        if short:
            notes.append(f"Not all new seeds have a score for trial {', '.join(short)}.")
        if winner is not None and len(candidates(search, trials)) < len(order):
            notes.append(
                "The winner is chosen by the new seeds alone, among the best trials; its interval "
                "does not know that it was chosen among those."
            )
    own = [trial for trial in trials if trial.stage == "search"]
    pruned = sum(trial.state == PRUNED for trial in own)
    if pruned:
        notes.append(
            f"{pruned} of {len(own)} trials were ended early because they fell behind; they have "
            "no score here, though a slow starter may be among them."
        )
    bad = [t for t in own if not t.is_open and t.state not in {FINISHED, PRUNED}]
    if bad:
        told = "; ".join(f"trial {t.number} {t.state}: {t.message}" for t in bad[:3])
        more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
        notes.append(f"{len(bad)} of {len(own)} trials did not reach their end: {told}{more}")
    if search.strategy == "gradual":
        notes.append(
            "The gradual search takes one path and believes one score at each step; a plan that "
            "it passes by may be better."
        )
    return notes
