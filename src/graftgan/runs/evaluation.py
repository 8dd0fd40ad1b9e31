"""Score a run, a source or a set of pictures against real pictures."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image

from graftgan.core.errors import (
    GraftganError,
    Progress,
    ScoreError,
    SettingsError,
    SourceError,
    silent,
)
from graftgan.core.files import make_folder
from graftgan.core.network_types import PictureBytes
from graftgan.core.randomness import Randomness, some_of
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import strict
from graftgan.experiments.records import ScoreLine, append_scores, read_manifest
from graftgan.experiments.run_folder import RunFolder, architecture_of
from graftgan.experiments.run_page import write_run_report
from graftgan.metrics.copying import (
    LEAST_HELD_OUT,
    CopyReport,
    copy_gallery_indices,
    copy_report,
    guarded_pictures,
)
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.metric import METRICS, Features
from graftgan.metrics.score import (
    HEADLINE,
    Floor,
    Score,
    copy_scores,
    differences,
    floors_of,
    full_name,
    measure,
    protocol_of,
)
from graftgan.metrics.settings import ExtractorSettings
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
    """Number of pictures drawn from a model, or the most that are taken from a folder."""
    seed: int = 0
    """Seed of the latents, the resamples and the splits."""
    truncation: float = 1.0
    """Below 1 pictures are nearer to the average one; 1 leaves the model as it is."""
    iteration: int | None = None
    """The checkpoint of a run; by default the newest."""
    resolution: int | None = None
    """Height and width at which pictures are compared, in pixels; by default the model's."""
    training: Path | None = None
    """The training pictures of a model, to look for copies; a run knows its own."""
    copies: bool = True
    """Look for copies of training pictures."""
    network: ExtractorSettings = field(default_factory=ExtractorSettings)


@dataclass(frozen=True, slots=True)
class EvaluatedPictures:
    """Pictures to be scored, uint8 (n, c, h, h), from a model, a folder or a run's checkpoint."""

    name: str
    pictures: PictureBytes
    run: RunFolder | None = None
    iteration: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The scores of one candidate."""

    candidate: EvaluatedPictures
    scores: list[Score]  # with the share of near copies, if copies were looked for
    copies: CopyReport | None = None  # None: copies were not looked for
    gallery: Image.Image | None = None  # the most suspicious pictures beside training pictures
    notes: tuple[str, ...] = ()  # what could not be done, and why
    rewards_copying: bool = False  # whether the real pictures are the training pictures
    source: tuple[Score, ...] = ()  # of the run's untouched source, under the same protocol


def evaluate(
    model: str,
    against: Path,
    settings: EvaluationSettings | None = None,
    *,
    of_class: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model ``against`` a folder, zip or npz of real pictures.

    The model is a run folder, the name or folder of a source, or pictures on disk. ``of_class``
    draws one class of a model with classes; by default all are drawn in equal parts.

    Raises:
        GraftganError: Something is missing or does not fit.
    """
    settings = settings or EvaluationSettings()
    check_names(settings.metrics)
    extractor = build_extractor(settings.network)
    candidate = _open_candidate(model, settings, of_class=of_class)
    look = FeatureReader(extractor, torch.device(device), progress or silent)
    real = reference_for(candidate, against, settings)
    generated = look.at(candidate.pictures, "generated pictures")
    standard = look.standard(real, against.name)
    scores = standard.scores_of(generated, candidate.pictures.shape[-1], settings)
    untouched: list[Score] = []
    if candidate.run is not None and not of_class:
        with suppress(GraftganError):  # damaged files
            untouched = source_scores(candidate.run)
    evaluation = Evaluation(
        candidate=candidate,
        scores=scores,
        notes=real.notes,
        rewards_copying=real.rewards_copying,
        source=tuple(s for s in untouched if any(not differences(s, own) for own in scores)),
    )
    if not settings.copies:
        return evaluation
    others = None if real.rewards_copying else standard.features
    try:
        images = _trained_on(candidate, settings, against)
        copies, gallery = _look_for_copies(
            candidate, images, generated, others, settings.seed, look
        )
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
    """Append the scores to ``metrics.jsonl`` in ``folder``; write the gallery and a run's page."""
    candidate = evaluation.candidate
    keep_scores(folder, candidate.name, {candidate.iteration: evaluation.scores})
    if evaluation.gallery is not None:
        save_png(evaluation.gallery, folder / "neighbours.png")
    if candidate.run is not None and candidate.run.path == folder:
        write_run_report(folder)


