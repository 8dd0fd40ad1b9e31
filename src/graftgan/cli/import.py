# ruff: noqa: N999 - the verb is called so
"""``graftgan import``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import console, with_bars
from graftgan.official_import import import_official

DESCRIPTION = """Make a source of an official StyleGAN2-ADA or StyleGAN3 file (.pkl), safely.

Such files hold Python code that the official programs run when they open them. Here nothing in the
file is run: numbers and settings are read, and anything else is refused. The averaged generator and
the discriminator become a source folder of safetensors with a card.

examples:
  graftgan import ffhq-256.pkl
  graftgan import ffhq-256.pkl --out ~/.graftgan/sources/ffhq-256
  graftgan transfer my_pictures/ --source sources/ffhq-256 --method freezed
"""


@dataclass(frozen=True)
class Import:
    """The file and the source."""

    file: tyro.conf.Positional[Path]
    """The .pkl file."""
    out: Path | None = None
    """The new source folder; without it, sources/ and the name of the file."""
    licence: str | None = None
    """The licence of the weights, for the card."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = parse_flags(Import, arguments, prog="graftgan import", description=DESCRIPTION)
    destination = options.out or Path("sources") / options.file.stem
    known = {} if options.licence is None else {"licence": options.licence}
    with with_bars() as progress:
        card = import_official(options.file, destination, progress=progress, **known)
    networks = card.architecture
    console.print(
        f"{networks.backbone}, {networks.resolution} px: generator and discriminator in "
        f"{destination}"
    )
    console.print(f"licence: {card.licence}")
    console.print(card.notes)
    console.print(f"use it: graftgan transfer my_pictures/ --source {destination}")
    return 0
