"""Show your pictures as the discriminator sees them: each beside two augmented versions.

examples:
  graftgan preview my_pictures/
  graftgan preview my_pictures/ --augment light --rows 8 --out light.png
  graftgan preview my_pictures/ --augment ada --probability 0.5
"""

from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from graftgan.cli.model_arguments import free_place
from graftgan.cli.terminal import PicturesPath, ScreenObserver, console, verb
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

_USUAL_DATA, _USUAL_AUGMENTATION = DataSettings(), AugmentationSettings()


@verb
def main(
    pictures: PicturesPath,
    augment: Annotated[
        str, NamesDoc("The augmentation policy: {}.", POLICIES)
    ] = "diffaugment_color_translation",
    resolution: int = 64,
    rows: int = 6,
    seed: int = 0,
    out: Path | None = None,
    data: Annotated[DataSettings, arg(name="")] = _USUAL_DATA,
    augmentation: Annotated[AugmentationSettings, arg(name="")] = _USUAL_AUGMENTATION,
) -> None:
    """Show augmented pictures.

    Args:
        resolution: Height and width of the pictures, in pixels.
        rows: How many pictures.
        seed: The seed of the choice and of the augmentation.
        out: The grid to write; without it, preview.png, or preview_2.png where that exists.
        data: How pictures are read.
        augmentation: How they are augmented.
    """
    out = free_place(out, "preview.png")
    augmenter = build_augmenter(augment, settings_to_show(augment, augmentation))
    progress = partial(ScreenObserver().progress, "reading pictures")
    images = load_image_set(pictures, data, resolution=resolution, seed=seed, progress=progress)
    console.print(images.summary())
    rows = min(rows, len(images.pictures))
    save_png(preview_grid(images.pictures, augmenter, rows=rows, seed=seed), out)
    console.print(f"look at {out}")
