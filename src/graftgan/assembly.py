"""Put the parts of one run together: networks under their plan, updates, the training."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from graftgan.augment import build_augmenter
from graftgan.backbones import build_pair
from graftgan.data import EndlessSampler, ImageSet, load_image_set
from graftgan.errors import SettingsError
from graftgan.experiment import Experiment
from graftgan.metrics import LEAST_HELD_OUT, Extractor, build_extractor
from graftgan.networks import Architecture, NetworkPair
from graftgan.objectives import OBJECTIVES, OptimizationSettings, clip_weights, penalties_of
from graftgan.randomness import Randomness
from graftgan.run_folder import architecture_of, put_in_force
from graftgan.sources import open_source, settled_name
from graftgan.tensors import Images, to_images
from graftgan.training import (
    AdversarialGame,
    GeneratorAverage,
    Hardware,
    Processes,
    Training,
    Update,
)
from graftgan.transfer import (
    AnchorSetup,
    AnchorTerm,
    AppliedPlan,
    TrainableLayer,
    build_anchors,
    factors_in,
    is_anchored,
    remember_source,
)

PictureProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What the scores of a run are measured with.

    Attributes:
        extractor: The feature network.
        reference: The pictures to score against; None: those held out.
    """

    extractor: Extractor
    reference: ImageSet | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """An experiment whose every part has been checked, before anything is written.

    Attributes:
        experiment: With every default written out.
        pair: The networks at their start, under the plan.
        base: Fingerprints of the source's networks, by role; empty without a source.
        yardstick: What to score the run with; None where no scores are asked for.
        memory: What the anchors need of the source; empty without anchors.
    """

    experiment: Experiment
    pair: NetworkPair
    plan: AppliedPlan
    images: ImageSet
    hardware: Hardware
    base: dict[str, str]
    yardstick: Yardstick | None = None
    memory: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def lacks_copy_guard(self) -> bool:
        """Whether copies cannot be told in a run that is scored, though the settings ask for it."""
        asked = self.yardstick is not None and self.experiment.scoring.copy_guard
        return asked and len(self.images.held_out) < LEAST_HELD_OUT


def prepare(
    experiment: Experiment,
    hardware: Hardware,
    *,
    memory: Mapping[str, Tensor] | None = None,
    pictures_progress: PictureProgress | None = None,
) -> Prepared:
    """Check a new experiment and build everything it needs; nothing is written.

    ``memory`` is what the anchors of a run that starts over took from the source the first time.

    Raises:
        GraftganError: Something does not fit.
    """
    experiment.check_names()
    source = None
    if experiment.source is not None:
        name = settled_name(experiment.source)
        experiment, source = replace(experiment, source=name), open_source(name)
    architecture = experiment.architecture(None if source is None else source.card.architecture)
    experiment = experiment.resolved(architecture, bfloat16=hardware.bfloat16)
    fresh = _fresh_pair(architecture, experiment.seed)
    pair = _fresh_pair(architecture, experiment.seed) if source is None else source.pair
    base = {} if source is None else dict(source.card.fingerprints)
    untouched = copy.deepcopy(pair) if is_anchored(experiment.anchors) else pair
    plan = put_in_force(experiment, pair, fresh)
    images = _load_pictures(experiment, experiment.pictures, pictures_progress)
    yardstick = _yardstick(experiment, pictures_progress)
    if memory is None:
        memory = memory_of(experiment, untouched, pair, plan, hardware)
    return Prepared(experiment, pair, plan, images, hardware, base, yardstick, memory)


def memory_of(
    experiment: Experiment,
    source: NetworkPair,
    pair: NetworkPair,
    plan: AppliedPlan,
    hardware: Hardware,
) -> dict[str, Tensor]:
    """Return what the anchors of ``experiment`` need of the untouched ``source``.

    Raises:
        SettingsError: An anchor would hold nothing.
    """
    if not is_anchored(experiment.anchors):
        return {}
    for _, network in source.items():
        hardware.place(network)
    setup = AnchorSetup(experiment.anchors, pair, plan, source, experiment.seed)
    return remember_source(setup)


def prepare_again(
    experiment: Experiment,
    hardware: Hardware,
    base: dict[str, str],
    *,
    memory: Mapping[str, Tensor] | None = None,
    pictures_progress: PictureProgress | None = None,
) -> Prepared:
    """Build what a resolved ``experiment`` needs to go on from a checkpoint, without its source."""
    architecture = architecture_of(experiment)
    pair = _fresh_pair(architecture, experiment.seed)
    plan = put_in_force(experiment, pair, _fresh_pair(architecture, experiment.seed))
    images = _load_pictures(experiment, experiment.pictures, pictures_progress)
    yardstick = _yardstick(experiment, pictures_progress)
    return Prepared(experiment, pair, plan, images, hardware, base, yardstick, memory or {})


