"""``graftgan sample``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from PIL import Image

from graftgan.cli.arguments import parse_flags
from graftgan.cli.model_arguments import open_generator, whole_numbers
from graftgan.cli.screen import console, with_bar
from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import written_whole
from graftgan.core.network_types import Architecture
from graftgan.core.tensors import Latents, PictureBytes
from graftgan.models.video import FILM_KINDS
from graftgan.networks.sampling import generate, labels_in_parts, latents_for, latents_of_seeds
from graftgan.reports import picture_grid, save_png

DESCRIPTION = """Draw pictures from a run or a source.

examples:
  graftgan sample runs/my_pictures                            a grid of 64 as samples.png
  graftgan sample avatars-64 --count 9 --seed 3 --out nine.png
  graftgan sample runs/my_pictures --count 500 --out pictures/   single files
  graftgan sample runs/my_pictures --seeds 3,7,20-29      a picture for each seed
  graftgan sample runs/my_pictures --truncation 0.7           fewer surprises, less variety
  graftgan sample runs/my_classes --class anime               one class of a model with several
  graftgan sample avatars-64 --adapter runs/a:0.5 --adapter runs/b:0.5   half of each domain
"""


_NO_FOLDERS = FILM_KINDS | {".zip", ".npz", ".html", ".svg"}


@dataclass(frozen=True)
class Sample:
    """What to draw."""

    model: tyro.conf.Positional[str]
    """A run folder, a source's name, or a source folder."""
    iteration: int | None = None
    """The checkpoint of a run; without it, the newest."""
    of_class: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class of a model with classes; without it, all of them, row by row."""
    adapter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A run folder or adapter file made on the model, such as runs/a or runs/a:0.5; may be given
    several times."""
    count: int = 64
    """How many pictures."""
    seed: int = 0
    """The seed; the same seed gives the same pictures."""
    seeds: str | None = None
    """One picture for each of these seeds, such as 3,7,20-29, instead of --count and --seed."""
    truncation: float = 1.0
    """Below 1 pictures lie nearer to the average one: fewer surprises, less variety."""
    out: Path = Path("samples.png")
    """A .png file for one grid, or a folder for single files."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan sample"
    options = parse_flags(Sample, arguments, prog=prog, description=DESCRIPTION)
    as_grid = is_png(options.out)
    generator = open_generator(options.model, iteration=options.iteration, adapters=options.adapter)
    latents = _latents(generator.architecture, options)
    count = len(latents)
    pictures = generate(generator, latents, truncation=options.truncation)
    parts = {"": pictures}
    if generator.architecture.classes and options.of_class is None:
        parts = _by_class(pictures, generator.architecture)
    if as_grid:
        columns = max(1, round(count**0.5))
        save_png(picture_grid(_in_rows(parts.values(), columns), columns=columns), options.out)
    else:
        write_single_files(parts, options.out, seed=options.seed)
    console.print(f"{count} pictures in {options.out}")
    return 0


def is_png(path: Path) -> bool:
    """Return whether ``path`` names a .png file; else it names a folder, such as ``trunc0.7``.

    Raises:
        SettingsError: It names a picture, film or page of another kind.
    """
    ending = path.suffix.lower()
    if ending != ".png" and (ending in Image.registered_extensions() or ending in _NO_FOLDERS):
        raise SettingsError(f"'{path}' is neither a .png file nor a folder")
    return ending == ".png"


def _latents(architecture: Architecture, options: Sample) -> Latents:
    if options.seeds is None:
        return latents_for(
            architecture, options.count, seed=options.seed, of_class=options.of_class
        )
    seeds = whole_numbers(options.seeds, flag="--seeds")
    return latents_of_seeds(architecture, seeds, of_class=options.of_class)


def _by_class(pictures: PictureBytes, architecture: Architecture) -> dict[str, PictureBytes]:
    labels = labels_in_parts(architecture, len(pictures))
    parts = {name: pictures[labels == i] for i, name in enumerate(architecture.classes)}
    return {name: part for name, part in parts.items() if len(part)}


def _in_rows(parts: Iterable[PictureBytes], columns: int) -> PictureBytes:
    """Return all pictures, filled up with black ones so that every part begins a row."""
    padded: list[PictureBytes] = []
    for part in parts:
        missing = -len(part) % columns
        padded += [part, part.new_zeros(missing, *part.shape[1:])]
    return torch.cat(padded[:-1])


def write_single_files(parts: Mapping[str, PictureBytes], folder: Path, *, seed: int) -> None:
    """Write each picture as ``seed<seed>-<number>.png`` into a new folder, whole.

    Each part lies in the subfolder of its name, so that classes can be read as labels again; the
    part without a name lies in the folder itself.

    Raises:
        RunError: The folder exists, or cannot be written.
    """
    if folder.exists():
        raise RunError(f"{folder} exists already; choose another --out")

    with written_whole(folder) as partial:
        for name in parts:
            (partial / name).mkdir(parents=True)
        pictures = [(name, picture) for name, part in parts.items() for picture in part]

        def write(progress: Callable[[int, int], None]) -> None:
            for number, (name, picture) in enumerate(pictures):
                image = picture_grid(picture[None], columns=1)
                image.save(partial / name / f"seed{seed}-{number:05d}.png")
                progress(number + 1, len(pictures))

        with_bar("writing pictures", write)
