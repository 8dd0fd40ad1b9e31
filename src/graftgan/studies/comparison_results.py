"""Gather a comparison from its run folders: scores, sizes, states, and what they say.

``comparison.json`` is a :class:`Results`: as it is written, so it is read back.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from graftgan.core.errors import GraftganError, RunError
from graftgan.core.files import read_json, read_jsonl
from graftgan.core.settings import Count, FolderName, Seconds, Whole, parse, to_plain
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import read_plan
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics import Score
from graftgan.models.adapters import FILE_NAME
from graftgan.reports import in_words
from graftgan.runs.scorer import best_iteration, score_in, source_scores
from graftgan.studies.comparison import Comparison, Job, Overrides, flat
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
"""States of runs that are done: running them again would end the same way."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run of a comparison.

    Attributes:
        folder: Its name in ``runs/``.
        settings: In which it differs from the others' base.
        state: As on its card; ``waiting`` before it began.
        message: Why it ended early.
        images: Real pictures shown.
        seconds: In the loop.
        trainable: Numbers that the plan lets train, in both networks.
        parameters: All numbers of both networks.
        adapter_bytes: Size of its adapter.
        end: Its score at the last iteration; None where it did not get there.
        best: Its score at its best checkpoint; None before it has ended.
        best_iteration: Where that is.
        untouched: The score of its source as it comes; None where it began with something else.
        base: Fingerprints of its source.
    """

    folder: FolderName
    variant: str
    seed: Whole
    settings: Overrides
    state: str
    message: str = ""
    iteration: Count = 0
    images: Count = 0
    seconds: Seconds = 0.0
    trainable: Count | None = None
    parameters: Count | None = None
    adapter_bytes: Count | None = None
    end: Score | None = None
    best: Score | None = None
    best_iteration: Count | None = None
    untouched: Score | None = None
    base: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A comparison as far as it is done; one that has not begun has its fingerprint alone.

    Attributes:
        settings_sha256: Of ``comparison.toml``.
        command: What wrote this last.
        score: The name of the score that decides.
        better: ``lower`` or ``higher``.
        iterations: Where runs end at the latest.
        seconds_limit: How long each run trains; None: no limit, or different ones.
        shared: Settings that are the same in all runs, by dotted name.
        at_end: Where the variants, and among them their source, stand at the last iteration.
        at_best: The same, each run at its best checkpoint.
        says: What can be told from noise, in sentences.
        notes: What limits the comparison, in sentences.
    """

    format: int = FORMAT
    settings_sha256: str
    command: str = ""
    score: str = ""
    better: str = "lower"
    iterations: Count = 0
    seconds_limit: Seconds | None = None
    seeds: tuple[Whole, ...] = ()
    variants: Mapping[str, Overrides] = field(default_factory=dict[str, Overrides])
    shared: Overrides = field(default_factory=dict[str, Any])
    runs: tuple[RunResult, ...] = ()
    at_end: tuple[VariantStatistics, ...] = ()
    at_best: tuple[VariantStatistics, ...] = ()
    says: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every run has ended in a way that running it again would not change."""
        return all(run.state in ENDED for run in self.runs)


def read_results(folder: Path) -> Results:
    """Return the results of a comparison.

    Raises:
        RunError: They are not there, or damaged.
    """
    return read_summary(Results, folder / RESULTS, what="comparison", verb="compare")


def read_summary(cls: type[T], file: Path, *, what: str, verb: str) -> T:
    """Return what the folder of a study says of all its runs.

    Args:
        cls: A frozen dataclass.
        file: Where it lies in that folder.
        what: The folder holds, in words.
        verb: That writes the file.

    Raises:
        RunError: It is not there, or damaged.
    """
    remedy = f"`graftgan {verb} --resume {file.parent}` writes {file.name} again"
    try:
        return parse(cls, read_json(file, error=RunError), where=str(file), error=RunError)
    except RunError as problem:
        raise RunError(
            f"{file.parent} holds no {what} that can be read: {problem}; {remedy}"
        ) from None


def gather(comparison: Comparison, path: Path, failures: Mapping[str, str]) -> Results:
    """Read every run folder; ``failures`` are messages of runs that could not go on."""
    jobs = comparison.jobs()
    runs = [_run_result(job, comparison, path, failures.get(job.name, "")) for job in jobs]
    ends, bests = (
        {
            name: {
                run.seed: score
                for run in runs
                if run.variant == name and (score := getattr(run, which)) is not None
            }
            for name in comparison.variants
        }
        for which in ("end", "best")
    )
    sources = _sources(jobs, runs)
    at_end, at_best = variant_statistics(ends, sources), variant_statistics(bests, sources)
    scores = [score for by_seed in bests.values() for score in by_seed.values()]
    name, better = (scores[0].name, scores[0].better) if scores else ("", "lower")
    iterations = max(job.experiment.training.iterations for job in jobs)
    limits = {job.experiment.training.seconds for job in jobs}
    return Results(
        settings_sha256=comparison.sha256(),
        command=" ".join(["graftgan", *sys.argv[1:]]),
        score=name,
        better=better,
        iterations=iterations,
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


def _sources(jobs: Sequence[Job], runs: Sequence[RunResult]) -> dict[str, SourceScores]:
    """Return the untouched source of each variant that has one."""
    first: dict[str, str] = {}  # the first variant with a source names its row, if there are others
    for job in jobs:
        if job.experiment.source is not None:
            first.setdefault(job.experiment.source, job.variant)
    found: dict[str, SourceScores] = {}
    for job in jobs:
        if job.experiment.source is not None:
            of = first[job.experiment.source]
            own = [run for run in runs if run.variant == job.variant]
            found[job.variant] = SourceScores(
                row=SOURCE if len(first) == 1 else f"{SOURCE} ({of})",
                scores={run.seed: run.untouched for run in own if run.untouched is not None},
            )
    return found


def images_shown(experiment: Experiment, iteration: int) -> int:
    """Return how many real pictures a run has been shown by ``iteration``."""
    critic_steps = experiment.optimization.critic_steps or 1
    return iteration * experiment.training.batch * critic_steps


def deciding_score(file: Path, iteration: int | None) -> Score | None:
    """Return the score that decides at ``iteration``.

    Raises:
        RunError: Its line is damaged.
    """
    found = [
        line
        for line in read_jsonl(file)
        if line.get("decides") and line.get("iteration") == iteration
    ]
    return score_in(found[-1], where=f"the score at {iteration} in {file}") if found else None


def _shared(jobs: Sequence[Job], path: Path) -> dict[str, Any]:
    """Return the settings that all runs have alike, with every default of those that began."""
    all_settings: list[dict[str, Any]] = []
    for job in jobs:
        folder = RunFolder(path / "runs" / job.name)
        if folder.experiment_file.is_file():
            all_settings.append(flat(to_plain(folder.experiment())))
    if not all_settings:
        all_settings = [flat(to_plain(job.experiment)) for job in jobs]
    first, *others = all_settings
    return {
        name: value
        for name, value in first.items()
        if name != "seed" and all(other.get(name) == value for other in others)
    }


def _says(where: str, found: Sequence[VariantStatistics], seeds: int, score: str) -> list[str]:
    """Return in sentences which variant is the best, if any, and from which it can be told."""
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
            "With one seed an interval knows only the luck of the pictures drawn, not that of the "
            "training: another seed may turn what is not within noise."
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
            "saw different numbers of images; the end is each run's last score. What was reached "
            "depends on the machine, and on what else it did meanwhile."
        )
    elif len({run.images for run in ended}) > 1:
        notes.append("The variants saw different numbers of images, so their budgets differ.")
    bases = {str(sorted(run.base.items())) for run in runs if run.base}
    if len(bases) > 1 and not any("source" in v for v in comparison.variants.values()):
        notes.append(
            "The source changed between the runs: it is a run that was trained on meanwhile."
        )
    for state, words in (("diverged", "diverged"), ("stopped", "was stopped by the copy guard")):
        names = [run.folder for run in runs if run.state == state]
        if names:
            notes.append(
                f"{len(names)} of {len(runs)} runs {words} ({', '.join(names)}) and has no score "
                "at the end; a mean over the seeds that are left flatters its variant."
            )
    left = [run.folder for run in runs if run.state not in ENDED]
    if left:
        notes.append(f"{len(left)} of {len(runs)} runs are not done: {', '.join(left)}.")
    if len({score.protocol.reference_sha256 for score in scores}) > 1:
        notes.append(
            "Not all runs are scored against the same pictures: a run that holds some out takes "
            "those, and a --reference goes without those that a run was trained on. The spread "
            "over seeds contains that, the paired differences within a seed do not."
        )
    if len(comparison.variants) > 2:
        notes.append(
            "Each difference is judged at 95 % by itself: of twenty that are none, one seems real."
        )
    notes += sorted({warning for score in scores for warning in score.warnings})
    return notes
