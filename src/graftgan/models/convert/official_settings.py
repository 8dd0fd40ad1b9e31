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
from graftgan.models.convert.official_layers import FREE, KnownLayer, Rules

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
    weighty = [name for name in names if f"{name}.weight" in network.tensors]
    for group in (weighty, names):  # parts that hold layers were built with what these have
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
    """Return each rate that layers of the mapping have, with the name of one that has it."""
    found: dict[Any, str] = {}
    for name, layer in network.layers.items():
        if name.startswith("mapping.fc"):
            rate = _rate_of(layer, None)
            if rate is not None:
                found.setdefault(rate, name)
    usual = part(network.settings, "mapping_kwargs").get("lr_multiplier", 0.01)
    if "mapping" in network.layers:
        usual = network.layers["mapping"].settings.get("lr_multiplier", usual)
    return found or {usual if _is_number(usual) else described(usual): "its settings"}


def _rate_of(layer: StoredLayer, otherwise: Any) -> Any:
    own = {**layer.settings, **layer.attributes}
    rate = own.get("bias_gain", own.get("lr_multiplier", otherwise))
    return rate if _is_number(rate) or rate is None else described(rate)


def problems_of_layers(
    role: str, network: StoredNetwork, known: Mapping[str, KnownLayer]
) -> Iterator[str]:
    """Yield in what a network is none of ours: "its generator has use_noise False, ..."."""
    for name, layer in network.layers.items():
        where = f"{role}'s layer {shown(name)}" if name else role
        if name not in known:  # its tensors, if any, are refused as a whole
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


def _unlike(where: str, settings: Mapping[str, Any], rules: Rules) -> Iterator[str]:
    """Yield the settings that are unknown, or of a value that is not understood."""
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
