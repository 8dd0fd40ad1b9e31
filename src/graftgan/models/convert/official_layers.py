"""Checks that the layers of an official pickle compute the same function as ours.

Stored modules keep their settings (``conv_clamp``, ``activation``, gains); otherwise those of the
network apply, whatever the defaults of the program that wrote it. The expected values follow from
our own network of the same architecture. Unknown settings and values are refused: with another
function the same weights would silently give wrong pictures.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from graftgan.checkpoints import StoredNetwork
from graftgan.core.errors import shown
from graftgan.core.network_types import Architecture, Generator
from graftgan.networks.stylegan.layers import (
    ClassDirections,
    ScaledConv2d,
    ScaledLinear,
    StyleMapping,
)
from graftgan.networks.stylegan.stylegan2 import (
    Block,
    Epilogue,
    HalvingBlock,
    StyledConv2d,
    ToPixels,
    sides_of,
    widths_of,
)
from graftgan.networks.stylegan.stylegan3 import FilteredConv2d, FourierFeatures, bands_of

AttributeRules = Mapping[str, Any]
"""For each name a tuple of allowed values, None for any value, or the rules of nested settings."""

GENERATOR_PLACES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
DISCRIMINATOR_PLACES = ("c_dim", "img_resolution", "img_channels")
_UNCLAMPED = "skip"  # a convolution of the discriminator that is never clamped
_TOLERANCE = 1e-4
_LAYERS, _CRITICAL = 14, 2


def _only(**values: Any) -> dict[str, Any]:
    """Return rules that allow one value for each name."""
    return {name: (value,) for name, value in values.items()}


FREE: AttributeRules = dict.fromkeys(
    (
        *("num_fp16_res", "use_fp16", "fp16_channels_last", "channels_last"),  # for speed
        "fused_modconv_default",
        *("training", "trainable", "freeze_layers", "first_layer_idx"),  # for training
        *("w_avg_beta", "magnitude_ema_beta", "weight_init", "bias_init"),
    )
)
"""Settings that any layer may have, with any value."""
_CLAMPED: AttributeRules = {"conv_clamp": None}  # read by ``clamps_in``
_ACTIVE: AttributeRules = {**_CLAMPED, **_only(activation="lrelu", resample_filter=[1, 3, 3, 1])}
_GROWN: AttributeRules = {**_ACTIVE, **_only(architecture="skip", use_noise=True, kernel_size=3)}
_FILTERS: AttributeRules = {**_CLAMPED, **_only(filter_size=6, lrelu_upsampling=2)}
_WAVES: AttributeRules = {
    **_FILTERS,
    **_only(num_layers=_LAYERS, num_critical=_CRITICAL, margin_size=10, output_scale=0.25),
    **_only(first_cutoff=2, first_stopband=2**2.1, last_stopband_rel=2**0.3),
}


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """A layer as the official programs store it."""

    class_name: str
    rules: AttributeRules  # of its attributes and constructor arguments
    places: tuple[str, ...] = ()  # names of the positional constructor arguments
    built: AttributeRules = field(
        default_factory=dict[str, Any]
    )  # of further constructor arguments


def known_layers(
    network: nn.Module, architecture: Architecture, tensors: Mapping[str, Tensor]
) -> dict[str, KnownLayer]:
    """Return the layers of our ``network`` by full name, as a file must hold them.

    The ``architecture`` must have a style. ``tensors`` are those of the file, from which the gains
    of weights follow; those of ``network`` are not used.
    """
    table = _Table(architecture, is_generator=isinstance(network, Generator))
    found: dict[str, KnownLayer] = {}
    for name, module in network.named_modules():
        kind = _KINDS.get(type(module), _Table.whole)
        found[name] = kind(table, name, module, tensors.get(f"{name}.weight"))
    if not table.is_generator:
        rules = _only(group_size=table.style.minibatch_group or None, num_channels=1)
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
        self.sides = sides_of(architecture)
        self.bands = bands_of(architecture, self.style) if self.waves else []
        self.classes = len(architecture.classes)
        features = widths_of(architecture, self.style)[4]
        self.directions = (self.style.direction_size or features) if self.classes else 0
        self.styles = _LAYERS + 2 if self.waves else 2 * len(self.sides)  # of a picture
        self.form = _only(architecture="resnet" if self.style.residual else "orig")
        self.channels = _only(img_channels=architecture.channels)
        self.picture = {**_only(img_resolution=architecture.resolution), **self.channels}
        self.style_size = _only(w_dim=self.style.style_size)
        factor = self.style.generator_factor if is_generator else 1.0
        base, most = architecture.width * architecture.resolution, self.style.most_channels
        self.widths = _only(channel_base=base * factor, channel_max=most * factor)
        kernel = 1 if self.rotates else 3
        self.filters = {**_FILTERS, **_only(conv_kernel=kernel, use_radial_filters=self.rotates)}

    def linear(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        active, rate = name.rpartition(".")[2].startswith("fc"), 1.0
        maps = name.startswith("mapping.fc")
        if maps:
            rate = self.style.mapping_rate if self.is_generator else self.style.direction_rate
        rules = {
            **_of_weight(weight, rate),
            **_only(bias=True, bias_gain=rate, activation="lrelu" if active else "linear"),
            "lr_multiplier": None if maps else (1,),
        }
        return KnownLayer("FullyConnectedLayer", rules, ("in_features", "out_features"))

    def convolution(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        last = name.rpartition(".")[2]
        skips, side = last == "skip", 3 if last.startswith("conv") else 1
        down = 2 if last in {"skip", "conv1"} else 1
        rules = {
            **_ACTIVE,
            **_of_weight(weight),
            **_only(kernel_size=side, padding=side // 2, up=1, down=down),
            **_only(activation="lrelu", act_gain=math.sqrt(2), bias=True),
        }
        if skips:
            rules |= {**_only(activation="linear", act_gain=1, conv_clamp=None)}
            rules["bias"] = (False, None)
        places = ("in_channels", "out_channels", "kernel_size")
        return KnownLayer("Conv2dLayer", rules, places)

    def styled(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        rules = {
            **_GROWN,
            **self.style_size,
            **_of_weight(weight),
            **_only(resolution=module.noise_const.shape[-1], up=2 if name.endswith("conv0") else 1),
            **_only(padding=1, act_gain=math.sqrt(2)),
        }
        places = ("in_channels", "out_channels", "w_dim", "resolution")
        return KnownLayer("SynthesisLayer", rules, places)

    def colours(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        rules = {**self.style_size, **_of_weight(weight), **_CLAMPED, **_only(kernel_size=1)}
        return KnownLayer("ToRGBLayer", rules, ("in_channels", "out_channels", "w_dim"))

    def filtered(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        number = int(name.rpartition(".L")[2].partition("_")[0])
        before, after = self.bands[max(number - 1, 0)], self.bands[number]
        last, is_critical = number == _LAYERS, number >= _LAYERS - _CRITICAL
        up_taps, down_taps = (
            1 if taps is None else len(taps) for taps in (module.up_filter, module.down_filter)
        )
        rules = {
            **self.filters,
            **self.style_size,
            **_of_weight(weight),
            **_only(is_torgb=last, is_critically_sampled=is_critical),
            **_only(tmp_sampling_rate=before.rate * module.up, padding=list(module.around)),
            **_only(conv_kernel=1 if last or self.rotates else 3),
            **_only(up_factor=module.up, down_factor=module.down),
            **_only(up_taps=up_taps, down_taps=down_taps),
            **_only(down_radial=self.rotates and not is_critical),
        }
        for way, band in (("in", before), ("out", after)):
            rules[f"{way}_size"] = _square(band.size)
            rules[f"{way}_sampling_rate"] = (band.rate,)
            rules[f"{way}_cutoff"] = (band.cutoff,)
            rules[f"{way}_half_width"] = (band.half_width,)
        built = self.filters if last else {}  # it is built like the others but stores 1 x 1
        return KnownLayer("SynthesisLayer", rules, (), built)

    def input(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        first = self.bands[0]
        rules = {
            **self.style_size,
            **_only(channels=first.channels),
            "size": _square(first.size),
            **_only(sampling_rate=first.rate, bandwidth=first.cutoff),
        }
        return KnownLayer("SynthesisInput", rules, tuple(rules))

    def block(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        side, grows = module.conv1.noise_const.shape[-1], not module.is_first
        inputs, outputs = module.conv0.in_channels if grows else 0, module.conv1.out_channels
        rules = {
            **_only(in_channels=inputs, out_channels=outputs),
            **self.style_size,
            **_only(resolution=side),
            **self.channels,
            **_only(is_last=side == self.architecture.resolution),
        }
        more = {**_only(num_conv=2 if grows else 1, num_torgb=1), **_GROWN}
        return KnownLayer("SynthesisBlock", {**rules, **more}, tuple(rules))

    def halving(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        side, width = int(name.removeprefix("b")), module.conv0.in_channels
        is_first = side == self.architecture.resolution
        rules = {
            **_only(in_channels=0 if is_first else width, tmp_channels=width),
            **_only(out_channels=module.conv1.out_channels, resolution=side),
            **self.channels,
        }
        more = {**_only(num_layers=2 + is_first + self.style.residual), **self.form, **_ACTIVE}
        return KnownLayer("DiscriminatorBlock", {**rules, **more}, tuple(rules))

    def epilogue(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        sizes = _only(in_channels=module.conv.out_channels, cmap_dim=self.directions, resolution=4)
        rules = {**sizes, **self.channels}
        more = {**self.form, **self._ending(), **_CLAMPED}
        return KnownLayer("DiscriminatorEpilogue", {**rules, **more}, tuple(rules))

    def _ending(self) -> AttributeRules:
        group = self.style.minibatch_group or None
        return _only(mbstd_group_size=group, mbstd_num_channels=1, activation="lrelu")

    def mapping(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        places = ("z_dim", "c_dim", "w_dim", "num_ws")
        return KnownLayer("MappingNetwork", self._mapping(), places)

    def _mapping(self) -> dict[str, Any]:
        style, ours = self.style, self.is_generator
        layers = style.mapping_layers if ours else style.direction_layers
        width = style.style_size if ours else self.directions
        latent, styles = (self.architecture.latent_size, self.styles) if ours else (0, None)
        maps = ours or self.classes
        return {
            **_only(z_dim=latent, c_dim=self.classes, w_dim=width, num_ws=styles),
            "num_layers": (layers,) if maps else None,
            "embed_features": (None, width) if self.classes else None,
            "layer_features": (None, width) if layers > 1 and maps else None,
            **_only(activation="lrelu"),
            "lr_multiplier": None,
        }

    def synthesis(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        places = ("w_dim", "img_resolution", "img_channels")
        return KnownLayer("SynthesisNetwork", self._synthesis(), places)

    def _synthesis(self) -> dict[str, Any]:
        rules = {**self.style_size, **self.picture, **self.widths, **_only(num_ws=self.styles)}
        if not self.waves:
            return {**rules, **_GROWN, **self._blocks(self.sides)}
        names = [f"L{number}_{band.size}_{band.channels}" for number, band in enumerate(self.bands)]
        return {**rules, **_WAVES, **self.filters, **_only(layer_names=names)}

    def _blocks(self, sides: list[int]) -> AttributeRules:
        log = self.architecture.resolution.bit_length() - 1
        return _only(img_resolution_log2=log, block_resolutions=sides)

    def whole(self, name: str, module: Any, weight: Tensor | None) -> KnownLayer:
        mapping = self._mapping()
        if self.is_generator:
            synthesis = self._synthesis()
            sizes = {name: mapping[name] for name in ("z_dim", "c_dim")}
            parts = {"mapping_kwargs": mapping, "synthesis_kwargs": synthesis}
            return KnownLayer("Generator", {**synthesis, **sizes, **parts}, GENERATOR_PLACES)
        built = {**self.form, **_only(conv_clamp=self.style.clamp or None)}
        rules = {
            **_only(c_dim=self.classes),
            **self.picture,
            **self.widths,
            **_CLAMPED,
            **self._blocks(self.sides[:0:-1]),
            "architecture": ("resnet", "orig"),  # it decides
            "cmap_dim": (None, self.directions) if self.classes else None,
            "block_kwargs": {**_ACTIVE, **built},
            "mapping_kwargs": mapping,
            "epilogue_kwargs": {**self._ending(), **built},
        }
        return KnownLayer("Discriminator", rules, DISCRIMINATOR_PLACES)


_KINDS: Mapping[type[nn.Module], Callable[[_Table, str, Any, Tensor | None], KnownLayer]] = {
    ScaledLinear: _Table.linear,
    ScaledConv2d: _Table.convolution,
    StyledConv2d: _Table.styled,
    ToPixels: _Table.colours,
    FilteredConv2d: _Table.filtered,
    FourierFeatures: _Table.input,
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
    """Return rules for the lengths and the gain of a stored weight (o, i, ...)."""
    names = ("in_channels", "in_features", "out_channels", "out_features", "weight_gain")
    if weight is None or weight.ndim < 2 or not weight[0].numel():
        return dict.fromkeys(names)
    outputs, inputs = weight.shape[:2]
    gain = rate / math.sqrt(weight[0].numel())
    lengths = (inputs, inputs, outputs, outputs, gain)
    return {name: (value,) for name, value in zip(names, lengths, strict=True)}


def settings_of_synthesis(generator: StoredNetwork) -> Mapping[str, Any]:
    """Return the settings of the synthesis network, which older programs nest."""
    return {**generator.settings, **part(generator.settings, "synthesis_kwargs")}


def part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return nested settings; empty if there are none."""
    found = settings.get(name)
    named = cast("Mapping[Any, Any]", found) if isinstance(found, Mapping) else {}
    return {str(key): value for key, value in named.items()}


