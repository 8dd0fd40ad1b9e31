"""Score the pictures that runs kept with other metrics, without drawing or training."""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from graftgan.core.errors import ImageSetError, Progress, RunError, ScoreError, silent
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import ScoreRecord, read_scores
from graftgan.experiments.run_folder import RunFolder, architecture_of
from graftgan.experiments.run_page import write_run_report
from graftgan.experiments.scored_pictures import SCORED, list_scored, read_scored, scored_file
from graftgan.metrics import compare
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.score import Score, ScoreComparison
from graftgan.metrics.settings import ExtractorSettings
from graftgan.pictures.reference import Reference, held_out_reference, reference_among
from graftgan.reports import in_words
from graftgan.runs.build import HELD_OUT, reference_of
from graftgan.runs.evaluation import (
    DEFAULT_METRICS,
    EvaluatedPictures,
    EvaluationSettings,
    FeatureReader,
    Standard,
    check_names,
    keep_scores,
    pictures_of,
    reference_for,
)
from graftgan.runs.scorer import begins_with_source, best_iteration, best_of, deciding_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescoring:
    """The scores of a run's kept pictures."""

    run: RunFolder
    begins_with_source: bool  # whether iteration 0 of the run is its untouched source
    scores: Mapping[int, list[Score]]  # by iteration, ascending, in the order of the metrics
    copying: frozenset[int]  # iterations at which the run itself found copies
    own_best: int | None  # the iteration that the run itself called best, by ``own_score``
    own_score: str
    notes: tuple[str, ...]  # what could not be done, and why
    rewards_copying: bool  # whether the real pictures are the training pictures

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.run.path.resolve().name

    @property
    def firsts(self) -> dict[int, Score]:
        """The first score of each iteration."""
        return {iteration: found[0] for iteration, found in self.scores.items()}

    @property
    def best(self) -> int | None:
        """The best iteration by the first score, as runs choose theirs; None: there is none."""
        scores = (
            ScoreRecord(
                iteration=iteration,
                name=score.name,
                value=score.value,
                better=score.better,
                copying=iteration in self.copying,
            )
            for iteration, score in self.firsts.items()
        )
        return best_of(deciding_of(scores))

    def verdict(self) -> str:
        """Return how the best iteration compares with the source and with the run's own choice."""
        firsts, best, own = self.firsts, self.best, self.own_best
        name = next(iter(firsts.values())).name
        if best is None:
            return f"no iteration that was trained can be called the best by {name}"
        found = f"by {name} iteration {best} is the best"
        if self.begins_with_source and 0 in firsts and _gap(firsts[0], firsts[best]).low <= 0:
            found += ", but not better than the untouched source beyond noise"
        if own is None:
            return f"{found}; the run itself called none the best"
        called = f"the run itself called best by {self.own_score}"
        if own == best:
            return f"{found}, which is what {called}"
        if own not in firsts:
            return f"{found}; iteration {own}, which {called}, is not among those scored again"
        gap = _gap(firsts[own], firsts[best])
        apart = f"{in_words(gap.difference)} [{in_words(gap.low)}, {in_words(gap.high)}]"
        noise = "within noise" if gap.within_noise else "more than noise"
        return f"{found}; iteration {own}, which {called}, is worse by {apart}: {noise}"


def _gap(worse: Score, better: Score) -> ScoreComparison:
    """Return by how much ``better`` is better, as a positive difference."""
    return compare(better, worse) if better.better == "higher" else compare(worse, better)


def runs_at(path: Path) -> list[Path]:
    """Return the run folder ``path``, or all runs of that study; RunError: it is neither."""
    if RunFolder(path).experiment_file.is_file():
        return [path]
    runs = sorted(file.parent for file in (path / "runs").glob("*/experiment.toml"))
    if not runs:
        raise RunError(
            f"{path} is no run folder, nor a comparison or search with runs; only a run keeps the "
            "pictures that it was scored on"
        )
    return runs