def keep_scores(folder: Path, name: str, scores: Mapping[int, Sequence[Score]]) -> None:
    """Append the scores of the model ``name``, by iteration, to ``metrics.jsonl`` in ``folder``.

    They decide nothing about a run in that folder.
    """
    make_folder(folder)
    lines = (
        ScoreLine(iteration=iteration, score=score, model=name)
        for iteration, found in scores.items()
        for score in found
    )
    append_scores(folder / "metrics.jsonl", lines)


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
    """Return the scores of real pictures against others of their own set, by size and full name.

    At most twice as many pictures as the largest of ``sizes`` are used, chosen by ``seed``. A size
    beyond half the set is measured at half the set, which is then in ``Floor.count``.

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
    """Raise SettingsError if ``metrics`` is empty or has an unknown name."""
    if not metrics:
        raise SettingsError("metrics must name at least one score, such as kid")
    for name in metrics:
        METRICS[name]


def _open_candidate(
    model: str, settings: EvaluationSettings, *, of_class: str | None = None
) -> EvaluatedPictures:
    try:
        run = RunFolder(find_source(model))
    except SourceError:
        if not Path(model).exists():
            raise
        return _pictures_as_candidate(Path(model), settings, of_class)
    source = open_source(model, iteration=settings.iteration)
    latents = latents_for(
        source.card.architecture, settings.count, seed=settings.seed, of_class=of_class
    )
    pictures = generate(source.pair.generator, latents, truncation=settings.truncation)
    if settings.resolution not in (None, pictures.shape[-1]):
        raise SettingsError(
            f"{model} draws at {pictures.shape[-1]} px, and is compared at that size; leave "
            "--resolution out"
        )
    name = source.card.name if of_class is None else f"{source.card.name}[{of_class}]"
    if not run.experiment_file.is_file():
        return EvaluatedPictures(name, pictures)
    return EvaluatedPictures(name, pictures, run, source.card.iterations)


def _pictures_as_candidate(
    path: Path, settings: EvaluationSettings, of_class: str | None
) -> EvaluatedPictures:
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
    return EvaluatedPictures(path.name, _at_most(images.pictures, settings.count, settings.seed))


@dataclass(frozen=True, slots=True, eq=False)
class FeatureReader:
    """Extracts features of pictures, with a cache and a progress bar."""

    extractor: Extractor
    device: torch.device
    show: Progress

    def at(self, pictures: PictureBytes, what: str) -> Features:
        """Return the features of ``pictures``; ``what`` names them in the progress bar."""
        progress = partial(self.show, what)
        return features_of(pictures, self.extractor, device=self.device, progress=progress)

    def standard(self, reference: Reference, name: str) -> "Standard":
        """Return the standard of real pictures under their ``name``."""
        features = self.at(reference.pictures, f"pictures of {name}")
        return Standard(self.extractor, reference, name, features)


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Real pictures to score against, with their name and features."""

    extractor: Extractor
    reference: Reference
    name: str
    features: Features

    def scores_of(
        self, generated: Features, resolution: int, settings: EvaluationSettings
    ) -> list[Score]:
        """Return the scores of pictures of ``resolution`` pixels; ScoreError: there are none."""
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
        if not rewards_copying:
            return scores
        warning = self.reference.notes[-1]
        return [replace(score, warnings=(warning, *score.warnings)) for score in scores]


def _trained_on(
    candidate: EvaluatedPictures, settings: EvaluationSettings, against: Path
) -> ImageSet:
    """Return a candidate's training pictures with their splits; GraftganError: they are unknown.

    Those of a run are known again, with their splits, in --training or where they are ``against``.
    """
    run, place = candidate.run, settings.training
    if place is not None:
        if run is not None:
            with suppress(GraftganError):  # others than its own, or a damaged run
                return pictures_of(run, place)
        return _pictures(place, candidate.pictures, settings.seed)
    if run is None:
        raise ScoreError("give the pictures that the model was trained on with --training")
    try:
        return pictures_of(run)
    except GraftganError:
        with suppress(GraftganError):
            return pictures_of(run, against)
        raise


