"""Layouts in which other programs save networks, and the reading of such ``torch.save`` files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from graftgan.checkpoints import read_torch_file, tensors_in
from graftgan.core.errors import CheckpointError, shown
from graftgan.core.network_types import Architecture
from graftgan.core.registry import Registry

LICENCE = "that of the file, which does not say"
_SHOWN = 6  # names in a message
_DEPTH = 4  # levels of nested dictionaries
_AVERAGED = ("ema", "average", "avg")  # in the name of the averaged generator
_ADVICE = {
    "generator": "name the file of the generator first",
    "discriminator": "give the file that holds it with --discriminator, or take a file that was "
    "saved in training",
}

NamedTensors = dict[str, Tensor]
NetworkParts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A pair of networks, with tensors under our names."""

    architecture: Architecture
    tensors: dict[str, NamedTensors]  # by role, then by name
    remark: str  # about their origin, for the card
    licence: str = LICENCE  # of the weights, as far as known


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one program saves its networks."""

    title: str  # the program's name for messages
    # From the dictionary in a file to the state dicts in it by role; empty if the file is not in
    # this layout.
    parts: Callable[[Mapping[str, Any]], NetworkParts]
    # From the tensors of generator and discriminator to ours. It may only assume that they are
    # tensors, and raises CheckpointError if they do not fit.
    pair: Callable[[NamedTensors, NamedTensors], Found] | None = None
    refusal: str = ""  # why such files cannot be used, and what to use instead; empty: they can


LAYOUTS: Registry[Layout] = Registry("layout")


def renamed(tensors: NamedTensors, names: Mapping[str, str]) -> NamedTensors:
    """Return ``tensors`` under our names; one without such a name is marked as the file's."""
    return {names.get(name, f"{name} of the file"): tensor for name, tensor in tensors.items()}


def shape_of(tensors: NamedTensors, name: str, dimensions: int) -> tuple[int, ...]:
    """Return a tensor's shape; CheckpointError: it is missing or has other ``dimensions``."""
    if name not in tensors:
        raise CheckpointError(f"{name} is missing")
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise CheckpointError(
            f"{name} is of shape {shape}, where {dimensions} lengths are expected"
        )
    return shape


def pair_of_state_dicts(file: Path, discriminator: Path | None = None) -> Found:
    """Return the generator in ``file`` and the discriminator in the same or a separate file.

    Raises CheckpointError: a file cannot be read safely, is in no known layout, lacks a network or
    does not fit its layout, or the two files have different layouts.
    """
    layout, parts = _recognised(file)
    critics = parts
    if discriminator is not None:
        other, critics = _recognised(discriminator)
        if other is not layout:
            raise CheckpointError(
                f"{file} is of {layout.title} and {discriminator} of {other.title}; "
                "a generator needs the discriminator it was trained with"
            )
    places = {"generator": (file, parts), "discriminator": (discriminator or file, critics)}
    for role, (place, held) in places.items():
        if role not in held:
            raise CheckpointError(
                f"{place} ({layout.title}) holds no {role}, which a transfer needs; {_ADVICE[role]}"
            )
    generator, critic = (
        tensors_in(held[role], what=f"the {role} in {place}")
        for role, (place, held) in places.items()
    )
    assert layout.pair is not None
    try:
        return layout.pair(generator, critic)
    except CheckpointError as error:
        raise CheckpointError(f"{file} ({layout.title}) cannot be used: {error}") from None


def _recognised(file: Path) -> tuple[Layout, NetworkParts]:
    content = read_torch_file(file)
    for depth in range(_DEPTH):
        for layout in LAYOUTS.values():
            parts = _parts_within(layout, content, depth, file, {})
            if parts and layout.refusal:
                raise CheckpointError(f"{file} is of {layout.title}, {layout.refusal}")
            if parts:
                return layout, parts
    names = list(content)
    more = ", ..." if len(names) > _SHOWN else ""
    known = ", ".join(layout.title for layout in LAYOUTS.values() if not layout.refusal)
    raise CheckpointError(
        f"{file} has an unknown layout; its first names are "
        f"{', '.join(map(shown, names[:_SHOWN])) or 'none'}{more}; known are {known}, and "
        "pickles of StyleGAN2-ADA and StyleGAN3"
    )


def _parts_within(
    layout: Layout, content: Mapping[str, Any], depth: int, file: Path, seen: dict[Any, Any]
) -> NetworkParts:
    """Return the networks ``depth`` dictionaries down, such as ``state_dict`` or ``netG``.

    ``seen`` holds the dictionaries visited at each depth: a file may have one in many places.
    """
    if not depth:
        return layout.parts(content)
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, inner in _dictionaries_in(content):
        key = (id(inner), depth)
        is_new = key not in seen
        seen[key] = inner  # the reference prevents reuse of its id
        if is_new:
            for role, part in _parts_within(layout, inner, depth - 1, file, seen).items():
                found.setdefault(role, {})[name] = part
    return {role: _only_one(role, parts, file) for role, parts in found.items()}


def _only_one(role: str, parts: Mapping[str, Mapping[str, Any]], file: Path) -> Mapping[str, Any]:
    averaged = [name for name in parts if any(word in name.lower() for word in _AVERAGED)]
    names = averaged if len(averaged) == 1 else list(parts)
    if len(names) == 1:
        return parts[names[0]]
    raise CheckpointError(
        f"{file} has more than one {role}: {', '.join(map(shown, names[:_SHOWN]))}; save one of "
        "them in a separate file"
    )


def _dictionaries_in(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the inner dictionaries, including those of joined names such as ``netG.main``."""
    joined: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            named = cast("Mapping[Any, Any]", value)
            if all(isinstance(key, str) for key in named):
                yield name, named
        elif isinstance(value, Tensor):
            head, _, rest = name.partition(".")
            joined.setdefault(head, {})[rest] = value
    yield from joined.items()