def clamps_in(network: StoredNetwork, otherwise: Any) -> dict[Any, str]:
    """Return each clamp in a network with the name of a layer that has it."""
    names = [name for name in network.layers if name and name.rpartition(".")[2] != _UNCLAMPED]
    weighted = [name for name in names if f"{name}.weight" in network.tensors]
    for group in (weighted, names):  # containers only count if no weighted layer has a clamp
        found: dict[Any, str] = {}
        for name in group:
            own = {**network.layers[name].settings, **network.layers[name].attributes}
            if "conv_clamp" in own:
                clamp = own["conv_clamp"]
                plain = _is_number(clamp) or clamp is None
                found.setdefault(clamp if plain else described(clamp), name)
        if found:
            return found
    return {otherwise: "its settings"}


def rates_in(network: StoredNetwork) -> dict[Any, str]:
    """Return each rate in the mapping with the name of a layer that has it."""
    found: dict[Any, str] = {}
    for name, layer in network.layers.items():
        own = {**layer.settings, **layer.attributes}
        rate = own.get("bias_gain", own.get("lr_multiplier"))
        if name.startswith("mapping.fc") and rate is not None:
            found.setdefault(rate if _is_number(rate) else described(rate), name)
    usual = part(network.settings, "mapping_kwargs").get("lr_multiplier", 0.01)
    if "mapping" in network.layers:
        usual = network.layers["mapping"].settings.get("lr_multiplier", usual)
    return found or {usual if _is_number(usual) else described(usual): "its settings"}


