"""Pictures per second of a curation: each filter alone, and all of them on 1 and more processes.

The pictures are drawn (JPEG, 600 x 400), so that anyone can repeat it; photographs take the
text and face filters longer or shorter as there is more or less to be read in them. Filters are
timed on one thread in this process, after one picture that builds them. The whole pipeline runs
with one process and with several, in turns, in folders of their own; only the ratio of one run
means something. Memory is the largest of this process and of its workers.

    python benchmarks/curate.py --pictures 2000 --json benchmarks/results/curate.json
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from graftgan.pictures import decode_whole
from graftgan.pictures.curation import FILTERS, CurationSettings, Tools, curate, rules_of
from graftgan.pictures.curation.filters.filter import LONGEST_SIDE, PictureView, picture_view

SIZE = (600, 400)
QUALITY = 90


def draw(folder: Path, count: int) -> None:
    """Draw pictures with edges at all scales, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        planes = np.zeros((SIZE[1], SIZE[0], 3))
        for cells in (5, 20, 80):
            coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            planes += np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC)) / 3
        pixels = np.clip(planes + rng.normal(0, 6, planes.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.jpg", quality=QUALITY)


def view_in(path: Path) -> PictureView:
    """Return the view of a file's picture."""
    whole = decode_whole(path.read_bytes(), least=LONGEST_SIDE)
    return picture_view(whole.image, whole.size)


def rates_of_filters(paths: Sequence[Path], names: Sequence[str]) -> dict[str, float]:
    """Return pictures per second of decoding and of each filter alone, on one thread."""
    begin = time.perf_counter()
    views = [view_in(path) for path in paths]
    rates = {"decoding": len(paths) / (time.perf_counter() - begin)}
    for name in names:
        measure = FILTERS[name].build(Tools())
        measure(view_in(paths[0]))
        begin = time.perf_counter()
        for view in views:
            # What filters share, such as smaller copies, counts for each: none is left from before.
            measure(PictureView(view.image, view.width, view.height))
        rates[name] = len(paths) / (time.perf_counter() - begin)
    return rates


def seconds_of_pipeline(raw: Path, off: Sequence[str], processes: int) -> float:
    """Return how long a whole curation takes, with its page and its copies."""
    settings = CurationSettings(rules=rules_of(off=off), processes=processes)
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        curate(raw, Path(place) / "clean", settings)
        return time.perf_counter() - begin


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything and return all numbers as plain data."""
    torch.set_num_threads(1)
    names = [name for name in FILTERS if name not in options.off]
    off = [name for name in FILTERS if name not in names or FILTERS[name].mode == "off"]
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place) / "raw"
        draw(raw, options.pictures)
        paths = sorted(raw.iterdir())
        rates = rates_of_filters(paths[: options.filter_pictures], names)
        seconds: dict[int, list[float]] = {1: [], options.processes: []}
        for _ in range(options.rounds):
            for processes, taken in seconds.items():
                taken.append(seconds_of_pipeline(raw, off, processes))
    ratios = [a / b for a, b in zip(seconds[1], seconds[options.processes], strict=True)]
    return {
        "cores": os.cpu_count(),
        "pictures": options.pictures,
        "size": SIZE,
        "off": off,
        "pictures_per_second_of_filters": rates,
        "pictures_per_second": {
            str(processes): options.pictures / statistics.median(taken)
            for processes, taken in seconds.items()
        },
        "times_as_fast": statistics.median(ratios),
        "largest_memory_mib": {
            "this process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "a worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        },
    }


def show(results: dict[str, Any]) -> None:
    """Print the numbers as tables."""
    table = Table(title=f"pictures of {SIZE[0]} x {SIZE[1]} per second")
    for heading in ("filter, on one thread", "per second"):
        table.add_column(heading)
    for name, rate in results["pictures_per_second_of_filters"].items():
        table.add_row(name, f"{rate:.0f}")
    for processes, rate in results["pictures_per_second"].items():
        table.add_row(f"all together, {processes} processes", f"{rate:.1f}")
    Console().print(table)
    print(f"{results['times_as_fast']:.2f} times as fast as one process")


def main() -> None:
    """Measure, show, and write."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--filter-pictures", type=int, default=100, help="for each filter alone")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--off", nargs="*", default=[], help="filters to leave out")
    parser.add_argument("--json", type=Path, help="also write every number to this file")
    options = parser.parse_args()
    results = measure(options)
    show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
