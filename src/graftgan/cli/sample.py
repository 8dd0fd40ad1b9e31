"""Draw pictures from a run or a source.

examples:
  graftgan sample runs/my_pictures                            a grid of 64 as samples.png
  graftgan sample avatars-64 --count 9 --seed 3 --out nine.png
  graftgan sample runs/my_pictures --count 500 --out pictures/   single files
  graftgan sample runs/my_pictures --seeds 3,7,20-29      a picture for each seed
  graftgan sample runs/my_pictures --truncation 0.7           fewer surprises, less variety
  graftgan sample runs/my_classes --class anime               one class of a model with several
  graftgan sample avatars-64 --adapter runs/a:0.5 --adapter runs/b:0.5   half of each domain
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image
from tyro.conf import arg

from graftgan.cli.model_arguments import Version, free_place, whole_numbers
from graftgan.cli.terminal import Model, Truncation, console, verb, with_bars
from graftgan.core.errors import SettingsError
from graftgan.core.files import written_whole
from graftgan.core.network_types import PictureBytes
from graftgan.models.video import VIDEO_KINDS
from graftgan.networks.sampling import generate, labels_in_parts, latents_for, latents_of_seeds
from graftgan.reports import picture_grid, save_png

_NO_FOLDERS = VIDEO_KINDS | {".zip", ".npz", ".html", ".svg"}


@verb
def main(
    model: Model,
    version: Version,
    of_class: Annotated[str | None, arg(name="class")] = None,
    count: int = 64,
    seed: int = 0,
    seeds: str | None = None,
    truncation: Truncation = 1.0,
    out: Path | None = None,
) -> None:
    """Draw pictures.

    Args:
        of_class: Draw this class of a model with classes; without it, all of them, row by row.
        count: How many pictures.
        seed: The seed; the same seed gives the same pictures.
        seeds: One picture for each of these, such as 3,7,20-29, instead of --count and --seed.
        out: A .png file for one grid, or a folder for single files; without it, samples.png, or
            samples_2.png where that exists.
    """
    out = free_place(out, "samples.png")
    as_grid = is_png(out)
    generator = version.open_generator(model)
    architecture = generator.architecture
    if seeds is None:
        latents = latents_for(architecture, count, seed=seed, of_class=of_class)
    else:
        numbers = whole_numbers(seeds, flag="--seeds")
        latents = latents_of_seeds(architecture, numbers, of_class=of_class)
    pictures = generate(generator, latents, truncation=truncation)
    parts = {"": pictures}
    if architecture.classes and of_class is None:
        labels = labels_in_parts(architecture, len(pictures))
        by_class = {name: pictures[labels == i] for i, name in enumerate(architecture.classes)}
        parts = {name: part for name, part in by_class.items() if len(part)}
    if as_grid:
        columns = max(1, round(len(pictures) ** 0.5))
        save_png(picture_grid(_in_rows([*parts.values()], columns), columns=columns), out)
    else:
        _write_single_files(parts, out, seed=seed)
    console.print(f"{len(pictures)} pictures in {out}")


def is_png(path: Path) -> bool:
    """Return whether ``path`` names a .png file; else it names a folder, such as ``trunc0.7``.

    Raises:
        SettingsError: It names a picture, video or page of another kind.
    """
    ending = path.suffix.lower()
    if ending != ".png" and (ending in Image.registered_extensions() or ending in _NO_FOLDERS):
        raise SettingsError(f"'{path}' is neither a .png file nor a folder")
    return ending == ".png"


def _in_rows(parts: list[PictureBytes], columns: int) -> PictureBytes:
    """Return all pictures, filled up with black ones so that every part begins a row."""
    padded: list[PictureBytes] = []
    for part in parts:
        padded += [part, part.new_zeros(-len(part) % columns, *part.shape[1:])]
    return torch.cat(padded[:-1])


def _write_single_files(parts: Mapping[str, PictureBytes], folder: Path, *, seed: int) -> None:
    """Write each picture as ``seed<seed>-<number>.png`` into a new folder, whole.

    Each part lies in the subfolder of its name, so that classes can be read as labels again; the
    part without a name lies in the folder itself.

    Raises:
        RunError: The folder cannot be written.
    """
    with written_whole(folder) as partial, with_bars() as progress:
        for name in parts:
            (partial / name).mkdir(parents=True)
        pictures = [(name, picture) for name, part in parts.items() for picture in part]
        for number, (name, picture) in enumerate(pictures):
            image = picture_grid(picture[None], columns=1)
            image.save(partial / name / f"seed{seed}-{number:05d}.png")
            progress("writing pictures", number + 1, len(pictures))
