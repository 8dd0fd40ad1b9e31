"""Measure how diverse sets of pictures are, and how much of each other they cover.

examples:
  graftgan data stats my_pictures/
  graftgan data stats rooms.zip faces.zip mixed.zip my_pictures/ --out sets.html
"""

from pathlib import Path

from tyro.conf import Positional

from graftgan.cli.terminal import Device, console, subverbs, table_of, with_bars
from graftgan.metrics.settings import ExtractorSettings
from graftgan.pictures.set_statistics import (
    NEIGHBOURS,
    SET_HEADINGS,
    recall_rows,
    set_rows,
    set_statistics,
    write_sets_report,
)
from graftgan.training import choose_hardware


def stats(
    sets: Positional[tuple[Path, ...]],
    out: Path = Path("sets.html"),
    count: int = 1000,
    resolution: int = 64,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Measure Vendi, the mean distance of two pictures, and recall between sets; write a page.

    Args:
        sets: Folders, zips or npz files of pictures.
        out: The page to write.
        count: The most pictures of each set; all sets are measured with the same number.
        resolution: Height and width at which pictures are compared, in pixels.
        seed: The seed of the choice of pictures and of the resamples.
    """
    where = str(choose_hardware(device, "float32").device)
    with with_bars() as progress:
        found = set_statistics(
            sets, resolution=resolution, count=count, seed=seed, device=where, progress=progress
        )
    console.print(table_of(SET_HEADINGS, set_rows(found), overflow="fold"))
    if len(found) > 1:
        console.print("share of each row's set that lies within the column's:")
        headings = ["of", *(one.name for one in found)]
        console.print(table_of(headings, recall_rows(found), overflow="fold"))
    protocol = {
        "pictures measured of each": str(found[0].measured),
        "resolution": f"{resolution} px",
        "features": ExtractorSettings().extractor,
        "neighbours of the recall": str(NEIGHBOURS),
        "seed": str(seed),
    }
    console.print(f"look at {write_sets_report(found, out, protocol=protocol)}")


main = subverbs(__name__, stats=stats)
