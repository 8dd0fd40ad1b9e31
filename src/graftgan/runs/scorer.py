"""Score the averaged generator during training, and find the best checkpoint."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from math import isfinite
from pathlib import Path

from graftgan.core.errors import RunError
from graftgan.core.files import read_jsonl
from graftgan.core.network_types import PictureBytes
from graftgan.core.settings import parse
from graftgan.experiments.records import ScoreLine, ScoreRecord, read_plan, read_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.copying import LEAST_HELD_OUT, copy_report, guarded_pictures
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.metric import Features
from graftgan.metrics.pixels import (
    SlicedWassersteinProtocol,
    SlicedWassersteinScore,
    SlicedWassersteinUse,
    sliced_wasserstein,
)
from graftgan.metrics.score import (
    Score,
    check_metrics,
    copy_scores,
    floors_of,
    measure,
    protocol_of,
)
from graftgan.pictures import ImageSet
from graftgan.pictures.reference import distinct, honest_pictures, told_apart
from graftgan.runs.build import Prepared, ScoringReference
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import ACTIONS

_REPLICATES = 200  # a rough interval is enough during training


@dataclass(frozen=True, slots=True)
class ScoreOutcome:
    """What a score means for the run."""

    best: bool  # whether this is the best checkpoint so far
    value: float  # the deciding score
    stop: str = ""  # why the run should end; empty: it should not
    warning: str = ""  # about the pictures, for the user


class SlicedWassersteinScorer:
    """The sliced Wasserstein distance: coarse and cheap, for runs without metrics."""

    count = SlicedWassersteinProtocol().count

    def __init__(self, file: Path, images: ImageSet) -> None:
        self._file = file
        held_out = len(images.held_out) > 0
        self._real = images.held_out if held_out else images.pictures
        self._protocol = SlicedWassersteinUse(
            real="held out" if held_out else "training pictures", real_count=len(self._real)
        )

    def score(
        self, iteration: int, generated: PictureBytes
    ) -> tuple[list[ScoreLine], ScoreOutcome]:
        """Return one line, and whether it is the best so far."""
        value = sliced_wasserstein(generated, self._real, self._protocol)
        name = f"SWD({self._protocol.side}px)"
        score = SlicedWassersteinScore(name=name, value=value, protocol=self._protocol)
        line = ScoreLine(iteration=iteration, score=score, decides=True)
        best = best_of(_deciding(self._file, line))
        return [line], ScoreOutcome(best=best == iteration, value=value)


class MetricScorer:
    """The metrics of the settings, against pictures that are not trained on."""

    def __init__(self, file: Path, prepared: Prepared, scoring_reference: ScoringReference) -> None:
        self._file, self._extractor = file, scoring_reference.extractor
        self._settings = prepared.experiment.scoring
        self._seed = prepared.experiment.seed
        self._device = prepared.hardware.device
        self.count = self._settings.score_count
        images, reference = prepared.images, scoring_reference.reference
        self._words = scoring_reference.name
        self._resolution = images.resolution
        honest = honest_pictures(images)
        self._reference = self._features(honest if reference is None else reference.pictures)
        check_metrics(self._settings.metrics, self.count, self._reference)
        self._floors = floors_of(
            self._reference, self._settings.metrics, count=self.count, seed=self._seed
        )
        self._training: Features | None = None
        if self._settings.copy_guard and len(honest) >= LEAST_HELD_OUT:
            guarded = told_apart(guarded_pictures(distinct(images.pictures), seed=self._seed))
            self._training = self._features(guarded)
            self._mirrored = self._features(guarded.flip(3))
            self._held_out = self._features(honest)

    def score(
        self, iteration: int, generated: PictureBytes
    ) -> tuple[list[ScoreLine], ScoreOutcome]:
        """Return a line for each number, and the outcome."""
        features = self._extractor.extract(generated, device=self._device)
        protocol = protocol_of(
            self._extractor,
            features,
            self._reference,
            reference_name=self._words,
            resolution=self._resolution,
            truncation=1.0,
            seed=self._seed,
        )
        scores = measure(
            features,
            self._reference,
            protocol,
            metrics=self._settings.metrics,
            floors=self._floors,
            replicates=_REPLICATES,
        )
        copies = None
        if self._training is not None:
            copies = copy_report(features, self._training, self._held_out, mirrored=self._mirrored)
            scores += copy_scores(copies, protocol)
        copying = copies is not None and copies.copying
        lines = [
            ScoreLine(iteration=iteration, score=score, decides=score is scores[0], copying=copying)
            for score in scores
        ]
        if copies is not None and copying:
            verdict = ScoreOutcome(best=False, value=scores[0].value, stop=copies.message())
        else:
            verdict = self._judged(iteration, lines[0])
        if copies is not None and copies.contaminated:
            verdict = replace(verdict, warning=copies.message())
        if verdict.stop:
            lines[0] = replace(lines[0], stop=verdict.stop)
        return lines, verdict

    def _features(self, pictures: PictureBytes) -> Features:
        return features_of(pictures, self._extractor, device=self._device)

    def _judged(self, iteration: int, line: ScoreLine) -> ScoreOutcome:
        deciding = _deciding(self._file, line)
        best, value = best_of(deciding), line.score.value
        worse = [at for _, at, _ in deciding if at > (best or 0)]
        patience = self._settings.patience
        if best is not None and patience is not None and len(worse) >= patience:
            stop = f"{patience} scores in a row without a better {line.score.name}"
            return ScoreOutcome(best=False, value=value, stop=stop)
        return ScoreOutcome(best=best == iteration, value=value)


Scorer = SlicedWassersteinScorer | MetricScorer
"""Scores pictures and judges the run by its scores; writes nothing. ``count``: how many."""


def build_scorer(file: Path, prepared: Prepared) -> Scorer:
    """Return the scorer of a run, whose scores so far are in ``file``."""
    if prepared.scoring_reference is None:
        return SlicedWassersteinScorer(file, prepared.images)
    return MetricScorer(file, prepared, prepared.scoring_reference)


Deciding = list[tuple[float, int, bool]]
"""Deciding scores of a trained model: cost (less is better), iteration, whether pictures copy."""


def deciding_of(scores: Iterable[ScoreRecord]) -> Deciding:
    """Return ``scores``, all of one name, as they count; the untouched source's do not."""
    return [
        (-value if score.better == "higher" else value, at, score.copying)
        for score in scores
        if (at := score.iteration) and (value := score.value) is not None and isfinite(value)
    ]


