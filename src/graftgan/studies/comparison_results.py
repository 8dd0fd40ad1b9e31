"""The results of a comparison, gathered from its runs into ``comparison.json``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from graftgan.core.errors import GraftganError, RunError
from graftgan.core.files import read_json
from graftgan.core.settings import Count, FolderName, Seconds, WholeNumber, parse, to_plain
from graftgan.experiments.experiment import Experiment, flat
from graftgan.experiments.records import RunState, read_plan
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.score import Score
from graftgan.models.adapters.adapter import FILE_NAME
from graftgan.reports import in_words
from graftgan.runs.scorer import best_iteration, scores_at, source_scores
from graftgan.studies.comparison import Comparison, Job, Overrides
from graftgan.studies.study_statistics import (
    BETTER,
    NO_VALUE,
    SOURCE,
    UNKNOWN,
    WITHIN,
    WORSE,
    SourceScores,
    VariantStatistics,
    nothing_wins,
    variant_statistics,
)

RESULTS = "comparison.json"
FORMAT = 1
ENDED = frozenset({RunState.FINISHED, RunState.STOPPED, RunState.DIVERGED})
"""States of runs that would end the same way if they were run again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run of a comparison: its progress, costs and scores."""

    folder: FolderName  # its name in ``runs/``
    variant: str
    seed: WholeNumber
    settings: Overrides  # in which it differs from the base
    state: str  # as on its card; ``waiting``: it has not begun
    message: str = ""  # why it ended early
    iteration: Count = 0
    images: Count = 0  # real pictures shown
    seconds: Seconds = 0.0  # in the training loop
    trainable: Count | None = None  # parameters that are trained
    parameters: Count | None = None  # all of them
    adapter_bytes: Count | None = None
    end: Score | None = None  # its score at the last iteration; None: it did not finish
    best: Score | None = None  # its score at its best checkpoint; None: it has not ended
    best_iteration: Count | None = None
    untouched: Score | None = None  # the score of its source; None: it began with something else
    base: Mapping[str, str] | None = None  # fingerprints of its source


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A comparison as far as it is done; before it begins, only its fingerprint."""

    format: int = FORMAT
    settings_sha256: str
    command: str = ""  # that wrote this last
    score: str = ""  # the name of the deciding score
    better: str = "lower"  # or ``higher``
    iterations: Count = 0  # of the longest run
    seconds_limit: Seconds | None = None  # of each training; None: no limit, or different ones
    seeds: tuple[WholeNumber, ...] = ()
    variants: Mapping[str, Overrides] = field(default_factory=dict[str, Overrides])
    shared: Overrides = field(default_factory=dict[str, Any])  # the same in all runs
    runs: tuple[RunResult, ...] = ()
    at_end: tuple[VariantStatistics, ...] = ()  # variants and sources, at the last iteration
    at_best: tuple[VariantStatistics, ...] = ()  # the same, each run at its best checkpoint
    says: tuple[str, ...] = ()  # what can be told from noise, as sentences
    notes: tuple[str, ...] = ()  # what limits the comparison, as sentences

    @property
    def complete(self) -> bool:
        """Whether every run has ended in a way that running it again would not change."""
        return all(run.state in ENDED for run in self.runs)


def read_results(folder: Path) -> Results:
    """Return the results of a comparison; raise RunError if they are not there, or damaged."""
    return read_summary(Results, folder / RESULTS, what="comparison", verb="compare")


def read_summary(cls: type[T], file: Path, *, what: str, verb: str) -> T:
    """Return the dataclass ``cls`` in a study's ``file``; RunError: it is missing or damaged.

    The error says ``what`` the folder should hold, and the ``verb`` that writes the file.
    """
    remedy = f"`graftgan {verb} --resume {file.parent}` writes {file.name} again"
    try:
        return parse(cls, read_json(file, error=RunError), where=str(file), error=RunError)
    except RunError as problem:
        raise RunError(
            f"{file.parent} holds no {what} that can be read: {problem}; {remedy}"
        ) from None


