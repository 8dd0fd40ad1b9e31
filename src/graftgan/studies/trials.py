"""The trials of a search: their records on disk, their locks, and the reruns of the best.

Several processes may share a search, and any may be killed. The best of many noisy scores is
partly luck, so the best trials are run again with new seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Literal

from graftgan.core.errors import RunError
from graftgan.core.files import FileLock, remove_partial, write_json
from graftgan.core.settings import Count, Seconds, read_record, to_plain
from graftgan.experiments.records import RunState, read_plan, read_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.score import Score
from graftgan.runs.scorer import best_iteration, source_scores
from graftgan.studies.comparison import Overrides
from graftgan.studies.comparison_results import deciding_score, images_shown
from graftgan.studies.plan_search import Budget, PlanSearch
from graftgan.studies.study_statistics import (
    SourceScores,
    VariantStatistics,
    nothing_wins,
    variant_statistics,
)

Stage = Literal["search", "confirm"]
OPEN, FINISHED, PRUNED, FAILED = "open", "finished", "pruned", "failed"


class Pause(Enum):
    """Why there is nothing to try."""

    WAIT = "trials under way must end first"
    DONE = "there is nothing left to try"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to try next."""

    overrides: Overrides  # of the base
    why: str  # in a few words, for the table
    reference: int | None = None  # its number in the strategy
    stage: Stage = "search"
    of: int | None = None  # the trial that it repeats with another seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of a search: its proposal and its outcome."""

    number: Count  # counts up from 0; names its folder in ``runs/``
    overrides: Overrides
    why: str
    reference: Count | None = None
    stage: Stage = "search"
    of: Count | None = None
    state: str = OPEN  # ``open`` until it has ended; then as on its run's card, or ``failed``
    message: str = ""  # why it ended early
    plan: str = ""  # in the notation, every layer spelled out
    actions: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    cost: float | None = None  # by which it is ranked, lower is better; None: it has no score
    end: Score | None = None  # its score at the end; None: it did not finish
    best: Score | None = None  # its score at its best checkpoint
    best_iteration: Count | None = None
    untouched: Score | None = None  # the score of its source; None: it began with something else
    curve: tuple[tuple[Count, float], ...] = ()  # deciding scores by iteration
    iteration: Count = 0  # reached
    images: Count = 0  # real pictures shown
    seconds: Seconds = 0.0  # in the training loop
    wall: Seconds = 0.0  # in total, over the sessions that were not killed
    trainable: Count | None = None  # parameters that are trained
    parameters: Count | None = None  # all of them

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.number:04d}"

    @property
    def has_failed(self) -> bool:
        """Whether an error ended it."""
        return self.state == FAILED

    @property
    def is_open(self) -> bool:
        """Whether it is running or still to be run."""
        return self.state == OPEN


class TrialStore:
    """Hands out trials, under the lock of the whole search.

    Each has a record and a lock. A record that is open while nobody holds its lock belongs to a
    process that was stopped or killed: the next process resumes it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._trials = path, path / "trials"

    def locked(self) -> FileLock:
        """Return the lock of the whole search, to be held only briefly."""
        return FileLock(self._path / "search.lock")

    def trials(self) -> list[Trial]:
        """Return every trial, in the order of their numbers; raise RunError if one is damaged."""
        files = sorted(self._trials.glob("[0-9]*.json"))
        remedy = "restore it, or remove it and its folder in runs/ to try another in its place"
        return [read_record(Trial, file, error=RunError, remedy=remedy) for file in files]

    def write(self, trial: Trial) -> None:
        """Write a record, atomically."""
        write_json(self._trials / f"{trial.name}.json", to_plain(trial))

    def claim(
        self, ask: Callable[[Sequence[Trial]], Proposal | Pause]
    ) -> tuple[Trial, FileLock] | Pause:
        """Return an abandoned trial, or the next one, with its lock held."""
        trials = self.trials()
        for trial in trials:
            lock = FileLock(self._trials / f"{trial.name}.lock")
            if trial.is_open and lock.acquire(wait=False):
                return trial, lock
        asked = ask(trials)
        if isinstance(asked, Pause):
            return asked
        proposed = {field.name: getattr(asked, field.name) for field in fields(asked)}
        trial = Trial(number=len(trials), **proposed)
        lock = FileLock(self._trials / f"{trial.name}.lock")
        lock.acquire(wait=True)
        self.write(trial)
        return trial, lock

    def reopen_failed(self) -> None:
        """Open failed trials, so that they are run again."""
        for trial in self.trials():
            if trial.has_failed:
                self.write(replace(trial, state=OPEN, message=""))

    def tidy(self) -> None:
        """Remove the partial files of killed processes."""
        remove_partial(self._path)
        remove_partial(self._trials)


def with_outcome(trial: Trial, search: PlanSearch, run: RunFolder, *, failure: str) -> Trial:
    """Return the trial with the outcome in its run folder, and the ``failure`` if there was one."""
    if not run.experiment_file.is_file():
        return replace(trial, state=FAILED, message=failure)
    card, plan = run.card(), read_plan(run.path)
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
        images=images_shown(run.experiment(), iteration),
        seconds=card.seconds,
        trainable=plan.trainable,
        parameters=plan.parameters,
    )


def spent(trials: Sequence[Trial]) -> Budget:
    """Return the cost of the search's trials, with those that are running."""
    own = [trial for trial in trials if trial.stage == "search"]
    return Budget(
        trials=len(own) or None,
        seconds=sum(trial.wall for trial in own) or None,
        images=sum(trial.images for trial in own) or None,
    )