def best_of(deciding: Deciding) -> int | None:
    """Return the iteration with the best score whose pictures do not copy; None: there is none."""
    return min(((cost, at) for cost, at, copies in deciding if not copies), default=(0, None))[1]


def best_iteration(file: Path) -> int | None:
    """Return the iteration with the best deciding score in ``file``; None: there is none."""
    return best_of(_deciding(file))


def _deciding(file: Path, *new: ScoreLine) -> Deciding:
    """Return the deciding scores, old and new, of one name; not of the untouched source."""
    known = [score for score in read_scores(file)[0] if score.decides]
    return deciding_of(
        known + [parse(ScoreRecord, line.as_dict(), where="a new score") for line in new]
    )


def score_at(file: Path, iteration: int) -> ScoreOutcome | None:
    """Return what the score of ``iteration`` meant for the run; None: there is none."""
    for score in read_scores(file)[0]:
        if score.decides and score.iteration == iteration and score.value is not None:
            best = best_iteration(file) == iteration
            return ScoreOutcome(best=best, value=score.value, stop=score.stop)
    return None


def begins_with_source(run: RunFolder) -> bool:
    """Return whether iteration 0 of a run is its untouched source; RunError: it is damaged.

    It is not with fresh weights, reset layers in the generator, or a procedure that changes it.
    """
    experiment = run.experiment()
    actions = read_plan(run.path).actions.get("generator", {}).values()
    kept = all(ACTIONS[action].keeps_source for action in actions)
    return experiment.source is not None and kept and PROCEDURES[experiment.procedure].keeps_source


def source_scores(run: RunFolder) -> list[Score]:
    """Return the scores of a run's untouched source, the deciding one first.

    They are those of iteration 0; none if the run has no scores or begins with something else.
    """
    if run.experiment().scoring.score_every is None or not begins_with_source(run):
        return []
    return scores_at(run.path / "metrics.jsonl", 0)


def scores_at(file: Path, iteration: int | None, *, decides: bool | None = None) -> list[Score]:
    """Return a run's scores at ``iteration``, filtered by ``decides``; RunError: damaged."""
    known = {field.name for field in fields(Score)}
    return [
        parse(
            Score,
            {key: value for key, value in line.items() if key in known},
            where=f"the score at {iteration} in {file}",
            error=RunError,
        )
        for line in read_jsonl(file)
        if line.get("iteration") == iteration
        and "decides" in line  # not a line of evaluate
        and decides in (None, bool(line["decides"]))
    ]