def gather(comparison: Comparison, path: Path, failures: Mapping[str, str]) -> Results:
    """Read every run folder; ``failures`` has the messages of runs that failed, by name."""
    jobs = comparison.jobs()
    runs = [_run_result(job, comparison, path, failures.get(job.name, "")) for job in jobs]
    own = {name: [run for run in runs if run.variant == name] for name in comparison.variants}
    ends = {n: {r.seed: r.end for r in of if r.end is not None} for n, of in own.items()}
    bests = {n: {r.seed: r.best for r in of if r.best is not None} for n, of in own.items()}
    sources = _sources(jobs, own)
    at_end, at_best = variant_statistics(ends, sources), variant_statistics(bests, sources)
    scores = [score for by_seed in bests.values() for score in by_seed.values()]
    name, better = (scores[0].name, scores[0].better) if scores else ("", "lower")
    limits = {job.experiment.training.seconds for job in jobs}
    return Results(
        settings_sha256=comparison.sha256(),
        command=" ".join(["graftgan", *sys.argv[1:]]),
        score=name,
        better=better,
        iterations=max(job.experiment.training.iterations for job in jobs),
        seconds_limit=limits.pop() if len(limits) == 1 else None,
        seeds=comparison.seeds,
        variants=comparison.variants,
        shared=_shared(jobs, path),
        runs=tuple(runs),
        at_end=tuple(at_end),
        at_best=tuple(at_best),
        says=(
            *_says("At the end", at_end, len(comparison.seeds), name),
            *_says("At each run's best checkpoint", at_best, len(comparison.seeds), name),
        ),
        notes=tuple(_notes(comparison, runs, scores)),
    )


def _run_result(job: Job, comparison: Comparison, path: Path, failure: str) -> RunResult:
    folder = RunFolder(path / "runs" / job.name)
    known: dict[str, Any] = {
        "folder": job.name,
        "variant": job.variant,
        "seed": job.seed,
        "settings": {**comparison.variants[job.variant], "seed": job.seed},
    }
    if not folder.experiment_file.is_file():
        return RunResult(**known, state="failed" if failure else "waiting", message=failure)
    try:
        card, experiment = folder.card(), folder.experiment()
        plan = read_plan(folder.path)
        iteration = card.iteration
        scores = folder.path / "metrics.jsonl"
        best_at = best_iteration(scores) if card.state in ENDED else None
        end = deciding_score(scores, iteration if card.state == RunState.FINISHED else None)
        best = deciding_score(scores, best_at)
        untouched = next(iter(source_scores(folder)), None)
    except GraftganError as error:
        return RunResult(**known, state="failed", message=str(error))
    adapter = folder.path / FILE_NAME
    return RunResult(
        **known,
        state="failed" if failure else card.state,
        message=failure or card.message,
        iteration=iteration,
        images=images_shown(experiment, iteration),
        seconds=card.seconds,
        trainable=plan.trainable,
        parameters=plan.parameters,
        adapter_bytes=adapter.stat().st_size if adapter.is_file() else None,
        end=end,
        best=best,
        best_iteration=best_at,
        untouched=untouched,
        base=dict(card.base),
    )


def _sources(
    jobs: Sequence[Job], runs: Mapping[str, Sequence[RunResult]]
) -> dict[str, SourceScores]:
    sources = {job.variant: job.experiment.source for job in jobs if job.experiment.source}
    first: dict[str, str] = {}  # the first variant with a source names its row, if there are others
    for variant, source in sources.items():
        first.setdefault(source, variant)
    return {
        variant: SourceScores(
            row=SOURCE if len(first) == 1 else f"{SOURCE} ({first[source]})",
            scores={run.seed: run.untouched for run in runs[variant] if run.untouched is not None},
        )
        for variant, source in sources.items()
    }


def images_shown(experiment: Experiment, iteration: int) -> int:
    """Return the number of real pictures that a run is shown by ``iteration``."""
    critic_steps = experiment.optimization.critic_steps or 1
    return iteration * experiment.training.batch * critic_steps


def deciding_score(file: Path, iteration: int | None) -> Score | None:
    """Return the deciding score at ``iteration``; raise RunError if its line is damaged."""
    found = scores_at(file, iteration, decides=True)
    return found[-1] if found else None


def _shared(jobs: Sequence[Job], path: Path) -> dict[str, Any]:
    """Return the settings that all runs share, with the defaults of those that have begun."""
    folders = [RunFolder(path / "runs" / job.name) for job in jobs]
    begun = [folder.experiment() for folder in folders if folder.experiment_file.is_file()]
    experiments = begun or [job.experiment for job in jobs]
    first, *others = [flat(to_plain(experiment)) for experiment in experiments]
    return {
        name: value
        for name, value in first.items()
        if name != "seed" and all(other.get(name) == value for other in others)
    }


