"""Put the parts of one run together: networks under their plan, updates, the training."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture, NetworkPair, draw_latents
from graftgan.core.progress import Progress, silent
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import to_images
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_folder import Begun, architecture_of, put_in_force
from graftgan.metrics import build_extractor
from graftgan.models.sources import open_source, settled_name
from graftgan.networks import build_pair, surrounded
from graftgan.pictures import ImageSet, find_classes, load_image_set
from graftgan.pictures.reference import Reference, held_out_reference, reference_among
from graftgan.runs.prepared import HELD_OUT, Prepared, ScoringReference
from graftgan.training import DivergenceGuard, GeneratorAverage, Hardware, Processes, Training
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import (
    AppliedPlan,
    Filters,
    RegularizerSettings,
    RegularizerSetup,
    filter_importance,
    is_regularized,
    most_important,
    needs_probe,
    refuse_mixed_samples,
    remember_source,
)


def prepare(
    experiment: Experiment,
    hardware: Hardware,
    *,
    processes: Processes | None = None,
    regularizer_state: Mapping[str, Tensor] | None = None,
    begun: Begun | None = None,
    only_check: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """Check a new experiment and build everything it needs; nothing is written.

    ``processes`` are those that train together; ``regularizer_state`` is what the
    regularizers of a run that starts over took from the source the first time, ``begun`` what was
    settled about its pictures then. ``only_check``
    leaves out the probe of filters, which is a training of its own; what is returned then cannot
    be trained.

    Raises:
        GraftganError: Something does not fit.
    """
    experiment.check_names()
    source = None
    if experiment.source is not None:
        name = settled_name(experiment.source)
        experiment, source = replace(experiment, source=name), open_source(name)
    known = None if source is None else source.card.architecture
    architecture = experiment.architecture(known, _classes(experiment))
    experiment = experiment.resolved(architecture, bfloat16=hardware.bfloat16)
    fresh = partial(_fresh_pair, architecture, experiment.seed)
    if source is None:
        pair = _fresh_pair(architecture, experiment.seed)
    else:
        pair = _surrounded(source.pair, experiment)
    base = {} if source is None else dict(source.card.fingerprints)
    untouched = copy.deepcopy(pair)
    plan = put_in_force(experiment, pair, fresh)
    images = _load_pictures(experiment, experiment.pictures, progress, begun)
    scoring_reference = _scoring_reference(experiment, images, progress, begun)
    if scoring_reference is not None:
        scoring_reference.extractor.refuse_inside(pair.discriminator)
    probe = Prepared(experiment, pair, plan, images, hardware, base)
    PROCEDURES[experiment.procedure].check(probe)
    if needs_probe(plan) and not only_check:
        filters = probed_filters(probe, processes or Processes(), progress)
        pair = copy.deepcopy(untouched)
        plan = put_in_force(experiment, pair, fresh, filters=filters)
    if regularizer_state is None:
        regularizer_state = regularizer_state_of(
            experiment, untouched, pair, plan, hardware, progress
        )
    return Prepared(
        experiment, pair, plan, images, hardware, base, scoring_reference, regularizer_state
    )


def with_procedure_cache(prepared: Prepared, progress: Progress = silent) -> Prepared:
    """Return ``prepared`` with what its procedure makes of the source; this may take long.

    Raises:
        SourceError: The source is not there any more.
    """
    experiment = prepared.experiment
    remember = PROCEDURES[experiment.procedure].remember
    if remember is None or experiment.source is None:
        return prepared
    source = _surrounded(open_source(experiment.source).pair, experiment)
    return replace(prepared, procedure_cache=remember(prepared, source, progress))


def remarks_on(prepared: Prepared) -> list[str]:
    """Return what a person should know of what the procedure made before the run."""
    if not prepared.procedure_cache:
        return []
    return PROCEDURES[prepared.experiment.procedure].remarks(prepared.procedure_cache)


def probed_filters(probe: Prepared, processes: Processes, progress: Progress) -> Filters:
    """Train as ``probe`` says, every filter modulated, and return those that matter most.

    Raises:
        SettingsError: Some layer mixes the samples of a batch, or the processes cannot share it.
        TrainingDiverged: The probe did.
    """
    experiment, images = probe.experiment, probe.images.pictures
    transfer, size = experiment.transfer, probe.pair.architecture.latent_size
    refuse_mixed_samples(probe.pair, what="by_importance", instead="another plan or source")
    settings = replace(
        experiment.training, iterations=transfer.probe_iterations, average_half_life_images=0
    )
    short = replace(experiment, training=settings, regularizers=RegularizerSettings())
    training = build_training(replace(probe, experiment=short), processes)
    training.callbacks = [DivergenceGuard(every=settings.log_every), _Progress(progress)]
    training.run()
    rng = Randomness(experiment.seed).generator("importance of filters")
    latents = draw_latents(transfer.probe_samples, size, rng, probe.hardware.device)
    latents = probe.pair.architecture.with_labels(latents)
    chosen = torch.arange(transfer.probe_samples) % len(images)
    real = to_images(images[chosen].to(probe.hardware.device))
    importance = filter_importance(probe.pair, latents, real, progress=progress)
    processes.share_tensors(importance.values())  # a bit of difference could change the ranking
    return most_important(importance, transfer.modulated_share)


class _Progress:
    """Report the progress of the probe."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def started(self, training: Training) -> None:
        """Show nothing."""

    def iterated(self, training: Training, terms: Mapping[str, Tensor]) -> None:
        """Show the iterations done."""
        del terms
        self._progress("probing", training.iteration, training.iterations)

    def ended(self, training: Training) -> None:
        """Show nothing."""


