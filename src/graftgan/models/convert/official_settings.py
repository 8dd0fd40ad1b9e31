"""What the networks of an official pickle were built with, as far as it is understood here.

Each stored module keeps what it works with (``conv_clamp``, ``activation``, gains), whatever the
defaults of the program that wrote it; where it does not, what the network was built with counts.
What is not understood is named: another function under the same weights would be wrong without a
word.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from graftgan.checkpoints import StoredLayer, StoredNetwork
from graftgan.core.untrusted import shown

_Rules = Mapping[str, tuple[Any, ...] | None]

_TAPS = ([1, 3, 3, 1], (1, 3, 3, 1))
_SIZES: _Rules = dict.fromkeys(
    (
        *("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
        *("channel_base", "channel_max", "conv_clamp", "cmap_dim"),
    )
)
"""Read elsewhere."""
_SPEED: _Rules = dict.fromkeys(
    ("num_fp16_res", "use_fp16", "fp16_channels_last", "fused_modconv_default")
)
"""They change no picture but by rounding."""
_MAPPING: _Rules = {
    **dict.fromkeys(("num_layers", "embed_features", "layer_features", "lr_multiplier")),
    "w_avg_beta": None,  # of training alone
    "activation": ("lrelu",),
}
_STYLEGAN2: _Rules = {
    "architecture": ("skip",),
    "resample_filter": _TAPS,
    "activation": ("lrelu",),
    "use_noise": (True,),
    "kernel_size": (3,),
}
_STYLEGAN3: _Rules = {
    "num_layers": (14,),
    "num_critical": (2,),
    "first_cutoff": (2,),
    "first_stopband": (2**2.1,),
    "last_stopband_rel": (2**0.3,),
    "margin_size": (10,),
    "output_scale": (0.25,),
    "filter_size": (6,),
    "lrelu_upsampling": (2,),
    "magnitude_ema_beta": None,  # of training alone
}
_WAVES: _Rules = {"bandwidth": (2,)}
_DISCRIMINATOR: _Rules = {**_SIZES, **_SPEED, "architecture": ("resnet", "orig")}
_DISCRIMINATOR_PARTS: Mapping[str, _Rules] = {
    "block_kwargs": {
        **_SPEED,
        "activation": ("lrelu",),
        "resample_filter": _TAPS,
        "freeze_layers": None,  # of training alone
        "conv_clamp": None,
    },
    "mapping_kwargs": _MAPPING,
    "epilogue_kwargs": {
        "mbstd_group_size": None,
        "mbstd_num_channels": (1,),
        "activation": ("lrelu",),
    },
}
_LINEAR = frozenset({"affine", "embed", "out", "skip", "torgb"})
"""Layers without a nonlinearity, by the last part of their names."""
_UNCLAMPED = "skip"  # of the discriminator, whose convolution is never clamped
_TOLERANCE = 1e-4


def settings_of_synthesis(generator: StoredNetwork) -> Mapping[str, Any]:
    """Return what the drawing half was built with, which older programs keep in a part."""
    return {**generator.settings, **part(generator.settings, "synthesis_kwargs")}


def part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return settings within settings."""
    found = settings.get(name)
    named = cast("Mapping[Any, Any]", found) if isinstance(found, Mapping) else {}
    return {str(key): value for key, value in named.items()}


def clamps_in(network: StoredNetwork, otherwise: Any) -> dict[Any, str]:
    """Return each clamp that layers of a network have, with the name of one that has it."""
    names = [name for name in network.layers if name and name.rpartition(".")[2] != _UNCLAMPED]
    for kept in ("attributes", "settings"):  # the latter where no layer keeps one
        found: dict[Any, str] = {}
        for name in names:
            own = getattr(network.layers[name], kept)
            if "conv_clamp" in own:
                clamp = own["conv_clamp"]
                plain = _is_number(clamp) or clamp is None
                found.setdefault(clamp if plain else settings_in_words(clamp), name)
        if found:
            return found
    return {otherwise: "its settings"}


def rates_in(network: StoredNetwork) -> dict[Any, str]:
    """Return each rate that layers of the mapping have, with the name of one that has it."""
    found: dict[Any, str] = {}
    for name, layer in network.layers.items():
        if name.startswith("mapping.fc"):
            rate = _rate_of(layer, None)
            if rate is not None:
                found.setdefault(rate, name)
    usual = part(network.settings, "mapping_kwargs").get("lr_multiplier", 0.01)
    return found or {usual if _is_number(usual) else settings_in_words(usual): "its settings"}


def _rate_of(layer: StoredLayer, otherwise: Any) -> Any:
    own = {**layer.settings, **layer.attributes}
    rate = own.get("bias_gain", own.get("lr_multiplier", otherwise))
    return rate if _is_number(rate) or rate is None else settings_in_words(rate)


