"""Score the averaged generator while it trains, and decide which checkpoint is the best."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from graftgan.core.errors import RunError
from graftgan.core.files import read_jsonl
from graftgan.core.settings import parse, to_plain
from graftgan.core.tensors import PictureBytes
from graftgan.experiments.records import ScoreRecord, read_plan, read_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics import (
    LEAST_HELD_OUT,
    CopyReport,
    Features,
    Score,
    SlicedWassersteinProtocol,
    check_metrics,
    copy_report,
    copy_scores,
    features_of,
    floors_of,
    guarded_pictures,
    measure,
    protocol_of,
    sliced_wasserstein,
)
from graftgan.pictures import ImageSet
from graftgan.pictures.reference import distinct, honest_pictures, told_apart
from graftgan.runs.prepared import Prepared, ScoringReference
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import ACTIONS

_COMPASS = SlicedWassersteinProtocol()
_REPLICATES = 200  # a rough interval will do while a run trains


@dataclass(frozen=True, slots=True)
class ScoreOutcome:
    """What a score means for the run.

    Attributes:
        best: Whether this is the best checkpoint so far.
        value: The score that decides.
        stop: Why the run should end; empty: it should go on.
        warning: What a person should know of the pictures it compares with; empty: nothing.
    """

    best: bool
    value: float
    stop: str = ""
    warning: str = ""


Line = dict[str, Any]


class Scorer(Protocol):
    """Scores, and judges by the scores so far; writes nothing."""

    count: int
    """Generated pictures it needs."""

    def score(self, iteration: int, generated: PictureBytes) -> tuple[list[Line], ScoreOutcome]:
        """Score the pictures of an iteration: lines for the file, and what they mean."""
        ...


def build_scorer(file: Path, prepared: Prepared) -> Scorer:
    """Return what scores a run: its metrics, or the sliced Wasserstein distance where it has none.

    ``file`` holds the lines of the scores so far.
    """
    if prepared.scoring_reference is None:
        return SlicedWassersteinScorer(file, prepared.images)
    return MetricScorer(file, prepared, prepared.scoring_reference)


class SlicedWassersteinScorer:
    """The sliced Wasserstein distance: free, coarse, and better than choosing blindly."""

    count = _COMPASS.count

    def __init__(self, file: Path, images: ImageSet) -> None:
        self._file = file
        held_out = len(images.held_out) > 0
        self._real = images.held_out if held_out else images.pictures
        self._protocol = {
            **asdict(_COMPASS),
            "real": "held out" if held_out else "training pictures",
            "real_count": len(self._real),
        }

    def score(self, iteration: int, generated: PictureBytes) -> tuple[list[Line], ScoreOutcome]:
        """Return one line, and whether it is the best so far."""
        value = sliced_wasserstein(generated, self._real, _COMPASS)
        line = {
            "iteration": iteration,
            "name": f"SWD({_COMPASS.side}px)",
            "value": value,
            "better": "lower",
            "decides": True,
            "protocol": self._protocol,
        }
        best = _best(_deciding(self._file) + _counted(line))
        return [line], ScoreOutcome(best=best == iteration, value=value)


class MetricScorer:
    """The metrics of the settings, against pictures that the run is not trained on."""

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

    def score(self, iteration: int, generated: PictureBytes) -> tuple[list[Line], ScoreOutcome]:
        """Return a line for each number, and what they mean for the run."""
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
        copies = self._copies(features)
        if copies is not None:
            scores += copy_scores(copies, protocol)
        copying = copies is not None and copies.copying
        lines = [
            {"iteration": iteration, **to_plain(score), "decides": score is scores[0]}
            | {"copying": copying}
            for score in scores
        ]
        if copies is not None and copying:
            verdict = ScoreOutcome(best=False, value=scores[0].value, stop=copies.message())
        else:
            verdict = self._judged(iteration, lines[0])
        if copies is not None and copies.contaminated:
            verdict = replace(verdict, warning=copies.message())
        if verdict.stop:
            lines[0]["stop"] = verdict.stop
        return lines, verdict

    def _copies(self, features: Features) -> CopyReport | None:
        if self._training is None:
            return None
        return copy_report(
            features, self._training, self._held_out, mirrored=self._mirrored, seed=self._seed
        )

    def _features(self, pictures: PictureBytes) -> Features:
        return features_of(pictures, self._extractor, device=self._device)

    def _judged(self, iteration: int, line: Line) -> ScoreOutcome:
        deciding = _deciding(self._file) + _counted(line)
        best, value = _best(deciding), float(line["value"])
        worse = [score for score in deciding if score.iteration > (best or 0)]
        patience = self._settings.patience
        if best is not None and patience is not None and len(worse) >= patience:
            stop = f"{patience} scores in a row without a better {line['name']}"
            return ScoreOutcome(best=False, value=value, stop=stop)
        return ScoreOutcome(best=best == iteration, value=value)


@dataclass(frozen=True, slots=True)
class _Deciding:
    """A score that decides, of a trained model.

    Attributes:
        value: Less is better.
    """

    iteration: int
    value: float
    copying: bool


def best_iteration(file: Path) -> int | None:
    """Return the iteration with the best score that decides; None without one.

    Iteration 0 is the untouched source, and pictures that copy the training ones are no result:
    neither can be the best.
    """
    return _best(_deciding(file))


def best_of(scores: Iterable[ScoreRecord]) -> int | None:
    """Return which iteration would be the best if ``scores``, all of one name, were to decide."""
    return _best([entry for score in scores for entry in _entry(score)])


def score_at(file: Path, iteration: int) -> ScoreOutcome | None:
    """Return what the score of ``iteration`` meant for the run; None: it has none."""
    for score in read_scores(file)[0]:
        if score.decides and score.iteration == iteration and score.value is not None:
            best = best_iteration(file) == iteration
            return ScoreOutcome(best=best, value=score.value, stop=score.stop)
    return None


def begins_with_source(run: RunFolder) -> bool:
    """Return whether a run draws at iteration 0 what its source draws.

    It does not with fresh weights, with reset layers in its generator, or in a procedure that draws
    otherwise from the first.

    Raises:
        RunError: A file of the run is damaged.
    """
    experiment = run.experiment()
    actions = read_plan(run.path).actions.get("generator", {}).values()
    kept = all(ACTIONS[action].keeps_source for action in actions)
    return experiment.source is not None and kept and PROCEDURES[experiment.procedure].keeps_source


def source_scores(run: RunFolder) -> list[Score]:
    """Return the scores of the untouched source of a run, the one that decides first.

    They are those of iteration 0; none where the run is not scored, or begins with something else.

    Raises:
        RunError: A file of the run is damaged.
    """
    if run.experiment().scoring.score_every is None or not begins_with_source(run):
        return []
    file = run.path / "metrics.jsonl"
    return [
        score_in(line, where=f"the score at 0 in {file}")
        for line in read_jsonl(file)
        if line.get("iteration") == 0 and "decides" in line  # evaluate's lines do not say
    ]


def score_in(line: Mapping[str, Any], *, where: str) -> Score:
    """Return the score that a line of ``metrics.jsonl`` holds.

    Raises:
        RunError: The line is damaged.
    """
    known = {field.name for field in fields(Score)}
    plain = {key: value for key, value in line.items() if key in known}
    return parse(Score, plain, where=where, error=RunError)


def _best(deciding: list[_Deciding]) -> int | None:
    honest = [(score.value, score.iteration) for score in deciding if not score.copying]
    return min(honest)[1] if honest else None


def _deciding(file: Path) -> list[_Deciding]:
    return [entry for score in read_scores(file)[0] if score.decides for entry in _entry(score)]


def _counted(line: Line) -> list[_Deciding]:
    """Return a new line as it will count."""
    return _entry(parse(ScoreRecord, line, where="a new score"))


def _entry(score: ScoreRecord) -> list[_Deciding]:
    """Return the score as it counts; empty where it does not."""
    if not score.iteration or score.value is None or not isfinite(score.value):
        return []
    sign = -1 if score.better == "higher" else 1
    return [_Deciding(score.iteration, sign * score.value, score.copying)]
