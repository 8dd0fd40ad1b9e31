"""``graftgan preview``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import ScreenObserver, console
from graftgan.core.registry import NamesDoc
from graftgan.pictures import DataSettings, load_image_set
from graftgan.reports import save_png
from graftgan.training.augment import (
    POLICIES,
    AugmentationSettings,
    build_augmenter,
    preview_grid,
    settings_to_show,
)

DESCRIPTION = """See your pictures as the discriminator would: each beside two augmented versions.

examples:
  graftgan preview my_pictures/
  graftgan preview my_pictures/ --augment light --rows 8 --out light.png
  graftgan preview my_pictures/ --augment ada --probability 0.5
"""


@dataclass(frozen=True)
class Preview:
    """What to show."""

    pictures: tyro.conf.Positional[Path]
    """A folder, zip or npz of pictures."""
    augment: Annotated[str, NamesDoc("The augmentation policy: {}.", POLICIES)] = (
        "diffaugment_color_translation"
    )
    resolution: int = 64
    """Height and width of the pictures, in pixels."""
    rows: int = 6
    """How many pictures."""
    seed: int = 0
    """The seed of the choice and of the augmentation."""
    out: Path = Path("preview.png")
    """The grid to write."""
    data: Annotated[DataSettings, tyro.conf.arg(name="")] = field(default_factory=DataSettings)
    augmentation: Annotated[AugmentationSettings, tyro.conf.arg(name="")] = field(
        default_factory=AugmentationSettings
    )


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan preview"
    options = parse_flags(Preview, arguments, prog=prog, description=DESCRIPTION)
    shown = settings_to_show(options.augment, options.augmentation)
    augmenter = build_augmenter(options.augment, shown)
    images = load_image_set(
        options.pictures,
        options.data,
        resolution=options.resolution,
        seed=options.seed,
        progress=partial(ScreenObserver().progress, "reading pictures"),
    )
    console.print(images.summary())
    rows = min(options.rows, len(images.pictures))
    save_png(preview_grid(images.pictures, augmenter, rows=rows, seed=options.seed), options.out)
    console.print(f"look at {options.out}")
    return 0
