"""Work with the styles of a StyleGAN.

examples:
  graftgan styles mix runs/my_pictures --rows 1-4 --columns 5-10      mixed.png
  graftgan styles mix runs/my_pictures --rows 3 --columns 5-10 --layers 4-9 --truncation 0.7
  graftgan styles project runs/my_pictures portrait.png               projected/
  graftgan styles project runs/my_pictures portraits/ --space w+ --steps 1000
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from graftgan.checkpoints import save_tensors
from graftgan.cli.model_arguments import Version, free_place, whole_numbers
from graftgan.cli.terminal import Model, Truncation, console, subverbs, with_bars
from graftgan.core.errors import SettingsError
from graftgan.core.files import refuse_existing, write_json, written_whole
from graftgan.core.network_types import Architecture, PictureBytes
from graftgan.models.styles import ProjectionSettings, mixed_grid, project, styled
from graftgan.pictures import DataSettings, load_image_set, load_picture
from graftgan.reports import pairs_in_rows, picture_grid, save_png

_SHOWN = 32  # pictures on the grid of a projection
_USUAL = ProjectionSettings()


def mix(
    model: Model,
    version: Version,
    rows: str = "0-3",
    columns: str = "4-9",
    layers: str | None = None,
    truncation: Truncation = 1.0,
    out: Path | None = None,
) -> None:
    """Draw a grid of pictures with some layers' styles from above and the rest from the left.

    Args:
        rows: Seeds of the pictures on the left, such as 1,5,8-10.
        columns: Seeds of the pictures above.
        layers: Which layers take the style from above, such as 0-3; without it, the coarse half.
        out: The .png file; without it, mixed.png, or mixed_2.png where that exists.
    """
    out = free_place(out, "mixed.png")
    if out.suffix.lower() != ".png":
        raise SettingsError(f"'{out}' is no picture: its name must end in .png")
    generator = version.open_generator(model)
    grid = mixed_grid(
        generator,
        whole_numbers(rows, flag="--rows"),
        whole_numbers(columns, flag="--columns"),
        layers=None if layers is None else whole_numbers(layers, flag="--layers"),
        truncation=truncation,
    )
    save_png(picture_grid(grid.flatten(0, 1), columns=grid.shape[1]), out)
    console.print(f"{grid.shape[0] - 1} x {grid.shape[1] - 1} mixed pictures in {out}")


def find(
    model: Model,
    version: Version,
    pictures: Positional[Path],
    search: OmitArgPrefixes[ProjectionSettings] = _USUAL,
    of_class: Annotated[str | None, arg(name="class")] = None,
    out: Path = Path("projected"),
) -> None:
    """Find the styles whose pictures are nearest to yours; write them with a grid.

    Args:
        pictures: A picture, or a folder, zip or npz of pictures.
        search: How to look.
        of_class: Where the search begins, for a model with classes.
        out: The folder for styles.safetensors, projected.png and projection.json.
    """
    refuse_existing(out)
    generator = styled(version.open_generator(model))
    names, wanted = _pictures_for(generator.architecture, pictures)
    with with_bars() as progress:
        found = project(generator, wanted, search, of_class=of_class, progress=progress)
    ends, starts = found.distances, found.mean_distances
    with written_whole(out) as partial:
        partial.mkdir()
        save_tensors(partial / "styles.safetensors", {"styles": found.styles})
        columns = min(8, len(wanted))
        grid = pairs_in_rows(wanted[:_SHOWN], found.drawn[:_SHOWN], columns=columns)
        save_png(picture_grid(grid, columns=columns), partial / "projected.png")
        distances = {
            name: {"distance": float(end), "of the mean style": float(start)}
            for name, end, start in zip(names, ends, starts, strict=True)
        }
        write_json(partial / "projection.json", distances)
    console.print(
        f"{len(wanted)} pictures: distance {float(ends.mean()):.3f}, that of "
        f"the mean style {float(starts.mean()):.3f}; look at {out}"
    )


def _pictures_for(known: Architecture, place: Path) -> tuple[Sequence[str], PictureBytes]:
    """Return names and pictures of a file, or of a set, at the size that a model draws."""
    if place.is_file() and place.suffix.lower() not in {".zip", ".npz"}:
        picture = load_picture(place, resolution=known.resolution, channels=known.channels)
        return [place.name], picture
    data = DataSettings(channels=known.channels)
    images = load_image_set(place, data, resolution=known.resolution, seed=0)
    return images.names, images.pictures


main = subverbs(__name__, mix=mix, project=find)
