"""Draw how a run went: a row for each of some iterations, the same latents in each.

python scripts/draw_run.py demo/run docs/pictures/demo.webp --iterations 0 160 320 800 1600
"""

import argparse
from pathlib import Path

import torch

from graftgan.reports import picture_grid
from grids import first_of_grid

_COLUMNS = 8  # latents


def grid_of(run: Path, iteration: int) -> Path:
    """Return the sample grid of an iteration."""
    path = run / "samples" / f"{iteration:06d}.png"
    if not path.is_file():
        known = ", ".join(str(int(grid.stem)) for grid in sorted(path.parent.glob("*.png")))
        raise SystemExit(f"{run} has no sample grid of iteration {iteration}; there are: {known}")
    return path


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("picture", type=Path, help="the file to write")
    parser.add_argument("--iterations", type=int, nargs="+", required=True)
    parser.add_argument("--side", type=int, default=64, help="of one picture, in pixels")
    arguments = parser.parse_args()
    grids = [grid_of(arguments.run, iteration) for iteration in arguments.iterations]
    rows = [first_of_grid(grid, _COLUMNS, arguments.side) for grid in grids]
    picture_grid(torch.cat(rows), columns=_COLUMNS).save(arguments.picture, quality=90)


if __name__ == "__main__":
    main()
