"""``graftgan sample``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.models import open_generator
from graftgan.cli.screen import console, with_bar
from graftgan.errors import RunError, SettingsError
from graftgan.files import written_whole
from graftgan.reports import picture_grid, save_png
from graftgan.sampling import generate, random_latents
from graftgan.tensors import PictureBytes

DESCRIPTION = """Draw pictures from a run or a source.

examples:
  graftgan sample runs/my_pictures                            a grid of 64 as samples.png
  graftgan sample avatars-64 --count 9 --seed 3 --out nine.png
  graftgan sample runs/my_pictures --count 500 --out pictures/   single files
  graftgan sample runs/my_pictures --truncation 0.7           fewer surprises, less variety
  graftgan sample avatars-64 --adapter runs/a:0.5 --adapter runs/b:0.5   half of each domain
"""


@dataclass(frozen=True)
class Sample:
    """What to draw."""

    model: tyro.conf.Positional[str]
    """A run folder, a source's name, or a source folder."""
    iteration: int | None = None
    """The checkpoint of a run; without it, the newest."""
    adapter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A run folder or adapter file made on the model, such as runs/a or runs/a:0.5; may be given
    several times."""
    count: int = 64
    """How many pictures."""
    seed: int = 0
    """The seed; the same seed gives the same pictures."""
    truncation: float = 1.0
    """Scale of the latents: below 1 they lie nearer to the average picture."""
    out: Path = Path("samples.png")
    """A .png file for one grid, or a folder for single files."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan sample"
    options = parse_flags(Sample, arguments, prog=prog, description=DESCRIPTION)
    as_grid = options.out.suffix.lower() == ".png"
    if options.out.suffix and not as_grid:
        raise SettingsError(f"'{options.out}' is neither a .png file nor a folder")
    generator = open_generator(options.model, iteration=options.iteration, adapters=options.adapter)
    size = generator.architecture.latent_size
    latents = random_latents(options.count, size, seed=options.seed, truncation=options.truncation)
    pictures = generate(generator, latents)
    if as_grid:
        columns = max(1, round(options.count**0.5))
        save_png(picture_grid(pictures, columns=columns), options.out)
    else:
        write_single_files(pictures, options.out, seed=options.seed)
    console.print(f"{options.count} pictures in {options.out}")
    return 0


def write_single_files(pictures: PictureBytes, folder: Path, *, seed: int) -> None:
    """Write each picture as ``seed<seed>-<number>.png`` into a new folder, whole.

    Raises:
        RunError: The folder exists, or cannot be written.
    """
    if folder.exists():
        raise RunError(f"{folder} exists already; choose another --out")

    with written_whole(folder) as partial:
        partial.mkdir()

        def write(progress: Callable[[int, int], None]) -> None:
            for number, picture in enumerate(pictures):
                image = picture_grid(picture[None], columns=1)
                image.save(partial / f"seed{seed}-{number:05d}.png")
                progress(number + 1, len(pictures))

        with_bar("writing pictures", write)
