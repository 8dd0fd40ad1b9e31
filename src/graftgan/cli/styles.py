"""``graftgan styles``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.checkpoints import save_tensors
from graftgan.cli.arguments import call_subcommand
from graftgan.cli.model_arguments import open_generator, whole_numbers
from graftgan.cli.screen import console, with_bars
from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import write_json, written_whole
from graftgan.core.network_types import Architecture
from graftgan.core.tensors import PictureBytes
from graftgan.models.projection import ProjectionSettings, project
from graftgan.models.styles import mixed_grid, styled
from graftgan.pictures import DataSettings, load_image_set, load_picture
from graftgan.reports import pairs_in_rows, picture_grid, save_png

DESCRIPTION = """Work with the styles of a StyleGAN.

examples:
  graftgan styles mix runs/my_pictures --rows 1-4 --columns 5-10      mixed.png
  graftgan styles mix runs/my_pictures --rows 3 --columns 5-10 --layers 4-9 --truncation 0.7
  graftgan styles project runs/my_pictures portrait.png               projected/
  graftgan styles project runs/my_pictures portraits/ --space w+ --steps 1000
"""

_SHOWN = 32  # pictures on the grid of a projection
_USUAL = ProjectionSettings()


def mix(
    model: tyro.conf.Positional[str],
    rows: str = "0-3",
    columns: str = "4-9",
    layers: str | None = None,
    truncation: float = 1.0,
    iteration: int | None = None,
    adapter: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    out: Path = Path("mixed.png"),
) -> None:
    """Draw a grid of pictures with some layers' styles from above and the rest from the left.

    Args:
        model: A run folder, a source's name, or a source folder.
        rows: Seeds of the pictures on the left, such as 1,5,8-10.
        columns: Seeds of the pictures above.
        layers: Which layers take the style from above, such as 0-3; without it, the coarse half.
        truncation: Below 1 pictures lie nearer to the average one.
        iteration: The checkpoint of a run; without it, the newest.
        adapter: A run folder or adapter file made on the model; may be given several times.
        out: The .png file.
    """
    if out.suffix.lower() != ".png":
        raise SettingsError(f"'{out}' is no picture: its name must end in .png")
    generator = open_generator(model, iteration=iteration, adapters=adapter)
    chosen = None if layers is None else whole_numbers(layers, flag="--layers")
    grid = mixed_grid(
        generator,
        whole_numbers(rows, flag="--rows"),
        whole_numbers(columns, flag="--columns"),
        layers=chosen,
        truncation=truncation,
    )
    save_png(picture_grid(grid.flatten(0, 1), columns=grid.shape[1]), out)
    console.print(f"{grid.shape[0] - 1} x {grid.shape[1] - 1} mixed pictures in {out}")


def find(
    model: tyro.conf.Positional[str],
    pictures: tyro.conf.Positional[Path],
    search: tyro.conf.OmitArgPrefixes[ProjectionSettings] = _USUAL,
    of_class: Annotated[str | None, tyro.conf.arg(name="class")] = None,
    iteration: int | None = None,
    adapter: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    out: Path = Path("projected"),
) -> None:
    """Find the styles whose pictures are nearest to yours; write them and a grid.

    Args:
        model: A run folder, a source's name, or a source folder.
        pictures: A picture, or a folder, zip or npz of pictures.
        search: How to look.
        of_class: Where the search begins, for a model with classes.
        iteration: The checkpoint of a run; without it, the newest.
        adapter: A run folder or adapter file made on the model; may be given several times.
        out: The folder for styles.safetensors, projected.png and projection.json.
    """
    if out.exists():
        raise RunError(f"{out} exists already; choose another --out")
    generator = styled(open_generator(model, iteration=iteration, adapters=adapter))
    names, wanted = _pictures_for(generator.architecture, pictures)
    with with_bars() as progress:
        found = project(generator, wanted, search, of_class=of_class, progress=progress)
    with written_whole(out) as partial:
        partial.mkdir()
        save_tensors(partial / "styles.safetensors", {"styles": found.styles})
        columns = min(8, len(wanted))
        grid = pairs_in_rows(wanted[:_SHOWN], found.drawn[:_SHOWN], columns=columns)
        save_png(picture_grid(grid, columns=columns), partial / "projected.png")
        distances = zip(names, found.distances, found.mean_distances, strict=True)
        write_json(
            partial / "projection.json",
            {
                name: {"distance": float(end), "of the mean style": float(start)}
                for name, end, start in distances
            },
        )
    console.print(
        f"{len(wanted)} pictures: distance {float(found.distances.mean()):.3f}, that of "
        f"the mean style {float(found.mean_distances.mean()):.3f}; look at {out}"
    )


def _pictures_for(known: Architecture, place: Path) -> tuple[Sequence[str], PictureBytes]:
    """Return names and pictures of a file, or of a set, at the size that a model draws."""
    if place.is_file() and place.suffix.lower() not in {".zip", ".npz"}:
        picture = load_picture(place, resolution=known.resolution, channels=known.channels)
        return [place.name], picture
    data = DataSettings(channels=known.channels)
    images = load_image_set(place, data, resolution=known.resolution, seed=0)
    return images.names, images.pictures


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    call_subcommand(
        {"mix": mix, "project": find}, arguments, prog="graftgan styles", description=DESCRIPTION
    )
    return 0
