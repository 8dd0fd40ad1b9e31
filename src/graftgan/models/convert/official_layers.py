"""What each layer of an official network has to keep, so that it is the layer that stands here.

The values follow from our own network of the same architecture, so from the equations of the papers
that it is tested against. A name that is not in these tables is not understood.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from graftgan.core.network_types import Architecture, Generator
from graftgan.networks.stylegan.discriminator import Epilogue, HalvingBlock
from graftgan.networks.stylegan.fourier import FourierFeatures
from graftgan.networks.stylegan.linear import ScaledConv2d, ScaledLinear
from graftgan.networks.stylegan.mapping import ClassDirections
from graftgan.networks.stylegan.mapping import Mapping as StyleMapping
from graftgan.networks.stylegan.stylegan2 import sides_of, widths_of
from graftgan.networks.stylegan.stylegan3 import FilteredConv2d, bands_of
from graftgan.networks.stylegan.synthesis import Block, FirstBlock, StyledConv2d, ToPixels

Rules = Mapping[str, Any]
"""The values that each name may have, as a tuple; None: any; rules: it holds settings itself."""

GENERATOR_PLACES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
DISCRIMINATOR_PLACES = ("c_dim", "img_resolution", "img_channels")

FREE: Rules = dict.fromkeys(
    (
        *("num_fp16_res", "use_fp16", "fp16_channels_last", "channels_last"),  # of speed
        "fused_modconv_default",
        *("training", "trainable", "freeze_layers", "first_layer_idx"),  # of training
        *("w_avg_beta", "magnitude_ema_beta", "weight_init", "bias_init"),
    )
)
"""What any layer may have, of any value."""
_CLAMPED: Rules = {"conv_clamp": None}  # it is read elsewhere, as rates are
_ACTIVE: Rules = {**_CLAMPED, "activation": ("lrelu",), "resample_filter": ([1, 3, 3, 1],)}
_GROWN: Rules = {**_ACTIVE, "architecture": ("skip",), "use_noise": (True,), "kernel_size": (3,)}
_FILTERS: Rules = {**_CLAMPED, "filter_size": (6,), "lrelu_upsampling": (2,)}
_LAYERS, _CRITICAL = 14, 2
_WAVES: Rules = {
    **_FILTERS,
    "num_layers": (_LAYERS,),
    "num_critical": (_CRITICAL,),
    "first_cutoff": (2,),
    "first_stopband": (2**2.1,),
    "last_stopband_rel": (2**0.3,),
    "margin_size": (10,),
    "output_scale": (0.25,),
}


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """A layer as the official programs store it.

    Attributes:
        class_name: Of its class.
        rules: What it may keep, and may be built with.
        places: Names of what it may be given by its place, in that order.
        built: What it may also be built with, where it keeps something else.
    """

    class_name: str
    rules: Rules
    places: tuple[str, ...] = ()
    built: Rules = field(default_factory=dict[str, Any])


def known_layers(
    network: nn.Module, architecture: Architecture, tensors: Mapping[str, Tensor]
) -> dict[str, KnownLayer]:
    """Return the layers of a network of ours, by their full names, as a file has to hold them.

    Args:
        network: Of the architecture; its tensors are not looked at.
        architecture: Of both networks, with a style.
        tensors: Those of the file: gains are of the weights that they multiply.
    """
    table = _Table(architecture, is_generator=isinstance(network, Generator))
    found = {
        name: _KINDS.get(type(module), _Table.whole)(
            table, name, module, tensors.get(f"{name}.weight")
        )
        for name, module in network.named_modules()
    }
    if not table.is_generator:
        rules = {"group_size": (table.style.minibatch_group or None,), "num_channels": (1,)}
        found["b4.mbstd"] = KnownLayer("MinibatchStdLayer", rules, tuple(rules))
    return found


class _Table:
    """The layers of one network."""

    def __init__(self, architecture: Architecture, *, is_generator: bool) -> None:
        assert architecture.style is not None
        self.architecture, self.style = architecture, architecture.style
        self.is_generator = is_generator
        self.rotates = architecture.backbone == "stylegan3r"
        self.waves = self.rotates or architecture.backbone == "stylegan3t"
        self.form = {"architecture": ("resnet" if self.style.residual else "orig",)}
        self.channels = {"img_channels": (architecture.channels,)}
        self.picture = {"img_resolution": (architecture.resolution,), **self.channels}
        self.classes = len(architecture.classes)
        features = widths_of(architecture, self.style)[4]
        self.directions = (self.style.direction_size or features) if self.classes else 0
        self.style_size = {"w_dim": (self.style.style_size,)}

    def linear(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        active, rate = name.rpartition(".")[2].startswith("fc"), 1.0
        maps = name.startswith("mapping.fc")
        if maps:
            rate = self.style.mapping_rate if self.is_generator else self.style.direction_rate
        rules = {
            **_of_weight(weight, rate),
            "bias": (True,),
            "bias_gain": (rate,),
            "activation": ("lrelu" if active else "linear",),
            "lr_multiplier": None if maps else (1,),
        }
        return KnownLayer("FullyConnectedLayer", rules, ("in_features", "out_features"))

    def convolution(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        last = name.rpartition(".")[2]
        skips, side = last == "skip", 3 if last.startswith("conv") else 1
        rules = {
            **_ACTIVE,
            **_of_weight(weight),
            "kernel_size": (side,),
            "padding": (side // 2,),
            "up": (1,),
            "down": (2 if last in {"skip", "conv1"} else 1,),
            "bias": (False, None) if skips else (True,),
            "activation": ("linear" if skips else "lrelu",),
            "act_gain": (1 if skips else math.sqrt(2),),
        }
        if skips:
            rules["conv_clamp"] = (None,)
        places = ("in_channels", "out_channels", "kernel_size")
        return KnownLayer("Conv2dLayer", rules, places)

    def styled(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        rules = {
            **_GROWN,
            **self.style_size,
            **_of_weight(weight),
            "resolution": (module.noise_const.shape[-1],),
            "up": (2 if name.endswith("conv0") else 1,),
            "padding": (1,),
            "act_gain": (math.sqrt(2),),
        }
        places = ("in_channels", "out_channels", "w_dim", "resolution")
        return KnownLayer("SynthesisLayer", rules, places)

    def colours(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        rules = {**self.style_size, **_of_weight(weight), **_CLAMPED, "kernel_size": (1,)}
        return KnownLayer("ToRGBLayer", rules, ("in_channels", "out_channels", "w_dim"))

    def filtered(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        number = int(name.rpartition(".L")[2].partition("_")[0])
        bands = bands_of(self.architecture, self.style)
        before, after, last = bands[max(number - 1, 0)], bands[number], number == _LAYERS
        is_critical = number >= _LAYERS - _CRITICAL
        side = (1,) if last or self.rotates else (3,)
        rules = {
            **self._filters(),
            **self.style_size,
            **_of_weight(weight),
            "is_torgb": (last,),
            "is_critically_sampled": (is_critical,),
            "tmp_sampling_rate": (before.rate * module.up,),
            "conv_kernel": side,
            "up_factor": (module.up,),
            "down_factor": (module.down,),
            "up_taps": (1 if module.up_filter is None else len(module.up_filter),),
            "down_taps": (1 if module.down_filter is None else len(module.down_filter),),
            "down_radial": (self.rotates and not is_critical,),
            "padding": (list(module.around),),
        }
        for way, band in (("in", before), ("out", after)):
            rules[f"{way}_size"] = _square(band.size)
            rules[f"{way}_sampling_rate"] = (band.rate,)
            rules[f"{way}_cutoff"] = (band.cutoff,)
            rules[f"{way}_half_width"] = (band.half_width,)
        built = self._filters() if last else {}  # what it keeps is of single pixels
        return KnownLayer("SynthesisLayer", rules, (), built)

    def input(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        first = bands_of(self.architecture, self.style)[0]
        rules = {
            **self.style_size,
            "channels": (first.channels,),
            "size": _square(first.size),
            "sampling_rate": (first.rate,),
            "bandwidth": (first.cutoff,),
        }
        return KnownLayer("SynthesisInput", rules, tuple(rules))

    def block(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        side = module.conv1.noise_const.shape[-1]
        grows = isinstance(module, Block)
        rules = {
            "in_channels": (module.conv0.in_channels if grows else 0,),
            "out_channels": (module.conv1.out_channels,),
            **self.style_size,
            "resolution": (side,),
            **self.channels,
            "is_last": (side == self.architecture.resolution,),
        }
        counts = {"num_conv": (2 if grows else 1,), "num_torgb": (1,)}
        return KnownLayer("SynthesisBlock", {**rules, **counts, **_GROWN}, tuple(rules))

    def halving(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        side = int(name.removeprefix("b"))
        is_first = side == self.architecture.resolution
        rules = {
            "in_channels": (0 if is_first else module.conv0.in_channels,),
            "tmp_channels": (module.conv0.in_channels,),
            "out_channels": (module.conv1.out_channels,),
            "resolution": (side,),
            **self.channels,
        }
        count = {"num_layers": (2 + is_first + self.style.residual,)}
        more = {**count, **self.form, **_ACTIVE}
        return KnownLayer("DiscriminatorBlock", {**rules, **more}, tuple(rules))

    def epilogue(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        rules = {
            "in_channels": (module.conv.out_channels,),
            "cmap_dim": (self.directions,),
            "resolution": (4,),
            **self.channels,
        }
        more = {**self.form, **self._ending(), **_CLAMPED}
        return KnownLayer("DiscriminatorEpilogue", {**rules, **more}, tuple(rules))

    def _ending(self) -> Rules:
        group = (self.style.minibatch_group or None,)
        return {
            "mbstd_group_size": group,
            "mbstd_num_channels": (1,),
            "activation": ("lrelu",),
        }

    def mapping(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        places = ("z_dim", "c_dim", "w_dim", "num_ws")
        return KnownLayer("MappingNetwork", self._mapping(), places)

    def _mapping(self) -> dict[str, Any]:
        style, ours = self.style, self.is_generator
        layers = style.mapping_layers if ours else style.direction_layers
        width = style.style_size if ours else self.directions
        return {
            "z_dim": (self.architecture.latent_size if ours else 0,),
            "c_dim": (self.classes,),
            "w_dim": (width,),
            "num_ws": (self._styles() if ours else None,),
            "num_layers": (layers,) if ours or self.classes else None,
            "embed_features": (None, width) if self.classes else None,
            "layer_features": (None, width) if layers > 1 and (ours or self.classes) else None,
            "activation": ("lrelu",),
            "lr_multiplier": None,
        }

    def _styles(self) -> int:
        """Return how many a picture is drawn with."""
        return _LAYERS + 2 if self.waves else 2 * len(sides_of(self.architecture))

    def _filters(self) -> Rules:
        kernel, radial = (1 if self.rotates else 3,), (self.rotates,)
        return {**_FILTERS, "conv_kernel": kernel, "use_radial_filters": radial}

    def synthesis(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        places = ("w_dim", "img_resolution", "img_channels")
        return KnownLayer("SynthesisNetwork", self._synthesis(), places)

    def _synthesis(self) -> dict[str, Any]:
        rules = {**self.style_size, **self.picture, **self._widths(), "num_ws": (self._styles(),)}
        if not self.waves:
            return {**rules, **_GROWN, **self._sides(sides_of(self.architecture))}
        bands = bands_of(self.architecture, self.style)
        names = [f"L{number}_{band.size}_{band.channels}" for number, band in enumerate(bands)]
        return {**rules, **_WAVES, **self._filters(), "layer_names": (names,)}

    def _widths(self) -> Rules:
        factor = self.style.generator_factor if self.is_generator else 1.0
        base = self.architecture.width * self.architecture.resolution
        return {
            "channel_base": (base * factor,),
            "channel_max": (self.style.most_channels * factor,),
        }

    def _sides(self, sides: list[int]) -> Rules:
        log = self.architecture.resolution.bit_length() - 1
        return {"img_resolution_log2": (log,), "block_resolutions": (sides,)}

    def whole(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        return self._generator() if self.is_generator else self._discriminator()

    def _generator(self) -> KnownLayer:
        mapping, synthesis = self._mapping(), self._synthesis()
        sizes = {name: mapping[name] for name in ("z_dim", "c_dim")}
        parts = {"mapping_kwargs": mapping, "synthesis_kwargs": synthesis}
        return KnownLayer("Generator", {**synthesis, **sizes, **parts}, GENERATOR_PLACES)

    def _discriminator(self) -> KnownLayer:
        clamp = {"conv_clamp": (self.style.clamp or None,)}
        rules = {
            "c_dim": (self.classes,),
            **self.picture,
            **self._widths(),
            **_CLAMPED,
            **self._sides(sides_of(self.architecture)[:0:-1]),
            "architecture": ("resnet", "orig"),  # it decides
            "cmap_dim": (None, self.directions) if self.classes else None,
            "block_kwargs": {**_ACTIVE, **self.form, **clamp},
            "mapping_kwargs": self._mapping(),
            "epilogue_kwargs": {**self._ending(), **self.form, **clamp},
        }
        return KnownLayer("Discriminator", rules, DISCRIMINATOR_PLACES)


_KINDS: Mapping[type[nn.Module], Callable[[_Table, str, Any, Tensor | None], KnownLayer]] = {
    ScaledLinear: _Table.linear,
    ScaledConv2d: _Table.convolution,
    StyledConv2d: _Table.styled,
    ToPixels: _Table.colours,
    FilteredConv2d: _Table.filtered,
    FourierFeatures: _Table.input,
    FirstBlock: _Table.block,
    Block: _Table.block,
    HalvingBlock: _Table.halving,
    Epilogue: _Table.epilogue,
    StyleMapping: _Table.mapping,
    ClassDirections: _Table.mapping,
    nn.ModuleDict: _Table.synthesis,
}


def _square(side: int) -> tuple[Any, ...]:
    return (side, [side, side])


def _of_weight(weight: Tensor | None, rate: float = 1.0) -> dict[str, Any]:
    """Return the lengths and the gain of a stored weight (o, i, ...), which is fitted elsewhere."""
    names = ("in_channels", "in_features", "out_channels", "out_features", "weight_gain")
    if weight is None or weight.ndim < 2 or not weight[0].numel():
        return dict.fromkeys(names)
    outputs, inputs = weight.shape[:2]
    gain = rate / math.sqrt(weight[0].numel())
    lengths = (inputs, inputs, outputs, outputs, gain)
    return {name: (value,) for name, value in zip(names, lengths, strict=True)}
