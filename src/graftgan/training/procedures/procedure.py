# ruff: noqa: D102 - the properties of protocols are what their names say
"""What every way of training reads of a run, what it builds, and what all share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from graftgan.core.errors import Progress
from graftgan.core.network_types import (
    ClassWeights,
    Generator,
    Images,
    NetworkPair,
    PictureBytes,
    class_weights,
    to_images,
)
from graftgan.core.registry import Registry
from graftgan.pictures import DataSettings, EndlessSampler, ImageSet
from graftgan.training import (
    CodeSettings,
    Hardware,
    Processes,
    ReconstructionSettings,
    StepContext,
    Terms,
    TrainingSettings,
    Update,
    VAESettings,
)
from graftgan.training.augment import AugmentationSettings
from graftgan.training.objectives import OptimizationSettings
from graftgan.transfer import (
    ACTIONS,
    AppliedPlan,
    RegularizerSettings,
    TrainableLayer,
    TransferSettings,
)


class ProcedureSettings(Protocol):
    """What procedures read of an experiment, which has every default written out."""

    @property
    def seed(self) -> int: ...
    @property
    def augment(self) -> str: ...
    @property
    def resolved_objective(self) -> str: ...
    @property
    def mapper(self) -> str: ...
    @property
    def data(self) -> DataSettings: ...
    @property
    def optimization(self) -> OptimizationSettings: ...
    @property
    def transfer(self) -> TransferSettings: ...
    @property
    def regularizers(self) -> RegularizerSettings: ...
    @property
    def augmentation(self) -> AugmentationSettings: ...
    @property
    def reconstruction(self) -> ReconstructionSettings: ...
    @property
    def codes(self) -> CodeSettings: ...
    @property
    def vae(self) -> VAESettings: ...
    @property
    def training(self) -> TrainingSettings: ...


class ProcedureInputs(Protocol):
    """What procedures read of an experiment whose every part is there and fits."""

    @property
    def experiment(self) -> ProcedureSettings: ...
    @property
    def pair(self) -> NetworkPair: ...
    @property
    def plan(self) -> AppliedPlan: ...
    @property
    def images(self) -> ImageSet: ...
    @property
    def hardware(self) -> Hardware: ...
    @property
    def regularizer_state(self) -> Mapping[str, Tensor]: ...
    @property
    def procedure_cache(self) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What trains.

    Attributes:
        updates: Their turns make an iteration, in order.
        extra_modules: What trains along and is neither generator nor discriminator, by name;
            saved in every checkpoint.
        settled: Buffers of the generator that are no weights: its average takes them as they are.
        reconstruction_grid: As in :class:`Training`.
        seconds: What was spent before the run on what it needs; it counts as time of the run.
    """

    updates: Sequence[Update]
    extra_modules: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    settled: Sequence[Tensor] = ()
    reconstruction_grid: Callable[[Generator], PictureBytes] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Procedure:
    """A way of training.

    Attributes:
        build: Makes its parts; the networks are on their device.
        summary: One line for tables and help.
        takes_classes: Whether it can train a pair that tells classes apart.
        keeps_source: Whether it draws at iteration 0 what the source draws.
        trained: The networks of which a plan must leave something to train, and nothing of others.
        check: Raises a GraftganError where settings or plan do not fit it.
        remember: Makes what it needs of the untouched source and the pictures, which a run keeps on
            disk, so that a resume finds exactly that; None: it needs nothing.
        remarks: What a person should know of what it remembers, in sentences.
        fresh_plan: What trains from fresh weights; None: it needs a source.
    """

    build: Callable[[ProcedureInputs, Processes], Parts]
    summary: str
    takes_classes: bool = False
    keeps_source: bool = True
    trained: frozenset[str] = frozenset({"discriminator", "generator"})
    check: Callable[[ProcedureInputs], None] = lambda prepared: None
    remember: Callable[[ProcedureInputs, NetworkPair, Progress], dict[str, Tensor]] | None = None
    remarks: Callable[[Mapping[str, Tensor]], list[str]] = lambda cache: []
    fresh_plan: str | None = None


