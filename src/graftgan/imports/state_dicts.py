"""From files of ``torch.save`` in a known layout to a pair of networks."""

from pathlib import Path

from graftgan.checkpoints import read_torch_file, tensors_in
from graftgan.errors import CheckpointError
from graftgan.imports.found import Found
from graftgan.imports.layouts import LAYOUTS, Layout, Parts

_SHOWN = 6  # names of a file that nothing is known of


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
    for layout in LAYOUTS.values():
        parts = layout.parts(content)
        if parts and layout.refusal:
            raise CheckpointError(f"{file} is of {layout.title}, {layout.refusal}")
        if parts:
            return layout, parts
    names = list(content)
    more = ", ..." if len(names) > _SHOWN else ""
    known = ", ".join(layout.title for layout in LAYOUTS.values() if not layout.refusal)
    raise CheckpointError(
        f"{file} is in no layout that is known here; its names begin with "
        f"{', '.join(names[:_SHOWN]) or 'nothing'}{more}; known are {known}, and pickles of "
        "StyleGAN2-ADA and StyleGAN3"
    )
