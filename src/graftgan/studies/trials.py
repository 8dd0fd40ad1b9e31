"""One run of a search, and its record on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Literal

from graftgan.core.errors import RunError
from graftgan.core.files import write_json
from graftgan.core.settings import Count, Seconds, read_record, to_plain
from graftgan.experiments.records import read_plan, read_scores
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics import Score
from graftgan.runs.scorer import best_iteration, source_scores
from graftgan.studies.comparison import Overrides
from graftgan.studies.comparison_results import deciding_score, images_shown
from graftgan.studies.plan_search import PlanSearch

Stage = Literal["search", "confirm"]
OPEN, FINISHED, PRUNED, FAILED = "open", "finished", "pruned", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to try next.

    Attributes:
        overrides: The settings in which it differs from the base.
        why: In a few words, for the table.
        reference: What the strategy itself calls it.
        stage: What it is for.
        of: The trial that it repeats with another seed.
    """

    overrides: Overrides
    why: str
    reference: int | None = None
    stage: Stage = "search"
    of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of a search.

    Attributes:
        number: Counts up from 0; names its folder in ``runs/``.
        overrides: The settings in which it differs from the base.
        why: Why it is tried.
        reference: What the strategy calls it.
        stage: Whether it searches, or confirms another trial.
        of: The trial that it confirms.
        state: ``open`` until it has ended; then as on the card of its run, or ``failed``.
        message: Why it ended early.
        plan: In the notation, every layer spelled out.
        actions: By network and layer.
        cost: The score it counts by, less is better; None where it has none.
        end: Its score at the end; None where it did not get there.
        best: Its score at its best checkpoint.
        best_iteration: Where that is.
        untouched: The score of its source as it comes; None where it began with something else.
        curve: Iterations with the score that decides, as it went.
        iteration: Reached.
        images: Real pictures shown.
        seconds: In the training loop.
        wall: In all that it took, over the sessions that ended orderly.
        trainable: Numbers that the plan lets train.
        parameters: All numbers of both networks.
    """

    number: Count
    overrides: Overrides
    why: str
    reference: Count | None = None
    stage: Stage = "search"
    of: Count | None = None
    state: str = OPEN
    message: str = ""
    plan: str = ""
    actions: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    cost: float | None = None
    end: Score | None = None
    best: Score | None = None
    best_iteration: Count | None = None
    untouched: Score | None = None
    curve: tuple[tuple[Count, float], ...] = ()
    iteration: Count = 0
    images: Count = 0
    seconds: Seconds = 0.0
    wall: Seconds = 0.0
    trainable: Count | None = None
    parameters: Count | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number:04d}"

    @property
    def has_failed(self) -> bool:
        """Whether it could not be run to an end."""
        return self.state == FAILED

    @property
    def is_open(self) -> bool:
        """Whether it is still to be run, or under way."""
        return self.state == OPEN


def read_trials(folder: Path) -> list[Trial]:
    """Return every trial, in the order of their numbers.

    Raises:
        RunError: A record is damaged.
    """
    files = sorted(folder.glob("[0-9]*.json"))
    remedy = "restore it, or remove it and its folder in runs/ to try another in its place"
    return [read_record(Trial, file, error=RunError, remedy=remedy) for file in files]


def write_trial(folder: Path, trial: Trial) -> None:
    """Write the record of a trial, whole."""
    write_json(folder / f"{trial.name}.json", to_plain(trial))


def with_outcome(trial: Trial, search: PlanSearch, run: RunFolder, *, failure: str) -> Trial:
    """Return the trial with what its run folder says.

    Args:
        trial: Which has run.
        search: Says how it is judged.
        run: Its folder; may be missing where it failed at once.
        failure: What went wrong; empty: nothing did.

    Raises:
        RunError: A file of the run is damaged.
    """
    if not run.experiment_file.is_file():
        return replace(trial, state=FAILED, message=failure)
    card, experiment = run.card(), run.experiment()
    plan = read_plan(run.path)
    file, iteration = run.path / "metrics.jsonl", card.iteration
    best_at = best_iteration(file)
    state = FAILED if failure and card.state != RunState.DIVERGED else card.state.value
    ended = deciding_score(file, iteration) if state == FINISHED else None
    best = deciding_score(file, best_at)
    judged = best if search.judge == "best" and state not in {PRUNED, FAILED} else ended
    return replace(
        trial,
        state=state,
        message=card.message or failure,
        plan=plan.notation,
        actions=plan.actions,
        cost=None if judged is None or not isfinite(judged.value) else search.cost(judged.value),
        end=ended,
        best=best,
        best_iteration=best_at,
        untouched=next(iter(source_scores(run)), None),
        curve=tuple(
            (line.iteration, line.value)
            for line in read_scores(file)[0]
            if line.decides and line.iteration is not None and line.value is not None
        ),
        iteration=iteration,
        images=images_shown(experiment, iteration),
        seconds=card.seconds,
        trainable=plan.trainable,
        parameters=plan.parameters,
    )


def finished_costs(trials: Sequence[Trial]) -> dict[str, float]:
    """Return what each plan that has ended costs; infinite where it has no score."""
    ended = [t for t in trials if t.stage == "search" and not t.is_open]
    return {str(t.overrides["plan"]): float("inf") if t.cost is None else t.cost for t in ended}


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the search that have a score, the best first."""
    scored = [(t.cost, t.number, t) for t in trials if t.stage == "search" and t.cost is not None]
    return [trial for _, _, trial in sorted(scored, key=lambda entry: entry[:2])]