PROCEDURES: Registry[Procedure] = Registry("procedure")


def update_of(
    role: str,
    prepared: ProcedureInputs,
    *,
    losses: Callable[[StepContext], Terms],
    optimization: OptimizationSettings | None = None,
    repeats: int = 1,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> Update:
    """Return the update of the network ``role``, with what its plan lets train.

    ``optimization`` are settings of the optimizer; None: those of the experiment. The others are as
    in :class:`Update`.
    """
    layers = prepared.plan.trainable[role]
    transfer = prepared.experiment.transfer
    settings = optimization or prepared.experiment.optimization
    rate = getattr(settings, f"{role}_learning_rate")
    return Update(
        name=role,
        parameters=[p for layer in layers for p in layer.parameters],
        optimizer=make_optimizer(layers, rate, prepared, settings),
        losses=losses,
        repeats=repeats,
        before=before,
        after=after,
        starts=[
            transfer.start_of(role, la.layer, la.action) for la in layers for _ in la.parameters
        ],
        late=late_layers(prepared),
    )


def late_layers(prepared: ProcedureInputs) -> list[tuple[nn.Module, float]]:
    """Return the layers that begin late, and so are frozen until then, with their starts.

    Under ``--frozen-statistics source`` frozen layers normalise with the source's statistics, so
    these do until they learn. Modulated layers keep those for good and need no switch.
    """
    transfer = prepared.experiment.transfer
    if transfer.frozen_statistics != "source":
        return []
    return [
        (network.layers()[layer.layer], start)
        for role, network in prepared.pair.items()
        for layer in prepared.plan.trainable[role]
        if (start := transfer.start_of(role, layer.layer, layer.action)) > 0
        and not ACTIONS[layer.action].modulates
    ]


def make_optimizer(
    layers: Sequence[TrainableLayer],
    rate: float,
    prepared: ProcedureInputs,
    settings: OptimizationSettings,
) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, with a rate for each layer by its action."""
    transfer = prepared.experiment.transfer
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


def real_batches(prepared: ProcedureInputs, processes: Processes) -> Callable[[int], Images]:
    """Return the function from a turn's number to its batch of real images, on the device."""
    numbered = numbered_batches(prepared.images.pictures, prepared, processes)
    return lambda turn: numbered(turn)[1]


def numbered_batches(
    pictures: PictureBytes, prepared: ProcedureInputs, processes: Processes
) -> Callable[[int], tuple[Tensor, Images]]:
    """Return the function from a turn's number to the places and images of its ``pictures``."""
    chosen = sampled(pictures, prepared, processes)

    def batch(turn: int) -> tuple[Tensor, Images]:
        places, rows = chosen(turn)
        layout = prepared.hardware.memory_format
        return places, to_images(rows).contiguous(memory_format=layout)

    return batch


def sampled(
    rows: Tensor, prepared: ProcedureInputs, processes: Processes
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the function from a turn's number to its places in ``rows`` and what is there."""
    device = prepared.hardware.device
    limit = prepared.experiment.data.memory_limit_mb * 2**20
    if device.type != "cpu" and rows.nbytes <= limit:
        rows = rows.to(device)
    sampler = EndlessSampler(
        len(rows),
        prepared.experiment.training.batch,
        seed=prepared.experiment.seed,
        rank=processes.rank,
        processes=processes.count,
    )

    def at(turn: int) -> tuple[Tensor, Tensor]:
        places = sampler.indices(turn)
        return places.to(device), rows[places.to(rows.device)].to(device)

    return at


def real_classes(
    prepared: ProcedureInputs, processes: Processes
) -> Callable[[int], ClassWeights | None]:
    """Return the function from a turn's number to the classes of its batch of real images."""
    labels = prepared.images.labels
    if labels is None:
        return lambda turn: None
    at = sampled(class_weights(labels, len(prepared.images.classes)), prepared, processes)
    return lambda turn: at(turn)[1]
