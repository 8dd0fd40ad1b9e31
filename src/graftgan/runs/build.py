"""Build and check the parts of a run, before anything is trained or written."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from graftgan.core.errors import Progress, SettingsError, silent
from graftgan.core.network_types import (
    Architecture,
    NetworkPair,
    draw_latents,
    tensors_of,
    tensors_of_pair,
    to_images,
)
from graftgan.core.randomness import Randomness
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_folder import Begun, architecture_of, put_in_force, schedule_of
from graftgan.metrics.copying import LEAST_HELD_OUT
from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.models.sources import open_source, settled_name
from graftgan.networks.backbone import build_pair, surrounded
from graftgan.pictures import ImageSet, find_classes, load_image_set
from graftgan.pictures.reference import (
    Reference,
    held_out_reference,
    honest_pictures,
    reference_among,
)
from graftgan.training import (
    Callback,
    DivergenceGuard,
    GeneratorAverage,
    Hardware,
    Processes,
    Terms,
    Training,
    keep_optimizer_states,
)
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import (
    AppliedPlan,
    Filters,
    RegularizerSettings,
    RegularizerSetup,
    Schedule,
    filter_importance,
    filters_in,
    is_regularized,
    kept_names,
    most_important,
    needs_probe,
    refuse_mixed_samples,
    remember_source,
    replanned,
)

HELD_OUT = "held out"
"""The name of a scoring reference that a run holds out itself."""


@dataclass(frozen=True, slots=True)
class ScoringReference:
    """What the scores of a run are measured with."""

    extractor: Extractor
    reference: Reference | None
    name: str = HELD_OUT


@dataclass(frozen=True, slots=True)
class Prepared:
    """The checked parts of an experiment.

    ``regularizer_state`` and ``procedure_cache`` are computed from source and pictures before the
    run.
    """

    experiment: Experiment  # with every default written out
    pair: NetworkPair  # the initial networks, under the plan
    plan: AppliedPlan
    images: ImageSet
    hardware: Hardware
    base: dict[str, str]  # fingerprints of the source's networks, by role; empty without a source
    scoring_reference: ScoringReference | None = None  # None: the run has no scores
    regularizer_state: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    procedure_cache: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    step: int = 0  # number of the plan in force, of a schedule

    @property
    def schedule(self) -> Schedule:
        """The plans and when they change; gradual steps are written out."""
        return schedule_of(self.experiment, self.pair)

    @property
    def reference_checksum(self) -> str | None:
        """The checksum of the pictures that the run is scored against; None: it is not scored."""
        found = self.scoring_reference
        return None if found is None or found.reference is None else found.reference.checksum

    @property
    def without_copy_guard(self) -> str:
        """Why a scored run cannot detect copies, and what to do; empty: it can, or is not asked."""
        if self.scoring_reference is None or not self.experiment.scoring.copy_guard:
            return ""
        held_out, honest = len(self.images.held_out), len(honest_pictures(self.images))
        if honest >= LEAST_HELD_OUT:
            return ""
        if not held_out:
            return "it needs pictures that are not trained on: --held-out 0.2"
        return (
            f"it needs {LEAST_HELD_OUT} different pictures that are not trained on, and finds only "
            f"{honest} among {held_out} held out; hold more out, or add different pictures"
        )


def prepare(
    experiment: Experiment,
    hardware: Hardware,
    *,
    processes: Processes | None = None,
    begun: Begun | None = None,
    only_check: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """Check a new experiment and build everything it needs; nothing is written.

    ``begun`` is what was fixed when a run that starts over began. ``only_check`` skips the probe of
    filters, which takes a training of its own; the result then cannot be trained.

    Raises:
        GraftganError: Something does not fit.
    """
    experiment.check_names()
    source = None
    if experiment.source is not None:
        name = settled_name(experiment.source)
        experiment, source = replace(experiment, source=name), open_source(name)
    classes = None
    if experiment.data.labels is not None:
        if not PROCEDURES[experiment.procedure].takes_classes:
            raise SettingsError(
                f"the procedure '{experiment.procedure}' does not tell classes apart; leave "
                "--labels out, or train with --procedure adversarial"
            )
        classes = find_classes(experiment.pictures)
    known = None if source is None else source.card.architecture
    architecture = experiment.architecture(known, classes)
    experiment = experiment.resolved(architecture, bfloat16=hardware.bfloat16)
    fresh = partial(_fresh_pair, architecture, experiment.seed)
    pair = fresh() if source is None else _surrounded(source.pair, experiment)
    base = {} if source is None else dict(source.card.fingerprints)
    untouched = copy.deepcopy(pair)
    plan = put_in_force(experiment, pair, fresh)
    for step in range(1, len(schedule_of(experiment, pair).plans)):
        put_in_force(experiment, fresh(), fresh, step=step)  # so that none fails later
    images, scoring_reference = _pictures(experiment, progress, begun)
    if scoring_reference is not None:
        scoring_reference.extractor.refuse_inside(pair.discriminator)
    probe = Prepared(experiment, pair, plan, images, hardware, base)
    PROCEDURES[experiment.procedure].check(probe)
    if needs_probe(plan) and not only_check:
        filters = probed_filters(probe, processes or Processes(), progress)
        pair = copy.deepcopy(untouched)
        plan = put_in_force(experiment, pair, fresh, filters=filters)
    if begun is None:
        taken = regularizer_state_of(experiment, untouched, pair, plan, hardware, progress), {}
    else:
        taken = begun.regularizer_state, begun.procedure_cache
    return Prepared(experiment, pair, plan, images, hardware, base, scoring_reference, *taken)


def prepare_again(
    experiment: Experiment,
    hardware: Hardware,
    base: dict[str, str],
    *,
    filters: Filters,
    step: int,
    begun: Begun,
    progress: Progress,
) -> Prepared:
    """Build what a resolved ``experiment`` needs to continue from a checkpoint; needs no source.

    ``step`` is the number of the plan in force. Raises:
        GraftganError: Something does not fit.
    """
    fresh = partial(_fresh_pair, architecture_of(experiment), experiment.seed)
    pair = fresh()
    plan = put_in_force(experiment, pair, fresh, filters=filters, step=step)
    images, scoring_reference = _pictures(experiment, progress, begun)
    taken = begun.regularizer_state, begun.procedure_cache
    return Prepared(
        experiment, pair, plan, images, hardware, base, scoring_reference, *taken, step=step
    )


def with_procedure_cache(prepared: Prepared, progress: Progress = silent) -> Prepared:
    """Return ``prepared`` with its procedure's cache, which may take long to compute."""
    experiment = prepared.experiment
    remember = PROCEDURES[experiment.procedure].remember
    if remember is None or experiment.source is None:
        return prepared
    source = _surrounded(open_source(experiment.source).pair, experiment)
    return replace(prepared, procedure_cache=remember(prepared, source, progress))


