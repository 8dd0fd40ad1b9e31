"""Read pictures back from the sample grids of runs."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def first_of_grid(grid: Path, count: int, side: int) -> torch.Tensor:
    """Return the first pictures of a grid's first row, uint8 (count, 3, side, side)."""
    with Image.open(grid) as image:
        pixels = np.asarray(image.convert("RGB"))[:side, : count * side]
    return torch.from_numpy(pixels.copy()).unflatten(1, (count, side)).permute(1, 3, 0, 2)
