# ruff: noqa: N999 - the name of the verb
"""Make a source of a file that another program saved, safely.

It reads official pickles of StyleGAN2-ADA and StyleGAN3, training files of
rosinality/stylegan2-pytorch, and the two files of PyTorch's dcgan example, and recognises them by
their content. Common wrappers (module., _orig_mod., state_dict, netG and netD) are removed.

Pickles and torch files can contain code, which other programs run when they open them. Here nothing
is run: numbers and settings are read, and anything else is refused. The result is a source folder
with generator, discriminator and card.

examples:
  graftgan import ffhq-256.pkl
  graftgan import 550000.pt --out ~/.graftgan/sources/ffhq-256
  graftgan import netG_epoch_24.pth --discriminator netD_epoch_24.pth --out sources/bedrooms
  graftgan transfer my_pictures/ --source sources/ffhq-256 --method freezed
"""

import shlex
from pathlib import Path

from tyro.conf import Positional

from graftgan.cli.terminal import console, verb, with_bars
from graftgan.core.errors import shown
from graftgan.models.convert import import_source


@verb
def main(
    file: Positional[Path],
    discriminator: Path | None = None,
    out: Path | None = None,
    licence: str | None = None,
) -> None:
    """Import a source.

    Args:
        file: The file: .pkl, .pt or .pth.
        discriminator: The file of the discriminator, if it is a separate one.
        out: The new source folder; by default sources/ and the name of the file.
        licence: The licence of the weights, for the card.
    """
    destination = out or Path("sources") / file.stem
    with with_bars() as progress:
        card = import_source(
            file, destination, discriminator=discriminator, licence=licence, progress=progress
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
