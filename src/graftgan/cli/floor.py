"""``graftgan floor``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.score_tables import floor_table
from graftgan.cli.screen import console, with_bars
from graftgan.core.registry import NamesDoc
from graftgan.metrics import METRICS, ExtractorSettings
from graftgan.runs.evaluation import floor
from graftgan.training import choose_hardware

DESCRIPTION = """What real pictures score against other real pictures of the same set.

No generator can be told from perfect below this floor, and it depends on the number of pictures:
look here before reading a score.

examples:
  graftgan floor my_pictures/
  graftgan floor all_pictures.zip --sizes 100 500 2000 --metrics kid fid precision_recall
"""


@dataclass(frozen=True)
class FloorOptions:
    """What to measure."""

    pictures: tyro.conf.Positional[Path]
    """A folder, zip or npz of pictures."""
    sizes: tuple[int, ...] = (50, 100, 500)
    """Pictures on each side."""
    metrics: Annotated[tuple[str, ...], NamesDoc("{}.", METRICS)] = ("kid", "fid")
    resolution: int = 64
    """Height and width of the pictures, in pixels."""
    repeats: int = 10
    """Random splits of the set."""
    seed: int = 0
    """The seed of the splits."""
    network: Annotated[ExtractorSettings, tyro.conf.arg(name="")] = field(
        default_factory=ExtractorSettings
    )
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan floor"
    options = parse_flags(FloorOptions, arguments, prog=prog, description=DESCRIPTION)
    with with_bars() as progress:
        floors = floor(
            options.pictures,
            options.sizes,
            resolution=options.resolution,
            metrics=options.metrics,
            network=options.network,
            seed=options.seed,
            repeats=options.repeats,
            device=str(choose_hardware(options.device, "float32").device),
            progress=progress,
        )
    console.print(floor_table(floors))
    return 0
