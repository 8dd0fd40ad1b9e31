"""What a plan can do to one layer.

An action is a function on a layer that returns the parameters which may now change. Before it
runs, nothing in the layer is trainable. To add one: register it in ``ACTIONS``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.utils import parametrize

from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import STYLE_PART
from graftgan.core.registry import Registry
from graftgan.networks.blocks import Statistics, hold_buffers
from graftgan.transfer.modulation import (
    USUAL_LOW_RANK,
    AdaFM,
    ChannelScale,
    ChannelShift,
    KernelModulation,
    LoRA,
    LowRank,
    Modulation,
    TunedFilters,
)

Convolution = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


@dataclass(frozen=True, slots=True)
class Context:
    """What an action may need besides the layer.

    Attributes:
        statistics: What frozen and modulated layers normalise with.
        fresh: Returns the same layer with fresh weights, for ``reset``.
        low_rank: The settings of ``lora``.
        modulated: For ``by_importance``, the modulated filters of each kernel; None: all.
    """

    statistics: Statistics
    fresh: Callable[[], nn.Module]
    low_rank: LowRank = USUAL_LOW_RANK
    rng: torch.Generator = field(default_factory=torch.Generator)
    modulated: Mapping[nn.Module, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class ActionColours:
    """Colours of an action: on a terminal, on a light page and on a dark one."""

    terminal: str = "white"
    light: str = "#66717a"
    dark: str = "#a2adb4"


@dataclass(frozen=True, slots=True)
class Action:
    """A way to treat one layer.

    Attributes:
        apply: Changes the layer; returns the parameters that may now be trained.
        problem: Returns why a layer cannot take this action; None: it can.
        holds_buffers: Whether the layer's buffers stay bit-equal to the source.
        summary: One line for help, tables and pages.
        modulates: Whether the source's weights stay and a modulation of them is learnt.
        keeps_source: Whether the layer starts from the source's weights.
    """

    apply: Callable[[nn.Module, Context], list[Parameter]]
    problem: Callable[[nn.Module], str | None]
    holds_buffers: bool
    summary: str
    modulates: bool = False
    keeps_source: bool = True
    colours: ActionColours = ActionColours()


def convolutions(layer: nn.Module) -> Iterator[Convolution]:
    """Yield the parts of ``layer`` with a kernel to modulate."""
    for part in layer.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            yield part


def output_axis(part: nn.Module) -> int:
    """Return the axis of a kernel that counts its output channels."""
    return 1 if isinstance(part, nn.ConvTranspose2d) else 0


def _needs_kernel(layer: nn.Module) -> str | None:
    return None if any(convolutions(layer)) else "has no convolution or linear kernel to modulate"


def _needs_output_affine(layer: nn.Module) -> str | None:
    return None if _output_affines(layer) else "has no affine output to scale and shift"


def _output_affines(layer: nn.Module) -> list[Convolution | _BatchNorm | nn.GroupNorm]:
    """Return the parts that make styles, or else the last part with a bias.

    A batch normalisation would undo a scale before it, so the norm itself is chosen.
    """
    named = layer.named_modules()
    styles = [part for name, part in named if name.split(".")[-1] == STYLE_PART]
    if styles:
        return [part for part in styles if isinstance(part, nn.Linear)]
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, _BatchNorm, nn.GroupNorm)
    for part in reversed(list(layer.modules())):
        if isinstance(part, kinds) and part.bias is not None:
            return [part]
    return []


def _modulate(part: nn.Module, name: str, modulation: Modulation) -> list[Parameter]:
    """Put ``modulation`` on a tensor of ``part``; return what it learns."""
    parametrize.register_parametrization(part, name, modulation)
    return list(modulation.parameters())


def _hold_statistics(layer: nn.Module, context: Context) -> None:
    if context.statistics == "source":
        hold_buffers(layer, "source")


def _freeze(layer: nn.Module, context: Context) -> list[Parameter]:
    hold_buffers(layer, context.statistics)
    return []


def _adafm(layer: nn.Module, context: Context) -> list[Parameter]:
    _hold_statistics(layer, context)
    chosen: list[Parameter] = []
    for part in list(convolutions(layer)):
        chosen += _modulate(part, "weight", AdaFM(part.weight, output_axis(part)))
    return chosen


def _scale_and_shift(layer: nn.Module, context: Context) -> list[Parameter]:
    """Scale and shift the layer's output channels (Noguchi and Harada 2019, arXiv:1904.01774).

    Theirs is gamma * h + beta on the output h = w x + b; here gamma w x + (b + beta), which reaches
    the same functions and folds into weight and bias. In a layer with styles, the styles are scaled
    and shifted instead: demodulation would undo a scale of the kernel.
    """
    _hold_statistics(layer, context)
    chosen: list[Parameter] = []
    for target in _output_affines(layer):
        assert target.bias is not None
        shift = ChannelShift(target.bias)
        chosen += _modulate(target, "weight", ChannelScale(target.weight, output_axis(target)))
        chosen += _modulate(target, "bias", shift)
    return chosen


def _lora(layer: nn.Module, context: Context) -> list[Parameter]:
    _hold_statistics(layer, context)
    chosen: list[Parameter] = []
    for part in list(convolutions(layer)):
        modulation = LoRA(part.weight, output_axis(part), context.low_rank, context.rng)
        chosen += _modulate(part, "weight", modulation)
    return chosen


def _by_importance(layer: nn.Module, context: Context) -> list[Parameter]:
    """Modulate some filters and tune the others (Zhao et al. 2022, arXiv:2210.16559).

    Biases train, which is equivalent to the authors' shift of a modulated filter's bias.
    """
    _hold_statistics(layer, context)
    chosen: list[Parameter] = []
    for part in list(convolutions(layer)):
        weight, axis = part.weight, output_axis(part)
        filters = torch.arange(weight.shape[axis], device=weight.device)
        modulated = _modulated(part, filters, context).to(weight.device)
        tuned = filters[~torch.isin(filters, modulated)]
        if len(modulated):
            chosen += _modulate(part, "weight", KernelModulation(weight, axis, modulated))
        if len(tuned):
            chosen += _modulate(part, "weight", TunedFilters(weight, axis, tuned))
        if isinstance(part.bias, Parameter):
            chosen.append(part.bias)
    return chosen


def _modulated(part: Convolution, filters: Tensor, context: Context) -> Tensor:
    """Return which of the ``filters`` of a kernel are modulated."""
    if context.modulated is None:
        return filters
    known = context.modulated.get(part)
    if known is None or not set(known.tolist()) <= set(filters.tolist()):
        raise CheckpointError(
            "the weights do not say which filters of a layer under by_importance are modulated; "
            "they are damaged, or were saved under another plan"
        )
    return known


def _fine_tune(layer: nn.Module, context: Context) -> list[Parameter]:
    return list(layer.parameters())


def _reset(layer: nn.Module, context: Context) -> list[Parameter]:
    layer.load_state_dict(context.fresh().state_dict())
    return list(layer.parameters())


def _any(layer: nn.Module) -> None:
    """Accept every layer."""


ACTIONS: Registry[Action] = Registry("action")

_COLOURS = {
    "freeze": ActionColours("cyan", "#3c6e9e", "#7fb0dd"),
    "adafm": ActionColours("yellow", "#7a4fb5", "#b99aea"),
    "filter_scale_shift": ActionColours("magenta", "#0a7f78", "#56c4bb"),
    "lora": ActionColours("blue", "#a8326e", "#e58ab8"),
    "by_importance": ActionColours("bright_magenta", "#7a5a10", "#d3b05a"),
    "fine_tune": ActionColours("green", "#b9530c", "#ee9a57"),
    "reset": ActionColours("red", "#b32d4c", "#f08099"),
}
_ROWS = {
    "freeze": Action(_freeze, _any, True, "keep weights and buffers as the source's, bit for bit"),
    "adafm": Action(
        _adafm, _needs_kernel, False, "keep the kernels, learn a scale and shift for each", True
    ),
    "filter_scale_shift": Action(
        _scale_and_shift, _needs_output_affine, False, "learn a scale and shift per channel", True
    ),
    "lora": Action(
        _lora, _needs_kernel, False, "keep the kernels, learn a change of low rank for each", True
    ),
    "by_importance": Action(
        _by_importance,
        _needs_kernel,
        False,
        "probe, then modulate the filters that matter and fine-tune the others",
    ),
    "fine_tune": Action(_fine_tune, _any, False, "train everything from the source's weights"),
    "reset": Action(_reset, _any, False, "train everything from fresh weights", keeps_source=False),
}
for _name, _row in _ROWS.items():
    ACTIONS.register(_name)(replace(_row, colours=_COLOURS[_name]))