def remarks_on(prepared: Prepared) -> list[str]:
    """Return remarks on the procedure's cache for the user."""
    cache = prepared.procedure_cache
    return PROCEDURES[prepared.experiment.procedure].remarks(cache) if cache else []


def probed_filters(probe: Prepared, processes: Processes, progress: Progress) -> Filters:
    """Train ``probe`` with every filter modulated, and return the most important filters.

    Raises:
        SettingsError: A layer mixes the samples of a batch, or the processes cannot share a batch.
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
    processes.share_tensors(importance.values())  # rounding could change the ranking
    return most_important(importance, transfer.modulated_share)


class _Progress(Callback):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def iterated(self, training: Training, terms: Terms) -> None:
        del terms
        self._progress("probing", training.iteration, training.iterations)


def regularizer_state_of(
    experiment: Experiment,
    source: NetworkPair,
    pair: NetworkPair,
    plan: AppliedPlan,
    hardware: Hardware,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    """Return what the regularizers need of ``source``; SettingsError: one has no effect."""
    if not is_regularized(experiment.regularizers):
        return {}
    for _, network in source.items():
        hardware.place(network)
    setup = RegularizerSetup(experiment.regularizers, pair, plan, source, experiment.seed, progress)
    return remember_source(setup)


def build_training(prepared: Prepared, processes: Processes) -> Training:
    """Place the networks on their device and build their updates.

    Raises:
        SettingsError: The processes cannot share the batch.
        CheckpointError: The regularizers' state belongs to another run.
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
            everything=prepared.step > 0,
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
        pause_at=prepared.schedule.end_of(prepared.step),
    )


