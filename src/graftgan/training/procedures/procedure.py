# ruff: noqa: D102 - the properties of protocols are what their names say
"""What a procedure reads of a run, what it builds, and what all procedures share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import Parameter

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
    """What procedures read of an experiment whose defaults are filled in."""

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
    """What procedures read of a prepared run."""

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
        extra_modules: Modules besides generator and discriminator, by name; saved in every
            checkpoint.
        settled: Buffers of the generator that its average copies instead of averaging.
        reconstruction_grid: As in :class:`Training`.
        seconds: Time spent on preparations before the run, which counts as its time.
    """

    updates: Sequence[Update]
    extra_modules: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    settled: Sequence[Tensor] = ()
    reconstruction_grid: Callable[[Generator], PictureBytes] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Procedure:
    """A training procedure.

    Attributes:
        build: Builds its parts; the networks are on their device.
        summary: One line for tables and help.
        takes_classes: Whether it can train a class-conditional pair.
        keeps_source: Whether the generator draws the source's pictures at iteration 0.
        trained: The networks that train; a plan must train a part of each, and nothing of others.
        check: Raises a GraftganError where settings or plan do not fit it.
        remember: Computes from the untouched source and the pictures what a run keeps on disk, so
            that a resume finds exactly that; None: nothing.
        remarks: Sentences for the user about what it remembers.
        fresh_plan: The plan for fresh weights; None: it needs a source.
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
    losses: Callable[[StepContext], Terms],
    *,
    optimization: OptimizationSettings | None = None,
) -> Update:
    """Return the update of the network ``role`` under its plan, once in each iteration.

    ``optimization`` are the optimizer's settings; None: those of the experiment.
    """
    layers, transfer = prepared.plan.trainable[role], prepared.experiment.transfer
    settings = optimization or prepared.experiment.optimization
    rate = getattr(settings, f"{role}_learning_rate")
    starts = [transfer.start_of(role, la.layer, la.action) for la in layers for _ in la.parameters]
    return Update(
        name=role,
        parameters=[p for layer in layers for p in layer.parameters],
        optimizer=make_optimizer(layers, rate, prepared, settings),
        losses=losses,
        starts=starts,
        late=late_layers(prepared),
        rate_at=settings.rate_at,
    )


def with_parameters(update: Update, parameters: Sequence[Parameter], **group: float) -> Update:
    """Return ``update`` with more parameters, which train from the start, under their own rate."""
    update.optimizer.add_param_group({"params": list(parameters), **group})
    return replace(
        update,
        parameters=[*update.parameters, *parameters],
        starts=[*update.starts, *(0.0 for _ in parameters)],
    )


def late_layers(prepared: ProcedureInputs) -> list[tuple[nn.Module, float]]:
    """Return the layers that learn only later in the run, with their starts.

    Under ``--frozen-statistics source`` they normalise with the source's statistics until then.
    Modulated layers always do and need no switch.
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
    """Return the optimizer of the settings; the action of each layer decides its rate."""
    transfer = prepared.experiment.transfer
    groups = [
        {"params": la.parameters, "lr": rate * transfer.rate_of(la.action, layer=la.layer)}
        for la in layers
    ]
    if settings.optimizer in {"rmsprop", "sgd"}:
        kind = torch.optim.RMSprop if settings.optimizer == "rmsprop" else torch.optim.SGD
        return kind(groups, lr=rate, foreach=True)
    betas = (settings.beta1 or 0.0, 0.999 if settings.beta2 is None else settings.beta2)
    fused = prepared.hardware.device.type in {"cpu", "cuda"}
    return torch.optim.Adam(groups, lr=rate, betas=betas, fused=fused)


def real_batches(prepared: ProcedureInputs, processes: Processes) -> Callable[[int], Images]:
    """Return a function from the number of a turn to its batch of real images, on the device."""
    numbered = numbered_batches(prepared.images.pictures, prepared, processes)
    return lambda turn: numbered(turn)[1]


def numbered_batches(
    pictures: PictureBytes, prepared: ProcedureInputs, processes: Processes
) -> Callable[[int], tuple[Tensor, Images]]:
    """Return a function from the number of a turn to the indices and images of its batch."""
    chosen = sampled(pictures, prepared, processes)

    def batch(turn: int) -> tuple[Tensor, Images]:
        places, rows = chosen(turn)
        layout = prepared.hardware.memory_format
        return places, to_images(rows).contiguous(memory_format=layout)

    return batch


def sampled(
    rows: Tensor, prepared: ProcedureInputs, processes: Processes
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return a function from the number of a turn to the indices and rows of its batch."""
    device = prepared.hardware.device
    limit = prepared.experiment.data.memory_limit_mb * 2**20
    if device.type != "cpu" and rows.nbytes <= limit:
        rows = rows.to(device)
    batch, seed = prepared.experiment.training.batch, prepared.experiment.seed
    sampler = EndlessSampler(
        len(rows), batch, seed=seed, rank=processes.rank, processes=processes.count
    )

    def at(turn: int) -> tuple[Tensor, Tensor]:
        places = sampler.indices(turn)
        return places.to(device), rows[places.to(rows.device)].to(device)

    return at


def real_classes(
    prepared: ProcedureInputs, processes: Processes
) -> Callable[[int], ClassWeights | None]:
    """Return a function from the number of a turn to the classes of its batch of real images."""
    labels = prepared.images.labels
    if labels is None:
        return lambda turn: None
    at = sampled(class_weights(labels, len(prepared.images.classes)), prepared, processes)
    return lambda turn: at(turn)[1]
