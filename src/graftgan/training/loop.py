"""The training loop: every update in order, the average, then the callbacks; and its checkpoints.

The loop knows no method. A GAN is two updates.
"""

import copy
import math
import time
from collections import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from graftgan.checkpoints import StateCard
from graftgan.core.errors import CheckpointError, TrainingDiverged, shown
from graftgan.core.network_types import Generator, NetworkPair, PictureBytes, Scalar, tensors_of
from graftgan.core.randomness import Randomness
from graftgan.training.hardware import Hardware, Processes

Terms = dict[str, Scalar]
Files = dict[str, Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class StepContext:
    """One turn of ``update``: its number, the share of the run done, its randomness."""

    update: str
    turn: int
    progress: float
    randomness: Randomness

    def generator(self, stream: str) -> torch.Generator:
        """Return the random generator of this turn for ``stream``."""
        return self.randomness.generator(f"{self.update}.{stream}", self.turn)


@dataclass(frozen=True, slots=True)
class Update:
    """An optimizer with the loss it minimises over ``parameters``.

    Attributes:
        name: In the log and in checkpoints.
        losses: Returns the terms of the loss for a step; their sum is minimised. Names that
            start with ``_`` are only reported.
        repeats: Turns in one iteration.
        starts: For each parameter the share of the run after which it trains; empty: all at once.
        before: Called before each turn, for constraints on the weights.
        after: Called after each step, to update what depends on the weights.
        rate_at: Maps the share of the run done, in [0, 1], to the multiple of all learning rates.
        late: Layers with the share of the run after which they learn. Until then their running
            statistics are frozen too, whichever network runs them.
    """

    name: str
    parameters: Sequence[Parameter]
    optimizer: torch.optim.Optimizer
    losses: Callable[[StepContext], Terms]
    repeats: int = 1
    before: Callable[[], None] = lambda: None
    starts: Sequence[float] = ()
    after: Callable[[], None] = lambda: None
    rate_at: Callable[[float], float] = lambda progress: 1.0
    late: Sequence[tuple[nn.Module, float]] = ()

    def moving(self, progress: float) -> Sequence[Parameter]:
        """Return the parameters that train once ``progress`` of the run is done."""
        if not any(self.starts):
            return self.parameters
        pairs = zip(self.parameters, self.starts, strict=True)
        return [parameter for parameter, start in pairs if start <= progress]

    def turn(
        self,
        context: StepContext,
        trainable: Collection[Parameter],
        average_gradients: Callable[[Sequence[Parameter]], None],
    ) -> Terms:
        """Take one step; return the detached terms of its loss, none if no parameter trains yet."""
        moving = self.moving(context.progress)
        if not moving:
            return {}
        self.before()
        share = self.rate_at(context.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = share * group.setdefault("initial_lr", group["lr"])
        for layer, start in self.late:
            layer.train(start <= context.progress)
        with gradients_only_for(moving, trainable):
            terms = self.losses(context)
            total = torch.stack([t for n, t in terms.items() if not n.startswith("_")]).sum()
            total.backward()
        average_gradients(self.parameters)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.after()
        return {name: term.detach() for name, term in terms.items()}


@contextmanager
def gradients_only_for(
    active: Collection[Parameter], trainable: Collection[Parameter]
) -> abc.Generator[None]:
    """Let gradients reach only ``active``, a part of ``trainable``."""
    chosen = {id(p) for p in active}
    for parameter in trainable:
        parameter.requires_grad_(id(parameter) in chosen)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors named ``<parameter>.<quantity>``."""
    state: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{i}.{name}": t for i, entry in state.items() for name, t in entry.items()}


def keep_optimizer_states(before: "Training", after: "Training", kept: Collection[str]) -> None:
    """Copy the optimizer state of parameters that train in both, as if they had not been parted.

    They are known by ``<role>.<name>``. Those of modulations must be among ``kept``: under another
    plan the same name is another quantity.
    """
    for old, new in zip(before.updates, after.updates, strict=True):
        states = {
            name: old.optimizer.state[parameter]
            for name, parameter in _named_parameters(before.pair)
            if parameter in old.optimizer.state
            and (name in kept or "parametrizations" not in name.split("."))
        }
        moving = {id(parameter) for parameter in new.parameters}
        for name, parameter in _named_parameters(after.pair):
            if id(parameter) in moving and name in states:
                new.optimizer.state[parameter] = {
                    quantity: _laid_out_as(parameter, tensor)
                    for quantity, tensor in states[name].items()
                }


def _named_parameters(pair: NetworkPair) -> list[tuple[str, Parameter]]:
    return [(f"{role}.{n}", p) for role, net in pair.items() for n, p in net.named_parameters()]


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return a copy of an optimizer's tensor in the memory layout of its parameter.

    Fused optimizers match elements by their position in memory, which in channels-last weights is
    not the logical order.
    """
    if tensor.shape != parameter.shape:  # the number of steps
        return tensor.clone()
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what :func:`optimizer_tensors` returned; learning rates stay those of ``optimizer``.

    Raises CheckpointError where a tensor fits no parameter, or the quantities are not those of this
    optimizer.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters):
            raise CheckpointError(
                f"the checkpoint's optimizer state {shown(key)} belongs to no parameter"
            )
        like = parameters[int(index)]
        if tensor.shape != (() if name == "step" else like.shape):
            raise CheckpointError(
                f"the checkpoint's optimizer state {shown(key)} is {tuple(tensor.shape)}, its "
                f"parameter {tuple(like.shape)}; the run was saved under another plan"
            )
        # Files store tensors in logical order.
        state.setdefault(int(index), {})[name] = _laid_out_as(like, tensor)
    one = Parameter(torch.zeros(1))  # a probe for the quantities that this optimizer keeps
    one.grad = torch.zeros(1)
    like = type(optimizer)([one], **optimizer.defaults)
    like.step()
    wanted = {name for name, kept in like.state[one].items() if isinstance(kept, Tensor)}
    for index, entry in state.items():
        if set(entry) != wanted:
            raise CheckpointError(
                f"the checkpoint's optimizer state of parameter {index} holds "
                f"{shown(', '.join(sorted(entry)))}, where {', '.join(sorted(wanted))} is expected"
            )
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


class GeneratorAverage:
    """An exponential average of a generator's weights and running statistics.

    Source: Karras et al. 2018 (arXiv:1710.10196, section 6); half-life in images with a ramp-up as
    Karras et al. 2020 (arXiv:2006.06676): beta = 0.5 ^ (batch / half-life), half-life at most
    ``ramp_up`` times the images seen. A fixed decay of 0.999 lags behind in a short transfer. The
    ``settled`` buffers of ``live`` are copied. Frozen weights are left alone, as they equal those
    of ``live``; with ``everything`` they may differ, and are averaged too.
    """

    def __init__(
        self,
        live: Generator,
        *,
        half_life_images: int,
        ramp_up: float,
        settled: Collection[Tensor] = (),
        everything: bool = False,
    ) -> None:
        self.generator = copy.deepcopy(live).requires_grad_(False)
        self._half_life_images = half_life_images
        self._ramp_up = ramp_up
        named = live.named_parameters()
        frozen = set[str]() if everything else {name for name, p in named if not p.requires_grad}
        new, old = tensors_of(live), tensors_of(self.generator)
        moving = [name for name in new if name not in frozen]
        chosen = {id(buffer) for buffer in settled}
        copied = {name for name, buffer in live.named_buffers() if id(buffer) in chosen}
        copied |= {name for name in moving if not new[name].is_floating_point()}
        real = [name for name in moving if name not in copied]
        self._new, self._old = [new[n] for n in real], [old[n] for n in real]
        self._copies = [(old[name], new[name]) for name in copied]

    @torch.no_grad()
    def update(self, *, batch_size: int, images_seen: int) -> None:
        """Move the average towards the live generator after a batch."""
        share = 1.0 - self.decay(batch_size=batch_size, images_seen=images_seen)
        if self._old:
            torch._foreach_lerp_(self._old, self._new, share)  # pyright: ignore[reportPrivateUsage]
        for old, new in self._copies:
            old.copy_(new)

    def decay(self, *, batch_size: int, images_seen: int) -> float:
        """Return the weight of the old average after ``images_seen`` images."""
        half_life = min(self._half_life_images, self._ramp_up * images_seen)
        return 0.5 ** (batch_size / half_life) if half_life > 0 else 0.0

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the averaged tensors by name."""
        return tensors_of(self.generator)


class Callback:
    """Something that watches a training: a log, a bar, a guard. By default it does nothing."""

    def started(self, training: "Training") -> None:
        """Before the first iteration, also of a resumed run."""

    def iterated(self, training: "Training", terms: Terms) -> None:
        """After each iteration; ``terms`` are on the device, reading them waits for it."""

    def ended(self, training: "Training") -> None:
        """After the last iteration, or an early stop."""


@dataclass(slots=True)
class Training:
    """A training in progress.

    Attributes:
        updates: Their turns make an iteration, in order.
        average: The running average of the generator; None: the live generator is used.
        batch_size: Pictures in a batch, over all processes.
        images_seen: Real pictures shown so far.
        seconds: Time spent in the loop, over all sessions; at ``seconds_limit`` the run ends.
        extra_modules: Modules that train besides the pair, by name.
        reconstruction_grid: Draws the training pictures beside a generator's reconstructions of
            them, if there are any.
        stop_requested: Set by a callback to end after this iteration.
        pause_at: The share of the run at which the loop ends, for the next plan of a schedule.
        is_paused: Whether it has ended for that.
        attempt: Set by a callback that may cut an iteration short: runs it, or undoes it and
            returns None.
    """

    pair: NetworkPair
    updates: Sequence[Update]
    average: GeneratorAverage | None
    randomness: Randomness
    hardware: Hardware
    processes: Processes
    iterations: int
    batch_size: int
    iteration: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    seconds_limit: float | None = None
    extra_modules: Mapping[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    reconstruction_grid: Callable[[Generator], PictureBytes] | None = None
    stop_requested: bool = False
    pause_at: float = math.inf
    is_paused: bool = False
    attempt: Callable[[Callable[[], Terms]], Terms | None] = field(default=lambda work: work())
    callbacks: list[Callback] = field(default_factory=list[Callback])

    @property
    def trainable(self) -> list[Parameter]:
        """Every parameter that some update moves."""
        return [p for update in self.updates for p in update.parameters]

    @property
    def time_is_up(self) -> bool:
        """Whether the run has trained for as long as it may."""
        return self.seconds_limit is not None and self.seconds >= self.seconds_limit

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1], by the nearer limit."""
        shares = [self.iteration / self.iterations]
        if self.seconds_limit is not None:
            shares.append(self.seconds / self.seconds_limit)
        return min(1.0, max(shares))

    def run(self) -> None:
        """Train up to ``iterations``, ``seconds_limit`` or ``pause_at``, or until asked to stop."""
        for callback in self.callbacks:
            callback.started(self)
        iterate = partial(self._iterate, self.trainable)
        while self.iteration < self.iterations and not self._should_stop():
            begin = time.perf_counter()
            terms = self.attempt(iterate)
            if terms is None:
                continue
            self.seconds += time.perf_counter() - begin
            for callback in self.callbacks:
                callback.iterated(self, terms)
        self.is_paused = self.iteration < self.iterations and not self._should_stop(for_good=True)
        for callback in self.callbacks:
            callback.ended(self)

    def _iterate(self, trainable: list[Parameter]) -> Terms:
        report: Terms = {}
        progress = self.progress
        for update in self.updates:
            for repeat in range(update.repeats):
                turn = self.iteration * update.repeats + repeat
                context = StepContext(update.name, turn, progress, self.randomness)
                terms = update.turn(context, trainable, self.processes.average_gradients)
                report |= {f"{update.name}.{name.lstrip('_')}": t for name, t in terms.items()}
        self.iteration += 1
        self.images_seen += self.batch_size * self.updates[0].repeats
        for _, network in self.pair.items():
            self.processes.average_buffers(network)
        if self.average is not None:
            generated = self.iteration * self.batch_size
            self.average.update(batch_size=self.batch_size, images_seen=generated)
        return report

    def _should_stop(self, *, for_good: bool = False) -> bool:
        # The leader's clock decides for all processes.
        due = self.time_is_up or (not for_good and self.progress >= self.pause_at)
        wanted = self.stop_requested or (self.processes.leads and due)
        return self.processes.agree(wanted, self.hardware.device)


def state_of(training: Training) -> tuple[Files, StateCard]:
    """Return the tensors of a training by file name, and its counters.

    Random streams are functions of (seed, iteration), so they are not saved. Raises
    TrainingDiverged where a weight is not finite; such a state is never saved.
    """
    files, card = _state_of(training)
    for role, tensors in files.items():
        for name, tensor in tensors.items() if role != "training" else ():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise TrainingDiverged(
                    f"{role}/{name} holds not-a-number at iteration {training.iteration}; "
                    "lower the learning rates or take --precision float32"
                )
    return files, card


def copied_state_of(training: Training) -> tuple[Files, StateCard]:
    """Return a copy of the state, finite or not, for :func:`restore`."""
    files, card = _state_of(training)
    return {role: {key: t.clone() for key, t in own.items()} for role, own in files.items()}, card


def _state_of(training: Training) -> tuple[Files, StateCard]:
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
    names = ("iteration", "images_seen", "seconds")
    return files, StateCard(**{name: getattr(training, name) for name in names})


def restore(training: Training, files: Mapping[str, Mapping[str, Tensor]], card: StateCard) -> None:
    """Restore a training to a saved state; raise CheckpointError for another network or plan."""
    for name, network in training.pair.items():
        _load(network, files, name)
    if training.average is not None:
        _load(training.average.generator, files, "average")
    if training.extra_modules:
        _load(nn.ModuleDict(training.extra_modules), files, "extra_modules")
    if "training" not in files:
        raise CheckpointError("the checkpoint holds no optimizer state (training.safetensors)")
    for update in training.updates:
        prefix, tensors = f"{update.name}.", files["training"].items()
        own = {n.removeprefix(prefix): t for n, t in tensors if n.startswith(prefix)}
        restore_optimizer(update.optimizer, own)
    training.iteration, training.images_seen = card.iteration, card.images_seen
    training.seconds = card.seconds


def _load(module: nn.Module, files: Mapping[str, Mapping[str, Tensor]], name: str) -> None:
    try:
        module.load_state_dict(files[name], strict=True)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint's {name} does not fit this run: {shown(error, 300)}"
        ) from None
