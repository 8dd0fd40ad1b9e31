# ruff: noqa: N999 - the verb is called so
"""``graftgan import``."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import console, with_bars
from graftgan.core.untrusted import shown
from graftgan.models.convert import import_source

DESCRIPTION = """Make a source of a file that another program saved, safely.

Known are official pickles of StyleGAN2-ADA and StyleGAN3, training files of
rosinality/stylegan2-pytorch, and the two files of PyTorch's example dcgan; which one it is, its
content says. What other programs put around networks (module., _orig_mod., state_dict, netG and
netD) is taken off. Files of torch and pickles can hold code that other programs run when they open
them.
Here nothing in the file is run: numbers and settings are read, and anything else is refused. The
generator and the discriminator become a source folder of safetensors with a card.

examples:
  graftgan import ffhq-256.pkl
  graftgan import 550000.pt --out ~/.graftgan/sources/ffhq-256
  graftgan import netG_epoch_24.pth --discriminator netD_epoch_24.pth --out sources/bedrooms
  graftgan transfer my_pictures/ --source sources/ffhq-256 --method freezed
"""


@dataclass(frozen=True)
class Import:
    """The file and the source."""

    file: tyro.conf.Positional[Path]
    """The file: .pkl, .pt or .pth."""
    discriminator: Path | None = None
    """The file of the discriminator, if it has one of its own."""
    out: Path | None = None
    """The new source folder; without it, sources/ and the name of the file."""
    licence: str | None = None
    """The licence of the weights, for the card."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = parse_flags(Import, arguments, prog="graftgan import", description=DESCRIPTION)
    destination = options.out or Path("sources") / options.file.stem
    with with_bars() as progress:
        card = import_source(
            options.file,
            destination,
            discriminator=options.discriminator,
            licence=options.licence,
            progress=progress,
        )
    networks = card.architecture
    console.print(
        f"{networks.backbone}, {networks.resolution} px: generator and discriminator in "
        f"{destination}"
    )
    console.print(f"licence: {shown(card.licence, 400)}")
    console.print(card.notes)
    console.print(
        f"use it: graftgan transfer my_pictures/ --source {shlex.quote(str(destination))}"
    )
    return 0