def evaluate_again(
    path: Path,
    against: Path | None = None,
    *,
    metrics: tuple[str, ...] = DEFAULT_METRICS,
    network: ExtractorSettings | None = None,
    iteration: int | None = None,
    training: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Rescoring:
    """Score the pictures that a run kept at each iteration at which it was scored.

    They are scored ``against`` these pictures, or those that the run itself is scored against: its
    reference, its held-out pictures, or else its training pictures. The first metric decides which
    iteration is the best. ``iteration`` limits the work to one; ``training`` is the new place of
    the training pictures, if they were moved.

    Raises:
        GraftganError: Something is missing or does not fit; problems with some of the kept
            pictures are only notes.
    """
    check_names(metrics)
    run = RunFolder(path)
    experiment = run.experiment()
    files = _chosen(run, experiment, iteration)
    settings = EvaluationSettings(
        metrics=metrics,
        seed=experiment.seed,
        training=training,
        network=network or ExtractorSettings(),
    )
    extractor = build_extractor(settings.network)
    look = FeatureReader(extractor, torch.device(device), progress or silent)
    standard = _standard(run, experiment, against, settings, look)
    scores: dict[int, list[Score]] = {}
    problems: list[str] = []
    for at, file in files.items():
        try:
            kept = read_scored(file)
            card, trained = kept.card, architecture_of(experiment)
            own = (trained.channels, trained.resolution, experiment.seed)
            if (card.channels, card.resolution, card.seed) != own:
                raise RunError(f"{file} is of another run; put its own file back, or remove it")
            features = look.at(kept.pictures, f"pictures of iteration {at}")
            scores[at] = standard.scores_of(features, card.resolution, settings)
        except (RunError, ScoreError) as problem:
            problems.append(f"iteration {at} is left out: {problem}")
    if not scores:
        raise ScoreError(f"no kept pictures of {path} can be scored; {problems[0]}")
    whole, damaged = read_scores(run.path / "metrics.jsonl")
    lines = [line for line in whole if line.decides]
    if iteration is None and experiment.scoring.keep_pictures:
        scored = {line.iteration for line in lines if line.is_own and line.iteration is not None}
        problems += [
            f"iteration {at} is left out: there is no {scored_file(run.path, at)}; it was removed, "
            "or the run did not keep pictures then"
            for at in sorted(scored - files.keys())
        ]
    problems += [f"a score of the run itself is left out: {problem}" for problem in damaged]
    from_source = False
    with suppress(RunError):  # a damaged plan does not prevent scoring
        from_source = begins_with_source(run)
    return Rescoring(
        run=run,
        begins_with_source=from_source,
        scores=scores,
        copying=frozenset(line.iteration or 0 for line in lines if line.copying),
        own_best=best_iteration(run.path / "metrics.jsonl"),
        own_score=lines[-1].name if lines else "",
        notes=(*standard.reference.notes, *problems),
        rewards_copying=standard.reference.rewards_copying,
    )


def write_rescoring(rescoring: Rescoring, folder: Path | None = None) -> None:
    """Append the scores to ``metrics.jsonl`` of the run, and write its page again.

    They decide nothing about the run. With a ``folder`` they go there, and no page is written.
    """
    place = folder or rescoring.run.path
    keep_scores(place, rescoring.name, rescoring.scores)
    if folder is None:
        write_run_report(place)


def _chosen(run: RunFolder, experiment: Experiment, iteration: int | None) -> dict[int, Path]:
    """Return the files of kept pictures by iteration, or only that of ``iteration``."""
    files = list_scored(run.path)
    if not files:
        why = (
            f"it has not been scored yet, is of a graftgan that kept none, or its folder {SCORED} "
            "was removed"
        )
        if not experiment.scoring.keep_pictures:
            why = "it was trained with --no-keep-pictures"
        raise RunError(
            f"{run.path} keeps no pictures that it was scored on: {why}; "
            f"`graftgan evaluate {shlex.quote(str(run.path))} --against PICTURES` draws new ones"
        )
    if iteration is None:
        return files
    if iteration not in files:
        known = ", ".join(map(str, files))
        raise RunError(f"{run.path} keeps no pictures of iteration {iteration}; it has: {known}")
    return {iteration: files[iteration]}


def _standard(
    run: RunFolder,
    experiment: Experiment,
    against: Path | None,
    settings: EvaluationSettings,
    look: FeatureReader,
) -> Standard:
    if against is None:
        return look.standard(*_own_reference(run, experiment, settings.training))
    architecture = architecture_of(experiment)
    shape = (0, architecture.channels, architecture.resolution, architecture.resolution)
    like = torch.empty(shape, dtype=torch.uint8)
    candidate = EvaluatedPictures(run.path.name, like, run)
    return look.standard(reference_for(candidate, against, settings), against.name)


def _own_reference(
    run: RunFolder, experiment: Experiment, training: Path | None
) -> tuple[Reference, str]:
    """Return what the run itself is scored against, and its name."""
    images = pictures_of(run, training)
    if experiment.scoring.score_every is None:  # scored by SWD, which takes no reference
        if len(images.held_out):
            return held_out_reference(images), HELD_OUT
        pictures, name = images.pictures, images.source.name
        return reference_among(pictures, pictures, name=name, training_is_fine=True), name
    try:
        reference, name = reference_of(experiment, images, run.begun())
    except ImageSetError as error:
        raise ScoreError(f"{error}; say with --against what to score against") from None
    known = run.card().reference_checksum
    if known is not None and reference.checksum != known:
        raise ScoreError(
            f"the pictures in {experiment.scoring.reference} are not those that {run.path.name} "
            "was scored against; put them back, or say with --against what to score against"
        )
    return reference, name