def _pictures(path: Path, like: PictureBytes, seed: int) -> ImageSet:
    """Return the set at ``path``, in the size and with the channels of ``like``."""
    settings = DataSettings(channels=like.shape[1])
    return load_image_set(path, settings, resolution=like.shape[-1], seed=seed)


def pictures_of(run: RunFolder, place: Path | None = None) -> ImageSet:
    """Return the pictures of a run with their splits; ``place`` is where they were moved to.

    Raises:
        ScoreError: They are not those that it was trained on.
        ImageSetError: They cannot be read.
    """
    experiment = run.experiment()
    place = place or experiment.pictures
    if not place.exists():
        raise ScoreError(
            f"the pictures that {run.path.name} was trained on are not in {place}; give their "
            "place with --training"
        )
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
            "back, or give their new place with --training"
        )
    return images


def reference_for(
    candidate: EvaluatedPictures, against: Path, settings: EvaluationSettings
) -> Reference:
    """Return the pictures of ``against`` without known training pictures.

    Raises:
        ImageSetError: They cannot be read.
        ScoreError: Too few are left.
    """
    real = _pictures(against, candidate.pictures, settings.seed)
    try:
        training = _trained_on(candidate, settings, against).pictures
    except GraftganError as error:
        if settings.training is not None:
            raise
        training, are_all = _trained_on_by_file(candidate, real)
        reference = reference_among(
            real.pictures, training, name=against.name, training_is_fine=True
        )
        if candidate.run is None or are_all:
            return reference
        which = "training pictures" if training is None else "training pictures in other files"
        note = f"{which} could not be left out of {against.name}: {error}"
        return replace(reference, notes=(note, *reference.notes))
    return reference_among(real.pictures, training, name=against.name, training_is_fine=True)


def _trained_on_by_file(
    candidate: EvaluatedPictures, real: ImageSet
) -> tuple[PictureBytes | None, bool]:
    """Return the pictures of ``real`` whose files a run was trained on, and whether they are all.

    The run wrote down the sha256 of each; its pictures themselves may be gone. None: there are
    none, or they are not known.
    """
    known: set[str] = set()
    if candidate.run is not None:
        with suppress(GraftganError):  # a damaged manifest
            known = {picture.sha256 for picture in read_manifest(candidate.run.path).training}
    is_known = torch.tensor([record.sha256 in known for record in real.records])
    found = {record.sha256 for record in real.records} & known
    return (real.pictures[is_known] if found else None), bool(found) and found == known


def _look_for_copies(
    candidate: EvaluatedPictures,
    images: ImageSet,
    generated: Features,
    others: Features | None,
    seed: int,
    look: FeatureReader,
) -> tuple[CopyReport, Image.Image]:
    """Return the copy report and its gallery; ``images`` are those that it was trained on.

    It compares with the pictures that a run held out, or else ``others``, not trained on either.
    """
    guarded = told_apart(guarded_pictures(distinct(images.pictures), seed=seed))
    held_out = honest_pictures(images)
    if len(held_out) >= LEAST_HELD_OUT:
        honest = look.at(held_out, "pictures held out")
    elif others is None:
        raise ScoreError(
            "a copy report needs pictures that were not trained on, and none are known; hold "
            "pictures out, or give others of the same kind"
        )
    else:
        honest = others
    training = look.at(guarded, "training pictures")
    mirrored = look.at(guarded.flip(3), "training pictures, mirrored")
    report = copy_report(generated, training, honest, mirrored=mirrored)
    rows, nearest = copy_gallery_indices(generated, training, _GALLERY_ROWS, mirrored=mirrored)
    return report, neighbour_gallery(candidate.pictures[rows], guarded[nearest])


def _at_most(pictures: PictureBytes, count: int, seed: int) -> PictureBytes:
    """Return at most ``count`` of the pictures, chosen by ``seed``."""
    return some_of(pictures, count, Randomness(seed).generator("chosen for scores"))
