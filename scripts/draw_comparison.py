"""Draw the same latents under several methods: a column for each, from a comparison's last grids.

python scripts/draw_comparison.py comparisons/avatars_methods docs/pictures/methods.webp \
        --variants fine_tune combined freeze adafm
"""

import argparse
from pathlib import Path

import torch

from graftgan.core.errors import RunError
from graftgan.core.files import read_json
from graftgan.reports import labelled_strip
from grids import first_of_grid

_ROWS = 6  # latents


def first_pictures(run: Path, side: int) -> torch.Tensor:
    """Return the first pictures, uint8 (6, 3, side, side), of the last sample grid of a run."""
    grids = sorted((run / "samples").glob("*.png"))
    if not grids:
        raise SystemExit(f"{run} holds no sample grid")
    return first_of_grid(grids[-1], _ROWS, side)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparison", type=Path, help="the folder of a comparison")
    parser.add_argument("picture", type=Path, help="the file to write")
    parser.add_argument("--variants", nargs="+", required=True, help="which, in this order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=64, help="of one picture, in pixels")
    arguments = parser.parse_args()
    results = read_json(arguments.comparison / "comparison.json", error=RunError)
    folders = {
        run["variant"]: arguments.comparison / "runs" / run["folder"]
        for run in results["runs"]
        if run["seed"] == arguments.seed
    }
    columns = [first_pictures(folders[name], arguments.side) for name in arguments.variants]
    labels = [name.removeprefix("feature_") for name in arguments.variants]
    title = f"{results['iterations']:,} iterations, seed {arguments.seed}"
    labelled_strip(torch.stack(columns), labels, title=title).save(arguments.picture, quality=92)


if __name__ == "__main__":
    main()