def build_training(prepared: Prepared, processes: Processes) -> Training:
    """Place the networks on their device and build the updates that train them.

    Raises:
        SettingsError: The batch cannot be shared by the processes.
        CheckpointError: What the anchors remember belongs to another run.
    """
    experiment, pair, hardware = prepared.experiment, prepared.pair, prepared.hardware
    settings = experiment.training
    if settings.batch_size % processes.count:
        raise SettingsError(
            f"a batch of {settings.batch_size} cannot be shared by {processes.count} processes; "
            f"choose a multiple of {processes.count} as --batch-size"
        )
    for _, network in pair.items():
        hardware.place(network)
        processes.share(network)
    randomness = Randomness(experiment.seed, processes.rank)
    game = AdversarialGame(
        pair=pair,
        losses=OBJECTIVES[experiment.objective],
        penalties=penalties_of(experiment.optimization),
        real_batch=_real_batches(prepared, processes),
        views=build_augmenter(experiment.augment, experiment.augmentation),
        hardware=hardware,
        batch_size=settings.batch_size // processes.count,
        anchors=_anchors(prepared),
    )
    average = None
    if settings.average_half_life_images:
        average = GeneratorAverage(
            pair.generator,
            half_life_images=settings.average_half_life_images,
            ramp_up=settings.average_ramp_up,
        )
    return Training(
        pair=pair,
        updates=_updates(prepared, game),
        average=average,
        randomness=randomness,
        hardware=hardware,
        processes=processes,
        iterations=settings.iterations,
        batch_size=settings.batch_size,
        seconds_limit=settings.seconds,
    )


def _anchors(prepared: Prepared) -> list[AnchorTerm]:
    experiment = prepared.experiment
    if not is_anchored(experiment.anchors):
        return []
    plain = _fresh_pair(prepared.pair.architecture, experiment.seed)
    for _, network in plain.items():
        prepared.hardware.place(network)
    setup = AnchorSetup(experiment.anchors, prepared.pair, prepared.plan, plain, experiment.seed)
    return build_anchors(setup, prepared.memory)


def _updates(prepared: Prepared, game: AdversarialGame) -> list[Update]:
    settings = prepared.experiment.optimization
    trainable = prepared.plan.trainable
    discriminator = [p for layer in trainable["discriminator"] for p in layer.parameters]
    generator = [p for layer in trainable["generator"] for p in layer.parameters]
    rates = (settings.discriminator_learning_rate, settings.generator_learning_rate)
    critic_steps = settings.critic_steps or 1
    return [
        Update(
            name="discriminator",
            parameters=discriminator,
            optimizer=_optimizer(trainable["discriminator"], rates[0] or 0.0, prepared),
            losses=game.discriminator_terms,
            repeats=critic_steps,
            before=_constraint(prepared.pair.discriminator, discriminator, settings),
        ),
        Update(
            name="generator",
            parameters=generator,
            optimizer=_optimizer(trainable["generator"], rates[1] or 0.0, prepared),
            losses=game.generator_terms,
        ),
    ]


def _optimizer(
    layers: Sequence[TrainableLayer], rate: float, prepared: Prepared
) -> torch.optim.Optimizer:
    settings, transfer = prepared.experiment.optimization, prepared.experiment.transfer
    groups = [{"params": la.parameters, "lr": rate * transfer.rate_of(la.action)} for la in layers]
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, foreach=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, foreach=True)
    betas = (settings.beta1 or 0.0, 0.999 if settings.beta2 is None else settings.beta2)
    fused = prepared.hardware.device.type in {"cpu", "cuda"}
    return torch.optim.Adam(groups, lr=rate, betas=betas, fused=fused)


def _constraint(
    critic: torch.nn.Module,
    parameters: Sequence[torch.nn.Parameter],
    settings: OptimizationSettings,
) -> Callable[[], None]:
    """Return the clipping of the critic's weights, if the objective has one.

    Factors of modulations are no weights: a scale starts at 1, and clipped to 0.01 it would wipe
    out the kernel it belongs to; clipped low-rank factors would change next to nothing.
    """
    limit = settings.weight_clip
    if not limit:
        return lambda: None
    factors = {id(factor) for factor in factors_in(critic)}
    weights = [p for p in parameters if id(p) not in factors]
    return lambda: clip_weights(weights, limit)


def _real_batches(prepared: Prepared, processes: Processes) -> Callable[[int], Images]:
    """Return the function from a turn's number to its batch of real images, on the device."""
    hardware = prepared.hardware
    pictures = prepared.images.pictures
    limit = prepared.experiment.data.memory_limit_mb * 2**20
    if hardware.device.type != "cpu" and pictures.nbytes <= limit:
        pictures = pictures.to(hardware.device)
    sampler = EndlessSampler(
        len(pictures),
        prepared.experiment.training.batch_size,
        seed=prepared.experiment.seed,
        rank=processes.rank,
        processes=processes.count,
    )

    def batch(turn: int) -> Images:
        chosen = pictures[sampler.indices(turn).to(pictures.device)]
        images = to_images(chosen.to(hardware.device))
        return images.contiguous(memory_format=hardware.memory_format)

    return batch


def _fresh_pair(architecture: Architecture, seed: int) -> NetworkPair:
    return build_pair(architecture, Randomness(seed).generator("fresh weights"))


def _load_pictures(
    experiment: Experiment, pictures: Path, progress: PictureProgress | None
) -> ImageSet:
    resolution = experiment.network.resolution
    assert resolution is not None  # resolved
    return load_image_set(
        pictures,
        experiment.data,
        resolution=resolution,
        seed=experiment.seed,
        progress=progress,
    )


def _yardstick(experiment: Experiment, progress: PictureProgress | None) -> Yardstick | None:
    scoring = experiment.scoring
    if scoring.score_every is None:
        return None
    reference = None
    if scoring.reference is not None:
        whole = replace(experiment.data, limit=None, held_out=0.0)
        reference = _load_pictures(replace(experiment, data=whole), scoring.reference, progress)
    return Yardstick(build_extractor(scoring.network), reference)
