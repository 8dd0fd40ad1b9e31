"""One optimizer's turn, and who may receive gradients in it."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from graftgan.core.errors import CheckpointError
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import Scalar
from graftgan.core.untrusted import shown

Terms = dict[str, Scalar]

_COUNT = "step"  # the one number that optimizers keep of a whole parameter


@dataclass(frozen=True, slots=True)
class StepContext:
    """When a turn happens, and the randomness that belongs to it.

    Attributes:
        turn: Number of this update's turn since the start of the run.
        progress: Share of the run that is done, in [0, 1].
    """

    update: str
    turn: int
    progress: float
    randomness: Randomness

    def generator(self, stream: str) -> torch.Generator:
        """Return the random numbers of this turn for ``stream``."""
        return self.randomness.generator(f"{self.update}.{stream}", self.turn)


@dataclass(frozen=True, slots=True)
class Update:
    """An optimizer with the loss it minimises. A GAN is two of these.

    Attributes:
        name: Its name in the log and in checkpoints.
        parameters: What the optimizer moves; the plan chose them.
        optimizer: Holds exactly ``parameters``.
        losses: Returns the terms of the loss for a step; their sum is minimised. Names that
            start with ``_`` are only reported.
        repeats: Turns in one iteration.
        starts: For each parameter the share of the run after which it moves; empty: all from the
            start.
        before: Called before each turn, for constraints on the weights.
        after: Called after each step, for what follows from the weights.
        rate_at: The share of the run done, in [0, 1], to the multiple of all learning rates.
        late: Layers with the share of the run after which they learn. Until then their running
            statistics stand still too, in the turns of whichever network runs them.
    """

    name: str
    parameters: Sequence[Parameter]
    optimizer: torch.optim.Optimizer
    losses: Callable[[StepContext], Terms]
    repeats: int = 1
    before: Callable[[], None] = field(default=lambda: None)
    starts: Sequence[float] = ()
    after: Callable[[], None] = field(default=lambda: None)
    rate_at: Callable[[float], float] = field(default=lambda progress: 1.0)
    late: Sequence[tuple[nn.Module, float]] = ()

    def moving(self, progress: float) -> Sequence[Parameter]:
        """Return the parameters that move once ``progress`` of the run is done."""
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
        """Take one step; return the detached terms of its loss.

        Before any of its parameters moves nothing is computed, and there are no terms.
        """
        moving = self.moving(context.progress)
        if not moving:
            return {}
        self.before()
        self._set_rates(context.progress)
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

    def _set_rates(self, progress: float) -> None:
        share = self.rate_at(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = share * group.setdefault("initial_lr", group["lr"])


@contextmanager
def gradients_only_for(
    active: Collection[Parameter], trainable: Collection[Parameter]
) -> Generator[None]:
    """Let gradients reach ``active`` alone; what the plan froze is not in ``trainable``."""
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


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` returned; rates stay those of ``optimizer``.

    Raises:
        CheckpointError: A tensor belongs to no parameter of ``optimizer``, or to one of another
            shape, or ``optimizer`` keeps other quantities of a parameter.
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
        if tensor.shape != (() if name == _COUNT else like.shape):
            raise CheckpointError(
                f"the checkpoint's optimizer state {shown(key)} is {tuple(tensor.shape)}, its "
                f"parameter {tuple(like.shape)}; the run was saved under another plan"
            )
        state.setdefault(int(index), {})[name] = _laid_out_like(like, tensor)
    wanted = _quantities_of(optimizer)
    for index, entry in state.items():
        if set(entry) != wanted:
            raise CheckpointError(
                f"the checkpoint's optimizer state of parameter {index} holds "
                f"{shown(', '.join(sorted(entry)))}, where {', '.join(sorted(wanted))} is expected"
            )
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _quantities_of(optimizer: torch.optim.Optimizer) -> set[str]:
    """Return the names of what an optimizer keeps of each parameter."""
    one = Parameter(torch.zeros(1))
    one.grad = torch.zeros(1)
    like = type(optimizer)([one], **optimizer.defaults)
    like.step()
    return {name for name, kept in like.state[one].items() if isinstance(kept, Tensor)}


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return ``tensor`` in the memory order of ``parameter``.

    Files hold rows in their logical order, and the fused optimizers pair numbers by their place in
    memory: with channels-last weights each number would meet another one's average.
    """
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
