"""Score real pictures against other real pictures of the same set.

Below this floor no generator can be told from a perfect one. It depends on the number of pictures:
look here before you read a score.

examples:
  graftgan floor my_pictures/
  graftgan floor all_pictures.zip --sizes 100 500 2000 --metrics kid fid precision_recall
"""

from typing import Annotated

from tyro.conf import arg

from graftgan.cli.terminal import Device, PicturesPath, console, table_of, verb, with_bars
from graftgan.core.registry import NamesDoc
from graftgan.metrics.metric import METRICS
from graftgan.metrics.score import Floor
from graftgan.metrics.settings import ExtractorSettings
from graftgan.reports import in_words
from graftgan.runs.evaluation import floor
from graftgan.training import choose_hardware

_USUAL = ExtractorSettings()


@verb
def main(
    pictures: PicturesPath,
    sizes: tuple[int, ...] = (50, 100, 500),
    metrics: Annotated[tuple[str, ...], NamesDoc("{}.", METRICS)] = ("kid", "fid"),
    resolution: int = 64,
    repeats: int = 10,
    seed: int = 0,
    network: Annotated[ExtractorSettings, arg(name="")] = _USUAL,
    device: Device = "auto",
) -> None:
    """Measure the floor of scores.

    Args:
        sizes: Numbers of pictures on each side.
        resolution: Height and width of the pictures, in pixels.
        repeats: Random splits of the set.
        seed: The seed of the splits.
        network: The feature network.
    """
    with with_bars() as progress:
        floors = floor(
            pictures,
            sizes,
            resolution=resolution,
            metrics=metrics,
            network=network,
            seed=seed,
            repeats=repeats,
            device=str(choose_hardware(device, "float32").device),
            progress=progress,
        )
    names = list(dict.fromkeys(name for found in floors.values() for name in found))
    headings = ["pictures", *(name.replace("(", "\n(") for name in names)]
    table = table_of(headings, title="real against real: mean [lowest, highest]", numbers_from=1)
    for size, found in floors.items():
        counts = {floor.count for floor in found.values()} or {size}
        fewer = "" if counts == {size} else f"\n(no {size} twice)"
        cells = [_range(found[name]) if name in found else "cannot be measured" for name in names]
        table.add_row("/".join(map(str, sorted(counts))) + fewer, *cells)
    console.print(table)


def _range(floor: Floor) -> str:
    return f"{in_words(floor.mean)} [{in_words(floor.low)}, {in_words(floor.high)}]"
