"""Make a video that walks between random pictures and ends where it began.

examples:
  graftgan interpolate runs/my_pictures                       walk.gif
  graftgan interpolate runs/my_pictures --stops 12 --out walk.mp4
  graftgan interpolate runs/my_classes --class anime          within one class, not through all
  graftgan interpolate avatars-64 --adapter runs/a:0.7        most of the way to a domain
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from graftgan.cli.model_arguments import Version, free_place
from graftgan.cli.terminal import Model, Truncation, console, verb
from graftgan.models.video import write_video
from graftgan.networks.sampling import (
    generate,
    interpolation_latents,
    interpolation_through_classes,
)


@verb
def main(
    model: Model,
    version: Version,
    of_class: Annotated[str | None, arg(name="class")] = None,
    stops: int = 8,
    frames: int = 20,
    frames_per_second: int = 20,
    size: int = 256,
    seed: int = 0,
    truncation: Truncation = 1.0,
    out: Path | None = None,
) -> None:
    """Make a video.

    Args:
        of_class: Walk within this class of a model with classes; without it, from class to class.
        stops: Random pictures on the way.
        frames: Frames from one stop to the next.
        frames_per_second: Speed of the video; a GIF has 50 at most.
        size: Height and width of the video in pixels; pictures are enlarged to it.
        seed: The seed of the stops.
        out: A .gif file, or a .mp4 file (needs the extra `video`); without it, walk.gif, or
            walk_2.gif where that exists.
    """
    out = free_place(out, "walk.gif")
    generator = version.open_generator(model)
    architecture = generator.architecture
    walk = interpolation_latents(stops, frames, architecture.latent_size, seed=seed)
    latents = interpolation_through_classes(
        architecture, walk, frames_between=frames, of_class=of_class
    )
    video = generate(generator, latents, truncation=truncation)
    speed = write_video(video, out, frames_per_second=frames_per_second, size=size)
    console.print(f"{len(latents)} frames in {out}")
    if speed != frames_per_second:
        console.print(
            f"note: it has {speed} frames per second, not {frames_per_second}: no GIF is "
            "faster; a .mp4 can be"
        )
