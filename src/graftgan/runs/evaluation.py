"""Score anything that gives pictures against a set of real ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image

from graftgan.core.errors import GraftganError, ScoreError, SettingsError, SourceError
from graftgan.core.files import append_jsonl, make_folder
from graftgan.core.progress import Progress, silent
from graftgan.core.randomness import Randomness, some_of
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import strict, to_plain
from graftgan.core.tensors import PictureBytes
from graftgan.experiments.run_folder import RunFolder, architecture_of
from graftgan.experiments.run_page import write_run_report
from graftgan.metrics import (
    HEADLINE,
    LEAST_HELD_OUT,
    METRICS,
    CopyReport,
    Extractor,
    ExtractorSettings,
    Features,
    Floor,
    Score,
    build_extractor,
    copy_gallery_indices,
    copy_report,
    copy_scores,
    differences,
    features_of,
    floors_of,
    full_name,
    guarded_pictures,
    measure,
    protocol_of,
)
from graftgan.models.sources import find_source, open_source
from graftgan.networks.sampling import generate, latents_for
from graftgan.pictures import DataSettings, ImageSet, load_image_set
from graftgan.pictures.reference import (
    Reference,
    distinct,
    honest_pictures,
    reference_among,
    told_apart,
)
from graftgan.reports import neighbour_gallery, save_png
from graftgan.runs.scorer import source_scores

DEFAULT_METRICS = (HEADLINE, "diversity", "detail", "precision_recall", "density_coverage")
_GALLERY_ROWS = 12
_TRAINING = " (training pictures)"


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How pictures are drawn and scored."""

    metrics: Annotated[tuple[str, ...], NamesDoc("{}.", METRICS)] = DEFAULT_METRICS
    count: int = 2000
    """Pictures drawn from a model; at most so many are taken from a folder."""
    seed: int = 0
    """Of the latents, the resamples and the splits."""
    truncation: float = 1.0
    """Below 1 pictures lie nearer to the average one; 1 is the model as it is."""
    iteration: int | None = None
    """The checkpoint of a run; without it, the newest."""
    resolution: int | None = None
    """Height and width at which pictures are compared, in pixels; without it, the model's."""
    training: Path | None = None
    """The pictures a model was trained on, to look for copies; a run knows its own."""
    copies: bool = True
    """Look for copies of training pictures."""
    network: ExtractorSettings = field(default_factory=ExtractorSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedPictures:
    """Pictures to be scored.

    Attributes:
        name: Of the model or folder.
        pictures: uint8 (n, c, h, h).
        run: The run they come from; None for anything else.
        iteration: Of the run's checkpoint.
    """

    name: str
    pictures: PictureBytes
    run: RunFolder | None = None
    iteration: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found out about one candidate.

    Attributes:
        scores: Every number, with the share of near copies where copies were looked for.
        copies: What the copy guard saw; None where it could not look.
        gallery: The most suspicious pictures, each beside the training pictures nearest to it.
        notes: What could not be done, and why.
        rewards_copying: Whether the real pictures are those that were trained on.
        source: Scores of the run's untouched source, where the run has them measured alike.
    """

    candidate: EvaluatedPictures
    scores: list[Score]
    copies: CopyReport | None = None
    gallery: Image.Image | None = None
    notes: tuple[str, ...] = ()
    rewards_copying: bool = False
    source: tuple[Score, ...] = ()


def evaluate(
    model: str,
    against: Path,
    settings: EvaluationSettings | None = None,
    *,
    of_class: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run, a source, or pictures on disk against real pictures.

    Args:
        model: A run folder, the name or folder of a source, or a folder, zip or npz of pictures.
        against: The real pictures: a folder, zip or npz.
        settings: What to measure, and how.
        of_class: Draw this class of a model with classes; None: all of them in equal parts.
        device: Where networks compute.
        progress: Shows how far it is.

    Raises:
        GraftganError: Something is missing or does not fit; the message says what.
    """
    settings = settings or EvaluationSettings()
    check_names(settings.metrics)
    extractor = build_extractor(settings.network)
    candidate = open_candidate(model, settings, of_class=of_class)
    look = FeatureReader(extractor, torch.device(device), progress or silent)
    real = reference_for(candidate, against, settings)
    generated = look.at(candidate.pictures, "generated pictures")
    standard = look.standard(real, against.name)
    scores = standard.scores_of(generated, candidate.pictures.shape[-1], settings)
    evaluation = Evaluation(
        candidate=candidate,
        scores=scores,
        notes=real.notes,
        rewards_copying=real.rewards_copying,
        source=() if of_class else _source_beside(candidate.run, scores),
    )
    if not settings.copies:
        return evaluation
    others = None if real.rewards_copying else standard.features
    try:
        copies, gallery = _look_for_copies(candidate, generated, others, settings, look)
    except GraftganError as error:
        if settings.training is not None:
            raise
        note = f"copies were not looked for: {error}"
        return replace(evaluation, notes=(*evaluation.notes, note))
    return replace(
        evaluation,
        scores=scores + copy_scores(copies, scores[0].protocol),
        copies=copies,
        gallery=gallery,
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Append the scores to ``metrics.jsonl`` in ``folder``; write the gallery, and a run's page.

    Raises:
        RunError: The folder cannot be written.
    """
    candidate = evaluation.candidate
    keep_scores(folder, candidate.name, {candidate.iteration: evaluation.scores})
    if evaluation.gallery is not None:
        save_png(evaluation.gallery, folder / "neighbours.png")
    if candidate.run is not None and candidate.run.path == folder:
        write_run_report(folder)


def keep_scores(folder: Path, name: str, scores: Mapping[int, Sequence[Score]]) -> None:
    """Append the scores of the model ``name``, by iteration, to ``metrics.jsonl`` in ``folder``.

    They decide nothing about a run that lies there.

    Raises:
        RunError: The folder cannot be written.
    """
    lines = [
        {"iteration": iteration, "model": name, **to_plain(score)}
        for iteration, found in scores.items()
        for score in found
    ]
    make_folder(folder)
    append_jsonl(folder / "metrics.jsonl", *lines)


def floor(
    pictures: Path,
    sizes: tuple[int, ...],
    *,
    resolution: int,
    metrics: tuple[str, ...] = (HEADLINE, "fid"),
    network: ExtractorSettings | None = None,
    seed: int = 0,
    repeats: int = 10,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[int, dict[str, Floor]]:
    """Return what real pictures score against others of their own set, by size and full name.

    At most twice as many pictures as the largest of ``sizes`` are looked at, chosen by ``seed``.
    A size beyond half the set is measured at half the set; ``Floor.count`` says so.

    Raises:
        GraftganError: The pictures or the network cannot be used.
    """
    check_names(metrics)
    if not sizes or min(sizes) < 2 or repeats < 1:
        raise SettingsError("a floor needs sizes of at least 2 pictures, and at least 1 repeat")
    extractor = build_extractor(network or ExtractorSettings())
    look = FeatureReader(extractor, torch.device(device), progress or silent)
    images = load_image_set(pictures, DataSettings(), resolution=resolution, seed=seed)
    chosen = _at_most(distinct(images.pictures), 2 * max(sizes), seed)
    features = look.at(chosen, f"pictures of {pictures.name}")
    floors: dict[int, dict[str, Floor]] = {}
    for size in sizes:
        found = floors_of(features, metrics, count=size, against=size, repeats=repeats, seed=seed)
        floors[size] = {
            full_name(label, extractor.name, extractor.view.name): floor
            for label, floor in found.items()
        }
    return floors


def check_names(metrics: tuple[str, ...]) -> None:
    """Check before anything is drawn that ``metrics`` are scores.

    Raises:
        SettingsError: There is none.
        UnknownName: One is no metric's name.
    """
    if not metrics:
        raise SettingsError("metrics must name at least one score, such as kid")
    for name in metrics:
        METRICS[name]


def open_candidate(
    model: str, settings: EvaluationSettings, *, of_class: str | None = None
) -> EvaluatedPictures:
    """Draw from a model, or read pictures.

    Raises:
        SourceError: There is neither a model nor a file by that name.
        SettingsError: Pictures are given without a resolution, or there is no such class.
    """
    try:
        folder = find_source(model)
    except SourceError:
        path = Path(model)
        if not path.exists():
            raise
        if of_class is not None:
            raise SettingsError(
                f"{path} holds pictures, not a model with classes; give the folder of the class"
            ) from None
        if settings.resolution is None:
            raise SettingsError(
                f"{path} holds pictures, which can be compared at any size; choose it with "
                "--resolution, such as 64"
            ) from None
        images = load_image_set(
            path, DataSettings(), resolution=settings.resolution, seed=settings.seed
        )
        chosen = _at_most(images.pictures, settings.count, settings.seed)
        return EvaluatedPictures(name=path.name, pictures=chosen)
    source = open_source(model, iteration=settings.iteration)
    latents = latents_for(
        source.card.architecture,
        settings.count,
        seed=settings.seed,
        of_class=of_class,
    )
    pictures = generate(source.pair.generator, latents, truncation=settings.truncation)
    if settings.resolution not in (None, pictures.shape[-1]):
        raise SettingsError(
            f"{model} draws at {pictures.shape[-1]} px, and is compared at that; "
            "leave --resolution out"
        )
    run = RunFolder(folder) if RunFolder(folder).experiment_file.is_file() else None
    iteration = source.card.iterations if run else 0
    name = source.card.name if of_class is None else f"{source.card.name}[{of_class}]"
    return EvaluatedPictures(name=name, pictures=pictures, run=run, iteration=iteration)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standard:
    """Real pictures to score against, as a feature network sees them.

    Attributes:
        extractor: The network.
        reference: The pictures.
        name: What they are, in words.
        features: What the network makes of them.
    """

    extractor: Extractor
    reference: Reference
    name: str
    features: Features

    def scores_of(
        self, generated: Features, resolution: int, settings: EvaluationSettings
    ) -> list[Score]:
        """Return the scores of pictures that were ``resolution`` pixels high and wide.

        Raises:
            ScoreError: They cannot be measured.
        """
        rewards_copying, metrics = self.reference.rewards_copying, settings.metrics
        protocol = protocol_of(
            self.extractor,
            generated,
            self.features,
            reference_name=self.name + _TRAINING * rewards_copying,
            resolution=resolution,
            truncation=settings.truncation,
            seed=settings.seed,
        )
        floors = floors_of(self.features, metrics, count=len(generated), seed=settings.seed)
        scores = measure(generated, self.features, protocol, metrics=metrics, floors=floors)
        if rewards_copying:
            return [_with_warning(score, self.reference.notes[-1]) for score in scores]
        return scores


class FeatureReader:
    """Features of pictures, from the cache where they are there, with a bar where not."""

    def __init__(self, extractor: Extractor, device: torch.device, show: Progress) -> None:
        self._extractor, self._device, self._show = extractor, device, show

    def at(self, pictures: PictureBytes, what: str) -> Features:
        """Return the features of ``pictures``, which are ``what``."""
        return features_of(
            pictures,
            self._extractor,
            device=self._device,
            progress=lambda done, total: self._show(what, done, total),
        )

    def standard(self, reference: Reference, name: str) -> Standard:
        """Return real pictures to score against, which are ``name``."""
        features = self.at(reference.pictures, f"pictures of {name}")
        return Standard(
            extractor=self._extractor, reference=reference, name=name, features=features
        )


def _pictures(path: Path, like: PictureBytes, seed: int) -> ImageSet:
    """Return the whole set at ``path``, in the size and with the channels of ``like``."""
    settings = DataSettings(channels=like.shape[1])
    return load_image_set(path, settings, resolution=like.shape[-1], seed=seed)


def _trained_on(candidate: EvaluatedPictures, settings: EvaluationSettings) -> ImageSet:
    """Return the pictures of a candidate's training, split as they were.

    Raises:
        ScoreError: They are not known.
    """
    if settings.training is not None:
        return _pictures(settings.training, candidate.pictures, settings.seed)
    if candidate.run is None:
        raise ScoreError("--training says which pictures the model was trained on")
    return pictures_of(candidate.run)


def pictures_of(run: RunFolder, place: Path | None = None) -> ImageSet:
    """Return the pictures of a run, split as they were.

    Args:
        run: The run.
        place: Where they lie now; None: where they were.

    Raises:
        ScoreError: They are not those that it was trained on.
        ImageSetError: They cannot be read.
    """
    experiment = run.experiment()
    place = place or experiment.pictures
    images = load_image_set(
        place,
        experiment.data,
        resolution=architecture_of(experiment).resolution,
        seed=experiment.seed,
        splits=run.begun().splits,
    )
    if images.sha256 != run.card().pictures_sha256:
        raise ScoreError(
            f"the pictures in {place} are not those that {run.path.name} was trained on; put them "
            "back, or say with --training where they are now"
        )
    return images


def reference_for(
    candidate: EvaluatedPictures, against: Path, settings: EvaluationSettings
) -> Reference:
    """Return the pictures of ``against`` to score with, as far as it is known those not trained on.

    Raises:
        ImageSetError: They cannot be read.
        ScoreError: Too few were not trained on.
    """
    real = _pictures(against, candidate.pictures, settings.seed)
    try:
        training = _trained_on(candidate, settings).pictures
    except GraftganError as error:
        if settings.training is not None:
            raise
        reference = reference_among(real.pictures, None, name=against.name, training_is_fine=True)
        if candidate.run is None:
            return reference
        note = f"pictures that were trained on are not left out of {against.name}: {error}"
        return replace(reference, notes=(*reference.notes, note))
    return reference_among(real.pictures, training, name=against.name, training_is_fine=True)


def _source_beside(run: RunFolder | None, scores: Sequence[Score]) -> tuple[Score, ...]:
    """Return what a run has scored its untouched source, of what compares with ``scores``."""
    try:
        known = [] if run is None else source_scores(run)
    except GraftganError:  # a file of the run is damaged
        return ()
    return tuple(one for one in known if any(not differences(one, score) for score in scores))


def _with_warning(score: Score, warning: str) -> Score:
    return replace(score, warnings=(warning, *score.warnings))


def _look_for_copies(
    candidate: EvaluatedPictures,
    generated: Features,
    others: Features | None,
    settings: EvaluationSettings,
    look: FeatureReader,
) -> tuple[CopyReport, Image.Image]:
    """Return what the copy guard sees, and its gallery.

    Honest pictures are those a run held out; without them, ``others``, which were not trained on.

    Raises:
        ScoreError: There are too few.
    """
    images = _trained_on(candidate, settings)
    guarded = told_apart(guarded_pictures(distinct(images.pictures), seed=settings.seed))
    held_out = honest_pictures(images)
    if len(held_out) >= LEAST_HELD_OUT:
        honest = look.at(held_out, "pictures held out")
    elif others is None:
        raise ScoreError(
            "no picture is known that was not trained on, as a copy report needs; hold pictures "
            "out, or give others of the same kind"
        )
    else:
        honest = others
    training = look.at(guarded, "training pictures")
    mirrored = look.at(guarded.flip(3), "training pictures, mirrored")
    report = copy_report(generated, training, honest, mirrored=mirrored, seed=settings.seed)
    rows, nearest = copy_gallery_indices(generated, training, _GALLERY_ROWS, mirrored=mirrored)
    return report, neighbour_gallery(candidate.pictures[rows], guarded[nearest])


def _at_most(pictures: PictureBytes, count: int, seed: int) -> PictureBytes:
    """Return ``count`` of the pictures, chosen by ``seed``; all, if there are no more."""
    return some_of(pictures, count, Randomness(seed).generator("chosen for scores"))