def _says(where: str, found: Sequence[VariantStatistics], seeds: int, score: str) -> list[str]:
    """Return sentences about the best variant, if any, and about which ones it really beats."""
    ranked = [statistics for statistics in found if statistics.verdict != NO_VALUE]
    if not ranked:
        return [f"{where} there is no score yet."]
    best = ranked[0]
    over = f"mean over {len(best.seeds)} seeds" if len(best.seeds) > 1 else "one seed"
    if nothing_wins(ranked):
        sentences = [
            f"{where}, no method beats the untouched source by {score}; there is no winner.",
            f"The first by its mean is {best.variant}: {_value(best)} ({over}).",
        ]
    else:
        sentences = [f"{where}, {best.variant} has the best score: {_value(best)} ({over})."]
    kinds = {
        WORSE: "Not within noise, so really worse",
        BETTER: "Not within noise, and better on the seeds that both have",
        WITHIN: "Within noise of it, so not told apart",
    }
    for verdict, words in kinds.items():
        members = [_told(statistics) for statistics in ranked if statistics.verdict == verdict]
        if members:
            sentences.append(f"{words}: {'; '.join(members)}.")
    sentences += [
        f"{statistics.variant} cannot be compared with it: {statistics.why}."
        for statistics in ranked
        if statistics.verdict == UNKNOWN
    ]
    level = [statistics.variant for statistics in ranked if statistics.beats_source is False]
    if level and not nothing_wins(ranked):
        sentences.append(f"Not better than the untouched source beyond noise: {'; '.join(level)}.")
    if len(ranked) > 1 and seeds == 1:
        sentences.append(
            "With one seed an interval covers the noise of the pictures drawn, not that of the "
            "training: another seed may reverse even a significant difference."
        )
    return sentences


def _value(statistics: VariantStatistics) -> str:
    if statistics.mean is None or statistics.low is None or statistics.high is None:
        return "no score"
    low, high = in_words(statistics.low), in_words(statistics.high)
    return f"{in_words(statistics.mean)}, 95 % interval {low} to {high}"


def _told(statistics: VariantStatistics) -> str:
    difference = statistics.difference
    if difference is None:
        return statistics.variant
    ends = f"{in_words(difference.low, digits=3)} to {in_words(difference.high, digits=3)}"
    paired = f"{statistics.paired} seeds paired" if statistics.paired > 1 else "one seed"
    return f"{statistics.variant} ({in_words(difference.difference, digits=3)}, {ends}, {paired})"


def _notes(comparison: Comparison, runs: Sequence[RunResult], scores: Sequence[Score]) -> list[str]:
    notes: list[str] = []
    ended = [run for run in runs if run.state == "finished"]
    limits = {job.experiment.training.seconds for job in comparison.jobs()}
    if len(limits) == 1 and None not in limits:
        notes.append(
            f"Each run trained for {limits.pop():g} seconds, scoring not counted, so the variants "
            "saw different numbers of images; the end is each run's last score. The results depend "
            "on the machine and on its other load."
        )
    elif len({run.images for run in ended}) > 1:
        notes.append("The variants saw different numbers of images, so their budgets differ.")
    bases = {str(sorted(run.base.items())) for run in runs if run.base}
    if len(bases) > 1 and not any("source" in v for v in comparison.variants.values()):
        notes.append("The source changed between the runs: it is a run that was resumed meanwhile.")
    for state, words in (("diverged", "diverged"), ("stopped", "was stopped by the copy guard")):
        names = [run.folder for run in runs if run.state == state]
        if names:
            notes.append(
                f"{len(names)} of {len(runs)} runs {words} ({', '.join(names)}) and has no score "
                "at the end; the mean over the remaining seeds flatters its variant."
            )
    left = [run.folder for run in runs if run.state not in ENDED]
    if left:
        notes.append(f"{len(left)} of {len(runs)} runs are not done: {', '.join(left)}.")
    if len({score.protocol.reference_sha256 for score in scores}) > 1:
        notes.append(
            "Not all runs are scored against the same pictures: a run that holds some out uses "
            "those, and training pictures are left out of a --reference. The spread over seeds "
            "contains that, the paired differences within a seed do not."
        )
    if len(comparison.variants) > 2:
        notes.append(
            "Not corrected for multiple comparisons: about 1 in 20 null differences will look "
            "significant."
        )
    notes += sorted({warning for score in scores for warning in score.warnings})
    return notes