def next_step(prepared: Prepared, training: Training) -> tuple[Prepared, Training]:
    """Return the run under the next plan of its schedule, with all that can go on.

    Weights and average go on as they are. So does the optimizer state of parameters that train
    under both plans, but for modulations that end.
    """
    experiment, step = prepared.experiment, prepared.step + 1
    fresh = partial(_fresh_pair, prepared.pair.architecture, experiment.seed)
    before = prepared.plan.decisions

    def put(pair: NetworkPair) -> AppliedPlan:
        known = filters_in(tensors_of_pair(training.pair))
        return put_in_force(experiment, pair, fresh, filters=known, step=step)

    pair, plan = replanned(training.pair, before, fresh, put)
    after = replace(prepared, pair=pair, plan=plan, step=step)
    renewed = build_training(after, training.processes)
    if training.average is not None and renewed.average is not None:
        averaged = replace(training.pair, generator=training.average.generator)
        moved = replanned(averaged, before, fresh, put)[0].generator
        renewed.average.generator.load_state_dict(tensors_of(moved))
    kept = {
        f"{role}.{name}"
        for role, network in training.pair.items()
        for name in kept_names(network, before[role], plan.decisions[role])
    }
    keep_optimizer_states(training, renewed, kept)
    for name, module in renewed.extra_modules.items():
        module.load_state_dict(training.extra_modules[name].state_dict())
    renewed.iteration, renewed.images_seen = training.iteration, training.images_seen
    renewed.seconds = training.seconds
    return after, renewed


def _fresh_pair(architecture: Architecture, seed: int) -> NetworkPair:
    return build_pair(architecture, Randomness(seed).generator("fresh weights"))


def _surrounded(pair: NetworkPair, experiment: Experiment) -> NetworkPair:
    rng = Randomness(experiment.seed).generator("mapper")
    return surrounded(pair, architecture_of(experiment), rng)


def _load_pictures(
    experiment: Experiment, pictures: Path, progress: Progress, begun: Begun | None = None
) -> ImageSet:
    return load_image_set(
        pictures,
        experiment.data,
        resolution=architecture_of(experiment).resolution,
        seed=experiment.seed,
        splits=None if begun is None else begun.splits,
        progress=partial(progress, "reading pictures"),
    )


def _pictures(
    experiment: Experiment, progress: Progress, begun: Begun | None
) -> tuple[ImageSet, ScoringReference | None]:
    images = _load_pictures(experiment, experiment.pictures, progress, begun)
    if experiment.scoring.score_every is None:
        return images, None
    extractor = build_extractor(experiment.scoring.network)
    return images, ScoringReference(extractor, *reference_of(experiment, images, begun, progress))


def reference_of(
    experiment: Experiment,
    images: ImageSet,
    begun: Begun | None = None,
    progress: Progress = silent,
) -> tuple[Reference, str]:
    """Return what a run on ``images`` is scored against, and its name.

    Raises:
        ScoreError: Nearly all of its pictures are training pictures.
        ImageSetError: The reference cannot be read.
    """
    place = experiment.scoring.reference
    if place is None:
        known = None if begun is None else begun.reference_checksum
        return held_out_reference(images, known=known), HELD_OUT
    whole = replace(experiment.data, limit=None, held_out=0.0, labels=None)
    given = _load_pictures(replace(experiment, data=whole), place, progress)
    name, trained = place.name, images.pictures
    return reference_among(given.pictures, trained, name=name, training_is_fine=False), name
