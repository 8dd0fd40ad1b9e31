"""From files of ``torch.save`` in a known layout to a pair of networks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from graftgan.checkpoints import read_torch_file, tensors_in
from graftgan.core.errors import CheckpointError
from graftgan.core.untrusted import shown
from graftgan.models.convert.converted import Found
from graftgan.models.convert.layouts import LAYOUTS, Layout, Parts

_SHOWN = 6  # names of a file that nothing is known of
_DEPTH = 4  # dictionaries within dictionaries
_AVERAGED = ("ema", "average", "avg")  # in the name of the generator that draws best


def pair_of_state_dicts(file: Path, discriminator: Path | None = None) -> Found:
    """Return the generator in ``file`` and the discriminator in it, or in a file of its own.

    Raises:
        CheckpointError: A file cannot be read safely, is in no known layout or in another one than
            the first, lacks a network, or does not hold what its layout says.
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


_ADVICE = {
    "generator": "name the file of the generator first",
    "discriminator": "give the file that holds it with --discriminator, or take a file that was "
    "saved in training",
}


def _recognised(file: Path) -> tuple[Layout, Parts]:
    content = read_torch_file(file)
    for depth in range(_DEPTH):
        for layout in LAYOUTS.values():
            parts = _parts_within(layout, content, depth, _Seen(file))
            if parts and layout.refusal:
                raise CheckpointError(f"{file} is of {layout.title}, {layout.refusal}")
            if parts:
                return layout, parts
    names = list(content)
    more = ", ..." if len(names) > _SHOWN else ""
    known = ", ".join(layout.title for layout in LAYOUTS.values() if not layout.refusal)
    raise CheckpointError(
        f"{file} is in no layout that is known here; its names begin with "
        f"{', '.join(map(shown, names[:_SHOWN])) or 'nothing'}{more}; known are {known}, and "
        "pickles of StyleGAN2-ADA and StyleGAN3"
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The dictionaries of a file that were looked at: it may have one in many places."""

    file: Path
    held: dict[tuple[int, int], Mapping[str, Any]] = field(
        default_factory=dict[tuple[int, int], Mapping[str, Any]]
    )

    def is_new(self, dictionary: Mapping[str, Any], depth: int) -> bool:
        """Return whether it was not looked at yet, so deep; it is now."""
        key = (id(dictionary), depth)
        is_new = key not in self.held
        self.held[key] = dictionary  # as long as it is kept, its id is its own
        return is_new


def _parts_within(layout: Layout, content: Mapping[str, Any], depth: int, seen: _Seen) -> Parts:
    """Return the networks ``depth`` dictionaries down, such as ``state_dict`` or ``netG``.

    Raises:
        CheckpointError: There is more than one for a role, and none of them is the averaged one.
    """
    if not depth:
        return layout.parts(content)
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, inner in _dictionaries_in(content):
        if seen.is_new(inner, depth):
            for role, part in _parts_within(layout, inner, depth - 1, seen).items():
                found.setdefault(role, {})[name] = part
    return {role: _only_one(role, parts, seen.file) for role, parts in found.items()}


def _only_one(role: str, parts: Mapping[str, Mapping[str, Any]], file: Path) -> Mapping[str, Any]:
    averaged = [name for name in parts if any(word in name.lower() for word in _AVERAGED)]
    names = averaged if len(averaged) == 1 else list(parts)
    if len(names) == 1:
        return parts[names[0]]
    raise CheckpointError(
        f"{file} has more than one {role}: {', '.join(map(shown, names[:_SHOWN]))}; save the one "
        "that is meant in a file of its own"
    )


def _dictionaries_in(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what lies one dictionary down, also where names are joined as in ``netG.main``."""
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