def problems_of_layers(
    role: str, network: StoredNetwork, known: Mapping[str, KnownLayer]
) -> Iterator[str]:
    """Yield how a network differs from ours: "its generator has use_noise False, ..."."""
    for name, layer in network.layers.items():
        where = f"{role}'s layer {shown(name)}" if name else role
        if name not in known:  # if it has tensors, these are refused elsewhere
            if not any(tensor.startswith(f"{name}.") for tensor in network.tensors):
                yield f"its {where} is not known"
            continue
        ours = known[name]
        if layer.class_name != ours.class_name:
            found = described(layer.class_name)
            yield f"its {where} is of the class {found}, where '{ours.class_name}' is expected"
        for argument in layer.arguments[len(ours.places) :]:
            yield f"its {where} is given {described(argument)} by its place, and not by its name"
        given = dict(zip(ours.places, layer.arguments, strict=False))
        yield from _unlike(where, layer.attributes, ours.rules)
        for built in (given, layer.settings):
            yield from _unlike(where, built, {**ours.rules, **ours.built})


def _unlike(where: str, settings: Mapping[str, Any], rules: AttributeRules) -> Iterator[str]:
    """Yield the settings that are unknown or have a value that is not allowed."""
    for name, value in settings.items():
        if name in FREE and name not in rules:
            continue
        if name not in rules:
            yield f"its {where} has {shown(name)} {described(value)}, a setting that is not known"
        elif not isinstance(rules[name], Mapping):
            yield from _wrong(where, name, value, rules[name])
        elif value is None or isinstance(value, Mapping):
            yield from _unlike(f"{where}'s {name}", part(settings, name), rules[name])
        else:
            yield f"its {where} has {name} {described(value)}, where settings are expected"


def _wrong(where: str, name: str, value: Any, expected: tuple[Any, ...] | None) -> Iterator[str]:
    if expected is None or any(_equal(value, known) for known in expected):
        return
    known = " or ".join(dict.fromkeys(described(each) for each in expected))
    yield f"its {where} has {name} {described(value)}, where {known} is expected"


def _equal(value: Any, known: Any) -> bool:
    if isinstance(known, list):
        expected = cast("list[Any]", known)
        found = cast("list[Any]", value) if isinstance(value, list | tuple) else []
        return len(found) == len(expected) and all(map(_equal, found, expected))
    if isinstance(known, bool) or isinstance(value, bool):
        return value is known
    if _is_number(value) and _is_number(known):
        return math.isclose(value, known, rel_tol=_TOLERANCE)
    return type(value) is type(known) and value == known


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def described(value: Any) -> str:
    """Return a setting for a message: a number, a text, a short list of numbers, or its type."""
    if isinstance(value, str):
        return f"'{shown(value, 40)}'"
    if isinstance(value, bool | int | float) or value is None:
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, list | tuple):
        things = cast("list[Any]", value)
        if len(things) <= 8 and all(_is_number(thing) for thing in things):
            return str(list(things))
    return f"of the kind {type(value).__name__}"
