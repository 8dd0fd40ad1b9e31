"""What every way of training builds, and what they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from graftgan.data import EndlessSampler
from graftgan.experiment import Experiment
from graftgan.networks import Generator, class_weights
from graftgan.prepared import Prepared
from graftgan.registry import Registry
from graftgan.tensors import ClassWeights, Images, PictureBytes, to_images
from graftgan.training import Processes, Update
from graftgan.transfer import TrainableLayer


@dataclass(frozen=True, slots=True)
class Players:
    """What trains.

    Attributes:
        updates: Their turns make an iteration, in order.
        companions: What trains along and is neither generator nor discriminator, by name; saved in
            every checkpoint.
        settled: Buffers of the generator that are no weights: its average takes them as they are.
        sheet: Draws from a generator what belongs beside its samples; None: nothing does.
    """

    updates: Sequence[Update]
    companions: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    settled: Sequence[torch.Tensor] = ()
    sheet: Callable[[Generator], PictureBytes] | None = None


@dataclass(frozen=True, slots=True)
class Game:
    """A way of training.

    Attributes:
        build: Makes its players; the networks are on their device.
        summary: One line for tables and help.
        takes_classes: Whether it can train a pair that tells classes apart.
        trained: The networks it trains: a plan must leave something to train in these, and nothing
            in others.
        check: Raises SettingsError where settings mean nothing to it.
    """

    build: Callable[[Prepared, Processes], Players]
    summary: str
    takes_classes: bool = False
    trained: frozenset[str] = frozenset({"discriminator", "generator"})
    check: Callable[[Experiment], None] = lambda experiment: None


GAMES: Registry[Game] = Registry("game")


def update_of(
    role: str,
    prepared: Prepared,
    *,
    losses: Callable[..., dict[str, torch.Tensor]],
    repeats: int = 1,
    before: Callable[[], None] = lambda: None,
) -> Update:
    """Return the update of the network ``role``, with what its plan lets train."""
    layers = prepared.plan.trainable[role]
    settings, transfer = prepared.experiment.optimization, prepared.experiment.transfer
    rate = getattr(settings, f"{role}_learning_rate")
    return Update(
        name=role,
        parameters=[p for layer in layers for p in layer.parameters],
        optimizer=make_optimizer(layers, rate, prepared),
        losses=losses,
        repeats=repeats,
        before=before,
        starts=[transfer.start_of(layer.action) for layer in layers for _ in layer.parameters],
    )


def make_optimizer(
    layers: Sequence[TrainableLayer], rate: float, prepared: Prepared
) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, with a rate for each layer by its action."""
    settings, transfer = prepared.experiment.optimization, prepared.experiment.transfer
    groups = [
        {"params": la.parameters, "lr": rate * transfer.rate_of(la.action, layer=la.layer)}
        for la in layers
    ]
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, foreach=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, foreach=True)
    betas = (settings.beta1 or 0.0, 0.999 if settings.beta2 is None else settings.beta2)
    fused = prepared.hardware.device.type in {"cpu", "cuda"}
    return torch.optim.Adam(groups, lr=rate, betas=betas, fused=fused)


def real_batches(prepared: Prepared, processes: Processes) -> Callable[[int], Images]:
    """Return the function from a turn's number to its batch of real images, on the device."""
    numbered = numbered_batches(prepared.images.pictures, prepared, processes)
    return lambda turn: numbered(turn)[1]


def numbered_batches(
    pictures: PictureBytes, prepared: Prepared, processes: Processes
) -> Callable[[int], tuple[torch.Tensor, Images]]:
    """Return the function from a turn's number to the places and images of its ``pictures``."""
    hardware = prepared.hardware
    limit = prepared.experiment.data.memory_limit_mb * 2**20
    if hardware.device.type != "cpu" and pictures.nbytes <= limit:
        pictures = pictures.to(hardware.device)
    sampler = _sampler(prepared, processes)

    def batch(turn: int) -> tuple[torch.Tensor, Images]:
        places = sampler.indices(turn)
        images = to_images(pictures[places.to(pictures.device)].to(hardware.device))
        images = images.contiguous(memory_format=hardware.memory_format)
        return places.to(hardware.device), images

    return batch


def real_classes(prepared: Prepared, processes: Processes) -> Callable[[int], ClassWeights | None]:
    """Return the function from a turn's number to the classes of its batch of real images."""
    labels = prepared.images.labels
    if labels is None:
        return lambda turn: None
    weights = class_weights(labels, len(prepared.images.classes))
    sampler = _sampler(prepared, processes)
    return lambda turn: weights[sampler.indices(turn)].to(prepared.hardware.device)


def _sampler(prepared: Prepared, processes: Processes) -> EndlessSampler:
    """Return what chooses the real images of a turn: equal ones choose the same."""
    return EndlessSampler(
        len(prepared.images.pictures),
        prepared.experiment.training.batch_size,
        seed=prepared.experiment.seed,
        rank=processes.rank,
        processes=processes.count,
    )