def problems_of_settings(
    generator: StoredNetwork, discriminator: StoredNetwork, *, waves: bool, rotates: bool
) -> Iterator[str]:
    """Yield in what two networks are none of ours: "its generator has use_noise False, ..."."""
    kind: _Rules = _STYLEGAN2
    if waves:
        form = {"conv_kernel": (1 if rotates else 3,), "use_radial_filters": (rotates,)}
        kind = {**_STYLEGAN3, **form}
    synthesis = {**_SIZES, **_SPEED, **kind}
    parts = {"mapping_kwargs": _MAPPING, "synthesis_kwargs": synthesis}
    yield from _unlike("generator", generator.settings, synthesis, parts)
    yield from _unlike(
        "discriminator", discriminator.settings, _DISCRIMINATOR, _DISCRIMINATOR_PARTS
    )
    form = discriminator.settings.get("architecture", "resnet")
    yield from _unlike_layers("generator", generator, kind)
    yield from _unlike_layers("discriminator", discriminator, {"architecture": (form,)})


def _unlike(
    role: str, settings: Mapping[str, Any], rules: _Rules, parts: Mapping[str, _Rules]
) -> Iterator[str]:
    """Yield the settings that are unknown, or of a value that is not understood."""
    for name, value in settings.items():
        if name in parts:
            if value is not None and not isinstance(value, Mapping):
                said = settings_in_words(value)
                yield f"its {role} has {name} {said}, where settings are expected"
            yield from _unlike(f"{role}'s {name}", part(settings, name), parts[name], {})
        elif name not in rules:
            said = settings_in_words(value)
            yield f"its {role} has {shown(name)} {said}, a setting that is not known"
        else:
            yield from _wrong(role, name, value, rules[name])


def _unlike_layers(role: str, network: StoredNetwork, rules: _Rules) -> Iterator[str]:
    """Yield what layers keep that is not understood."""
    for name, layer in network.layers.items():
        yield from _wrong_gains(f"{role}'s layer {shown(name)}", name, layer, network)
        for key, expected in _rules_of_layer(name, rules).items():
            if key in layer.attributes:
                where = f"{role}'s layer {shown(name)}" if name else role
                yield from _wrong(where, key, layer.attributes[key], expected)


def _rules_of_layer(name: str, rules: _Rules) -> _Rules:
    """Return what a layer of that name may keep."""
    last = name.rpartition(".")[2]
    if name.startswith("mapping") or not name:
        return {}
    if last == "mbstd":
        return {"num_channels": (1,)}
    if last == "input":
        return _WAVES
    if last in _LINEAR:
        return {}
    # The last convolution of StyleGAN3 is always of single pixels; its weights say so.
    return {key: value for key, value in rules.items() if key not in {"conv_kernel", "activation"}}


def _wrong_gains(
    where: str, name: str, layer: StoredLayer, network: StoredNetwork
) -> Iterator[str]:
    """Yield nonlinearities and gains of a layer that are not those of its place."""
    own = layer.attributes
    linear = name.rpartition(".")[2] in _LINEAR
    if name and "activation" in own:
        yield from _wrong(
            where, "activation", own["activation"], ("linear" if linear else "lrelu",)
        )
    if "act_gain" in own and _is_number(own["act_gain"]):
        yield from _wrong(where, "act_gain", own["act_gain"], (1.0 if linear else math.sqrt(2),))
    weight, gain = network.tensors.get(f"{name}.weight"), own.get("weight_gain")
    if weight is None:  # a part that holds layers, and was built with what they have
        return
    rate = _rate_of(layer, 1.0)
    if not name.startswith("mapping.fc"):
        key = "bias_gain" if "bias_gain" in own else "lr_multiplier"
        yield from _wrong(where, key, rate, (1.0,))
    if weight.ndim > 1 and weight[0].numel() and _is_number(gain):
        usual = (rate if _is_number(rate) else 1.0) / math.sqrt(weight[0].numel())
        yield from _wrong(where, "weight_gain", gain, (usual,))


def _wrong(where: str, name: str, value: Any, expected: tuple[Any, ...] | None) -> Iterator[str]:
    if expected is None or any(_equal(value, known) for known in expected):
        return
    known = " or ".join(dict.fromkeys(settings_in_words(each) for each in expected))
    yield f"its {where} has {name} {settings_in_words(value)}, where {known} is expected"


def _equal(value: Any, known: Any) -> bool:
    if isinstance(known, bool) or isinstance(value, bool):
        return value is known
    if _is_number(value) and _is_number(known):
        return math.isclose(value, known, rel_tol=_TOLERANCE)
    return type(value) is type(known) and value == known


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def settings_in_words(value: Any) -> str:
    """Return a setting for a message: numbers, texts, short lists of numbers, else its kind."""
    if isinstance(value, str):
        return f"'{shown(value, 40)}'"
    if isinstance(value, bool | int | float) or value is None:
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, list | tuple):
        things = cast("list[Any]", value)
        if len(things) <= 8 and all(_is_number(thing) for thing in things):
            return str(list(things))
    return f"of the kind {type(value).__name__}"
