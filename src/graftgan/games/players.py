"""What every way of training builds, and what they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from graftgan.data import EndlessSampler
from graftgan.prepared import Prepared
from graftgan.registry import Registry
from graftgan.tensors import Images, to_images
from graftgan.training import Processes, Update
from graftgan.transfer import TrainableLayer


@dataclass(frozen=True, slots=True)
class Players:
    """What trains.

    Attributes:
        updates: Their turns make an iteration, in order.
        companions: What trains along and is neither generator nor discriminator, by name; saved in
            every checkpoint.
    """

    updates: Sequence[Update]
    companions: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])


@dataclass(frozen=True, slots=True)
class Game:
    """A way of training.

    Attributes:
        build: Makes its players; the networks are on their device.
        summary: One line for tables and help.
        trained: The networks it trains, which a plan must leave something to train.
    """

    build: Callable[[Prepared, Processes], Players]
    summary: str
    trained: frozenset[str] = frozenset({"discriminator", "generator"})


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
    groups = [{"params": la.parameters, "lr": rate * transfer.rate_of(la.action)} for la in layers]
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, foreach=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, foreach=True)
    betas = (settings.beta1 or 0.0, 0.999 if settings.beta2 is None else settings.beta2)
    fused = prepared.hardware.device.type in {"cpu", "cuda"}
    return torch.optim.Adam(groups, lr=rate, betas=betas, fused=fused)


def real_batches(prepared: Prepared, processes: Processes) -> Callable[[int], Images]:
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
