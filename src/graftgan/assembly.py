"""Put the parts of one run together: networks under their plan, updates, the training."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from graftgan.backbones import behind_latent_map, build_pair
from graftgan.data import ImageSet, load_image_set
from graftgan.errors import SettingsError
from graftgan.experiment import Experiment
from graftgan.games import GAMES
from graftgan.metrics import build_extractor
from graftgan.networks import Architecture, NetworkPair
from graftgan.prepared import Prepared, Yardstick
from graftgan.randomness import Randomness
from graftgan.run_folder import architecture_of, put_in_force
from graftgan.sources import open_source, settled_name
from graftgan.training import (
    GeneratorAverage,
    Hardware,
    Processes,
    Training,
)
from graftgan.transfer import (
    AnchorSetup,
    AppliedPlan,
    is_anchored,
    remember_source,
)

PictureProgress = Callable[[int, int], None]


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
    pair = _fresh_pair(architecture, experiment.seed)
    if source is not None:
        rng = Randomness(experiment.seed).generator("latent map")
        pair = behind_latent_map(source.pair, architecture.latent_map, rng)
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
    players = GAMES[experiment.game].build(prepared, processes)
    average = None
    if settings.average_half_life_images:
        average = GeneratorAverage(
            pair.generator,
            half_life_images=settings.average_half_life_images,
            ramp_up=settings.average_ramp_up,
        )
    return Training(
        pair=pair,
        updates=players.updates,
        average=average,
        randomness=Randomness(experiment.seed, processes.rank),
        hardware=hardware,
        processes=processes,
        iterations=settings.iterations,
        batch_size=settings.batch_size,
        seconds_limit=settings.seconds,
        companions=players.companions,
    )


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
