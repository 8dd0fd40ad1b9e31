"""What a checkpoint holds: enough to go on as if nothing had happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, TrainingDiverged
from graftgan.core.network_types import tensors_of
from graftgan.core.untrusted import shown
from graftgan.training.loop import Training
from graftgan.training.updates import optimizer_tensors, restore_optimizer

Files = dict[str, Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """How far a training is: the plain numbers of its state."""

    iteration: int
    images_seen: int
    seconds: float


class Counted(Protocol):
    """Something that says how far a training was."""

    @property
    def iteration(self) -> int:
        """Iterations done."""
        ...

    @property
    def images_seen(self) -> int:
        """Real pictures shown."""
        ...

    @property
    def seconds(self) -> float:
        """In the loop."""
        ...


def state_of(training: Training) -> tuple[Files, Counters]:
    """Return the tensors, by file name, and the plain numbers of a training.

    Random streams are functions of (seed, iteration), so they need no place here.

    Raises:
        TrainingDiverged: A weight is not finite; such a state is never saved.
    """
    files = _files_of(training)
    _refuse_not_finite(files, training.iteration)
    return files, _counters_of(training)


def copied_state_of(training: Training) -> tuple[Files, Counters]:
    """Return copies of what ``state_of`` returns, finite or not, for :func:`restore`."""
    copies: Files = {
        name: {key: tensor.clone() for key, tensor in tensors.items()}
        for name, tensors in _files_of(training).items()
    }
    return copies, _counters_of(training)


def _files_of(training: Training) -> Files:
    files: Files = {name: tensors_of(network) for name, network in training.pair.items()}
    if training.average is not None:
        files["average"] = training.average.tensors()
    if training.extra_modules:
        files["extra_modules"] = tensors_of(nn.ModuleDict(training.extra_modules))
    files["training"] = {
        f"{update.name}.{key}": tensor
        for update in training.updates
        for key, tensor in optimizer_tensors(update.optimizer).items()
    }
    return files


def _counters_of(training: Training) -> Counters:
    return Counters(
        iteration=training.iteration,
        images_seen=training.images_seen,
        seconds=training.seconds,
    )


def restore(
    training: Training, files: Mapping[str, Mapping[str, Tensor]], counted: Counted
) -> None:
    """Put a training back to a saved state.

    Raises:
        CheckpointError: The state is of another network or plan.
    """
    for name, network in training.pair.items():
        _load(network, files, name)
    if training.average is not None:
        _load(training.average.generator, files, "average")
    if training.extra_modules:
        _load(nn.ModuleDict(training.extra_modules), files, "extra_modules")
    if "training" not in files:
        raise CheckpointError("the checkpoint holds no optimizer state (training.safetensors)")
    for update in training.updates:
        restore_optimizer(update.optimizer, _under(f"{update.name}.", files["training"]))
    training.iteration = counted.iteration
    training.images_seen = counted.images_seen
    training.seconds = counted.seconds


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _load(module: nn.Module, files: Mapping[str, Mapping[str, Tensor]], name: str) -> None:
    try:
        module.load_state_dict(files[name], strict=True)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint's {name} does not fit this run: {shown(error, 300)}"
        ) from None


def _refuse_not_finite(files: Files, iteration: int) -> None:
    for role, tensors in files.items():
        for name, tensor in tensors.items() if role != "training" else ():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise TrainingDiverged(
                    f"{role}/{name} holds not-a-number at iteration {iteration}; "
                    "lower the learning rates or take --precision float32"
                )
