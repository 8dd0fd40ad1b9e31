"""``graftgan interpolate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.model_arguments import open_generator
from graftgan.cli.screen import console
from graftgan.models.video import write_film
from graftgan.networks.sampling import (
    generate,
    interpolation_latents,
    interpolation_through_classes,
)

DESCRIPTION = """Make a film that walks between random pictures and ends where it began.

examples:
  graftgan interpolate runs/my_pictures                       walk.gif
  graftgan interpolate runs/my_pictures --stops 12 --out walk.mp4
  graftgan interpolate runs/my_classes --class anime          within one class, not through all
  graftgan interpolate avatars-64 --adapter runs/a:0.7        most of the way to a domain
"""


@dataclass(frozen=True)
class Interpolate:
    """The walk."""

    model: tyro.conf.Positional[str]
    """A run folder, a source's name, or a source folder."""
    iteration: int | None = None
    """The checkpoint of a run; without it, the newest."""
    of_class: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Walk within this class of a model with classes; without it, from class to class."""
    adapter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A run folder or adapter file made on the model, such as runs/a or runs/a:0.5; may be given
    several times."""
    stops: int = 8
    """Random pictures on the way."""
    frames: int = 20
    """Frames from one stop to the next."""
    frames_per_second: int = 20
    """Speed of the film; a GIF has 50 at most."""
    size: int = 256
    """Height and width of the film in pixels; pictures are enlarged to it."""
    seed: int = 0
    """The seed of the stops."""
    truncation: float = 1.0
    """Below 1 pictures lie nearer to the average one: fewer surprises, less variety."""
    out: Path = Path("walk.gif")
    """A .gif file, or a .mp4 file (needs the extra `video`)."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan interpolate"
    options = parse_flags(Interpolate, arguments, prog=prog, description=DESCRIPTION)
    generator = open_generator(options.model, iteration=options.iteration, adapters=options.adapter)
    architecture = generator.architecture
    walk = interpolation_latents(
        options.stops,
        options.frames,
        architecture.latent_size,
        seed=options.seed,
    )
    latents = interpolation_through_classes(
        architecture, walk, frames_between=options.frames, of_class=options.of_class
    )
    speed = write_film(
        generate(generator, latents, truncation=options.truncation),
        options.out,
        frames_per_second=options.frames_per_second,
        size=options.size,
    )
    console.print(f"{len(latents)} frames in {options.out}")
    if speed != options.frames_per_second:
        console.print(
            f"note: it has {speed} frames per second, not {options.frames_per_second}: no GIF is "
            "faster; a .mp4 can be"
        )
    return 0