def regularizer_state_of(
    experiment: Experiment,
    source: NetworkPair,
    pair: NetworkPair,
    plan: AppliedPlan,
    hardware: Hardware,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    """Return what the regularizers of ``experiment`` need of the untouched ``source``.

    Raises:
        SettingsError: A regularizer would hold nothing.
    """
    if not is_regularized(experiment.regularizers):
        return {}
    for _, network in source.items():
        hardware.place(network)
    setup = RegularizerSetup(experiment.regularizers, pair, plan, source, experiment.seed, progress)
    return remember_source(setup)


def prepare_again(
    experiment: Experiment,
    hardware: Hardware,
    base: dict[str, str],
    *,
    filters: Filters,
    regularizer_state: Mapping[str, Tensor] | None = None,
    procedure_cache: Mapping[str, Tensor] | None = None,
    begun: Begun | None = None,
    progress: Progress = silent,
) -> Prepared:
    """Build what a resolved ``experiment`` needs to go on from a checkpoint, without its source.

    ``filters`` are those that its networks modulate, ``regularizer_state`` what its regularizers
    took, ``begun`` what was settled about its pictures.

    Raises:
        GraftganError: Something does not fit.
    """
    architecture = architecture_of(experiment)
    pair = _fresh_pair(architecture, experiment.seed)
    fresh = partial(_fresh_pair, architecture, experiment.seed)
    plan = put_in_force(experiment, pair, fresh, filters=filters)
    images = _load_pictures(experiment, experiment.pictures, progress, begun)
    scoring_reference = _scoring_reference(experiment, images, progress, begun)
    return Prepared(
        experiment,
        pair,
        plan,
        images,
        hardware,
        base,
        scoring_reference,
        regularizer_state or {},
        procedure_cache or {},
    )


def build_training(prepared: Prepared, processes: Processes) -> Training:
    """Place the networks on their device and build the updates that train them.

    Raises:
        SettingsError: The batch cannot be shared by the processes.
        CheckpointError: What the regularizers remember belongs to another run.
    """
    experiment, pair, hardware = prepared.experiment, prepared.pair, prepared.hardware
    settings = experiment.training
    if settings.batch % processes.count:
        raise SettingsError(
            f"a batch of {settings.batch_size} cannot be shared by {processes.count} processes; "
            f"choose a multiple of {processes.count} as --batch-size"
        )
    for _, network in pair.items():
        hardware.place(network)
        processes.share(network)
    parts = PROCEDURES[experiment.procedure].build(prepared, processes)
    average = None
    if settings.average_half_life_images:
        average = GeneratorAverage(
            pair.generator,
            half_life_images=settings.average_half_life_images,
            ramp_up=settings.average_ramp_up,
            settled=parts.settled,
        )
    return Training(
        pair=pair,
        updates=parts.updates,
        average=average,
        randomness=Randomness(experiment.seed, processes.rank),
        hardware=hardware,
        processes=processes,
        iterations=settings.iterations,
        batch_size=settings.batch,
        seconds_limit=settings.seconds,
        extra_modules=parts.extra_modules,
        reconstruction_grid=parts.reconstruction_grid,
        seconds=parts.seconds,
    )


def _fresh_pair(architecture: Architecture, seed: int) -> NetworkPair:
    return build_pair(architecture, Randomness(seed).generator("fresh weights"))


def _classes(experiment: Experiment) -> tuple[str, ...] | None:
    """Return the classes of the pictures, if the settings ask for them.

    Raises:
        SettingsError: The procedure cannot train them.
        ImageSetError: The folders give none.
    """
    if experiment.data.labels is None:
        return None
    if not PROCEDURES[experiment.procedure].takes_classes:
        raise SettingsError(
            f"the procedure '{experiment.procedure}' does not tell classes apart; leave --labels "
            "out, or train with --procedure adversarial"
        )
    return find_classes(experiment.pictures)


def _surrounded(pair: NetworkPair, experiment: Experiment) -> NetworkPair:
    """Return a source with the mapper and the classes of a resolved experiment.

    What is fresh has the experiment's seed.
    """
    rng = Randomness(experiment.seed).generator("mapper")
    return surrounded(pair, architecture_of(experiment), rng)


def _load_pictures(
    experiment: Experiment, pictures: Path, progress: Progress, begun: Begun | None = None
) -> ImageSet:
    resolution = experiment.network.resolution
    assert resolution is not None  # resolved
    return load_image_set(
        pictures,
        experiment.data,
        resolution=resolution,
        seed=experiment.seed,
        splits=None if begun is None else begun.splits,
        progress=partial(progress, "reading pictures"),
    )


def _scoring_reference(
    experiment: Experiment, images: ImageSet, progress: Progress, begun: Begun | None
) -> ScoringReference | None:
    """Return what to score a run on ``images`` with; None where no scores are asked for.

    Raises:
        ScoreError: Hardly any picture of the reference was not trained on.
    """
    scoring = experiment.scoring
    if scoring.score_every is None:
        return None
    extractor = build_extractor(scoring.network)
    return ScoringReference(extractor, *reference_of(experiment, images, begun, progress))


def reference_of(
    experiment: Experiment,
    images: ImageSet,
    begun: Begun | None = None,
    progress: Progress = silent,
) -> tuple[Reference, str]:
    """Return what a run on ``images`` is scored against, and what that is in words.

    ``begun`` is what was settled about the pictures when the run began, if it did.

    Raises:
        ScoreError: Hardly any picture of it was not trained on.
        ImageSetError: The reference cannot be read.
    """
    place = experiment.scoring.reference
    if place is None:
        known = None if begun is None else begun.reference_checksum
        return held_out_reference(images, known=known), HELD_OUT
    whole = replace(experiment.data, limit=None, held_out=0.0, labels=None)
    given = _load_pictures(replace(experiment, data=whole), place, progress)
    name = place.name
    reference = reference_among(given.pictures, images.pictures, name=name, training_is_fine=False)
    return reference, name
