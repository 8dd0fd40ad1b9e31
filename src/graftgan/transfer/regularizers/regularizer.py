"""What a regularizer is, and which weights it can hold."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, Progress, SettingsError, silent
from graftgan.core.network_types import Images, LayeredNetwork, NetworkPair, Scalar
from graftgan.core.registry import Registry
from graftgan.transfer.actions import ACTIONS
from graftgan.transfer.plan import AppliedPlan

S = TypeVar("S")
Role = Literal["discriminator", "generator"]
RegularizerState = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class RegularizerTerm:
    """One term in the loss of the network ``role``; ``name`` is that in the log."""

    name: str
    role: Role
    weight: float

    def watching(self) -> AbstractContextManager[None]:
        """Return a context that is entered while the discriminator scores the real batch."""
        return nullcontext()

    def __call__(self, real: Images | None) -> Scalar:
        """Return the weighted term; ``real`` is what was scored, None in the generator's loss."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class RegularizerSetup(Generic[S]):
    """What a regularizer is made from.

    Attributes:
        settings: Those of all regularizers, its own among them.
        pair: The networks that train, under the plan.
        source: Plain networks of the same architecture: the source's own for ``remember``, with any
            weights for ``build``.
        progress: Receives the progress of a measurement.
    """

    settings: S
    pair: NetworkPair
    plan: AppliedPlan
    source: NetworkPair
    seed: int
    progress: Progress = silent


@dataclass(frozen=True, slots=True)
class Regularizer(Generic[S]):
    """A way to hold the target to the source.

    Attributes:
        settings: A frozen dataclass of its own settings.
        wanted: Whether the settings ask for it.
        remember: Returns what it needs of the source, which a run keeps on disk. Raises
            SettingsError where it would hold nothing.
        build: Returns its terms from those tensors.
        summary: One line for tables and help.
        needs_scores: Whether it needs the discriminator to score real pictures.
    """

    settings: type[S]
    wanted: Callable[[S], bool]
    remember: Callable[[RegularizerSetup[S]], dict[str, Tensor]]
    build: Callable[[RegularizerSetup[S], RegularizerState], list[RegularizerTerm]]
    summary: str
    needs_scores: bool = False


REGULARIZERS: Registry[Regularizer[Any]] = Registry("regularizer")


def remember_source(setup: RegularizerSetup[Any]) -> dict[str, Tensor]:
    """Return the tensors of the source that the wanted regularizers need, on the CPU.

    Raises SettingsError where one would hold nothing.
    """
    return {
        f"{name}/{key}": tensor.detach().cpu().clone()
        for name, regularizer in REGULARIZERS.items()
        if regularizer.wanted(setup.settings)
        for key, tensor in regularizer.remember(setup).items()
    }


def build_regularizers(
    setup: RegularizerSetup[Any], state: RegularizerState
) -> list[RegularizerTerm]:
    """Return the terms of the wanted regularizers, or raise CheckpointError for another state."""
    terms: list[RegularizerTerm] = []
    for name, regularizer in REGULARIZERS.items():
        if regularizer.wanted(setup.settings):
            under = f"{name}/"
            own = {k.removeprefix(under): t for k, t in state.items() if k.startswith(under)}
            terms += regularizer.build(setup, own)
    return terms


def is_regularized(settings: object, *, by_scores: bool = False) -> bool:
    """Return whether the settings ask for any regularizer, or for one that needs scores."""
    return any(
        regularizer.wanted(settings)
        for regularizer in REGULARIZERS.values()
        if regularizer.needs_scores or not by_scores
    )


@dataclass(frozen=True, slots=True)
class HeldTensor:
    """A weight as the network uses it, that is after its modulation."""

    module: nn.Module
    attribute: str

    def value(self) -> Tensor:
        """Return the weight; gradients reach its trainable parameters."""
        return getattr(self.module, self.attribute)


def held_tensors(setup: RegularizerSetup[Any], role: Role) -> dict[str, HeldTensor]:
    """Return every weight of ``role`` that trains, by its name in the plain network.

    Layers that start from fresh weights are left out. Raises SettingsError if none are left.
    """
    moving = {
        id(parameter)
        for layer in setup.plan.trainable[role]
        if ACTIONS[layer.action].keeps_source
        for parameter in layer.parameters
    }
    network = dict(setup.pair.items())[role]
    found: dict[str, HeldTensor] = {}
    for path, module in network.named_modules():
        if "parametrizations" in path.split("."):
            continue
        chains = getattr(module, "parametrizations", {})
        names = [n for n, p in module.named_parameters(recurse=False) if id(p) in moving]
        names += [n for n, c in chains.items() if any(id(p) in moving for p in c.parameters())]
        for name in names:
            found[f"{path}.{name}".lstrip(".")] = HeldTensor(module, name)
    if not found:
        raise SettingsError(
            f"a regularizer of the {role} has nothing to hold: no layer of it trains from the "
            "source's weights; leave the regularizer out or take another plan"
        )
    return found


def weights_of(network: LayeredNetwork, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the parameters ``names`` of a plain network."""
    parameters = dict(network.named_parameters())
    return {name: parameters[name] for name in names}


def laid_out_as(
    held: Mapping[str, HeldTensor], state: RegularizerState, prefix: str
) -> dict[str, Tensor]:
    """Return the remembered tensors under ``prefix``, on the device and in the order of ``held``.

    Raises CheckpointError where one is missing or of another shape.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in held.items():
        like, kept = tensor.value().detach(), state.get(f"{prefix}{name}")
        if kept is None or kept.shape != like.shape:
            raise CheckpointError(
                f"the saved state of the regularizers does not fit this run: {name}"
            )
        found[name] = torch.empty_like(like, dtype=torch.float32).copy_(kept)
    return found


@dataclass(frozen=True, slots=True)
class HeldWeights(RegularizerTerm):
    """weight * sum of importance * (theta - theta_source)^2 over the weights of one network.

    The sum runs over single weights that train; a mean for each tensor would let small tensors
    count more. In a modulated layer the resulting weight is held, not the modulation's parameters.
    Without ``importance`` all count alike.
    """

    held: Mapping[str, HeldTensor]
    start: RegularizerState
    importance: RegularizerState | None = None

    def __call__(self, real: Images | None) -> Scalar:
        """Return the weighted squared distance, in float32."""
        terms: list[Tensor] = []
        for name, tensor in self.held.items():
            distance = (tensor.value().float() - self.start[name]).square()
            known = self.importance
            terms.append((distance if known is None else distance * known[name]).sum())
        return self.weight * torch.stack(terms).sum()
