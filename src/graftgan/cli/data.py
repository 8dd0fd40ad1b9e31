"""``graftgan data``."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from graftgan.cli.arguments import call_subcommand
from graftgan.cli.screen import console, table_of, with_bars
from graftgan.metrics import Estimate, ExtractorSettings
from graftgan.pictures.set_page import (
    SET_HEADINGS,
    SetEntry,
    recall_rows,
    set_rows,
    write_sets_report,
)
from graftgan.pictures.set_statistics import NEIGHBOURS, SetStatistics, set_statistics
from graftgan.training import choose_hardware

DESCRIPTION = """How diverse sets of pictures are, and how much of one another they cover.

examples:
  graftgan data stats my_pictures/
  graftgan data stats rooms.zip faces.zip mixed.zip my_pictures/ --out sets.html
"""


def stats(
    sets: tyro.conf.Positional[tuple[Path, ...]],
    out: Path = Path("sets.html"),
    count: int = 1000,
    resolution: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Measure Vendi, the mean distance of two pictures, and recall between sets; write a page.

    Args:
        sets: Folders, zips or npz files of pictures.
        out: The page to write.
        count: At most so many pictures of each set; all are measured with the same number.
        resolution: Height and width at which pictures are compared, in pixels.
        seed: Of the choice of pictures and of the resamples.
        device: auto, cpu, cuda, cuda:N or mps.
    """
    where = str(choose_hardware(device, "float32").device)
    with with_bars() as progress:
        found = set_statistics(
            sets, resolution=resolution, count=count, seed=seed, device=where, progress=progress
        )
    entries = [_entry(one) for one in found]
    console.print(table_of(SET_HEADINGS, set_rows(entries), overflow="fold"))
    if len(entries) > 1:
        console.print("share of each row's set that lies within the column's:")
        headings = ["of", *(entry.name for entry in entries)]
        console.print(table_of(headings, recall_rows(entries), overflow="fold"))
    protocol = {
        "pictures measured of each": str(found[0].measured),
        "resolution": f"{resolution} px",
        "features": ExtractorSettings().extractor,
        "neighbours of the recall": str(NEIGHBOURS),
        "seed": str(seed),
    }
    console.print(f"look at {write_sets_report(entries, out, protocol=protocol)}")


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    call_subcommand({"stats": stats}, arguments, prog="graftgan data", description=DESCRIPTION)
    return 0


def _entry(found: SetStatistics) -> SetEntry:
    def plain(estimate: Estimate) -> tuple[float, float, float]:
        return estimate.value, estimate.low, estimate.high

    return SetEntry(
        name=found.name,
        total=found.total,
        vendi=plain(found.vendi),
        distance=plain(found.distance),
        recalled_by={name: plain(share) for name, share in found.recalled_by.items()},
        examples=found.examples,
    )