def is_spent(budget: Budget, trials: Sequence[Trial]) -> bool:
    """Return whether no further trial may begin."""
    done = spent(trials)
    limits = [(getattr(budget, n), getattr(done, n) or 0) for n in ("trials", "seconds", "images")]
    return any(limit is not None and so_far >= limit for limit, so_far in limits)


def finished_costs(trials: Sequence[Trial]) -> dict[str, float]:
    """Return the cost of each plan that has ended; infinite if it has no score."""
    ended = [t for t in trials if t.stage == "search" and not t.is_open]
    return {str(t.overrides["plan"]): float("inf") if t.cost is None else t.cost for t in ended}


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the search that have a score, the best first."""
    scored = [(t.cost, t.number, t) for t in trials if t.stage == "search" and t.cost is not None]
    return [trial for _, _, trial in sorted(scored, key=lambda entry: entry[:2])]


Places = list[tuple[int | None, VariantStatistics]]
"""Statistics with the number of their trial (None: the untouched source), the best first."""


def ask_to_confirm(search: PlanSearch, trials: Sequence[Trial]) -> Proposal | Pause:
    """Return the next rerun; those of all candidates with the first seed come first."""
    if any(trial.is_open and trial.stage == "search" for trial in trials):
        return Pause.WAIT  # its score may change the ranking
    begun = {(t.of, t.overrides["seed"]) for t in trials if t.stage == "confirm"}
    for seed in new_seeds(search):
        for trial in candidates(search, trials):
            if (trial.number, seed) not in begun:
                return Proposal(
                    overrides={**trial.overrides, "seed": seed},
                    why=f"trial {trial.number} with seed {seed}",
                    stage="confirm",
                    of=trial.number,
                )
    return Pause.WAIT if any(trial.is_open for trial in trials) else Pause.DONE


def new_seeds(search: PlanSearch) -> range:
    """Return the seeds of the reruns, which differ from that of the trials."""
    first = search.base.seed + 1
    return range(first, first + search.confirm_seeds)


def candidates(search: PlanSearch, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials to run again; none if none beats the source."""
    if not search.confirm_seeds or nothing_wins([s for _, s in places(search, trials)]):
        return []
    return ranked(trials)[: search.confirm_top]


def places(search: PlanSearch, trials: Sequence[Trial]) -> Places:
    """Return the statistics of the search's trials by their single score."""
    return _places(search, {trial.number: [trial] for trial in ranked(trials)})


def confirmed(search: PlanSearch, trials: Sequence[Trial]) -> Places:
    """Return the statistics of the candidates by their new seeds alone."""
    numbers = [trial.number for trial in candidates(search, trials)]
    return _places(search, {n: [trial for trial in trials if trial.of == n] for n in numbers})


def _places(search: PlanSearch, runs: Mapping[int, Sequence[Trial]]) -> Places:
    """Return the statistics of trials by their ``runs``, one for each seed."""
    scores: dict[str, dict[int, Score]] = {}
    sources: dict[str, SourceScores] = {}
    for number, of in runs.items():
        seeds = {int(run.overrides.get("seed", search.base.seed)): run for run in of}
        ends = {s: run.end if search.judge == "end" else run.best for s, run in seeds.items()}
        began = {s: run.untouched for s, run in seeds.items()}
        scores[str(number)] = {s: score for s, score in ends.items() if score is not None}
        sources[str(number)] = SourceScores(
            scores={s: score for s, score in began.items() if score is not None}
        )
    return [
        (None if statistics.is_source else int(statistics.variant), statistics)
        for statistics in variant_statistics(scores, sources)
    ]
