"""What the journeys share: a few pictures, and the words of a command line."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

TINY = ["--width", "4", "--resolution", "32", "--batch-size", "8"]


def draw_pictures(folder: Path, *, count: int, hue: int) -> Path:
    """Write coloured squares on noise: enough for a network to learn a colour."""
    rng = np.random.default_rng(hue)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        left, top = rng.integers(2, 18, 2)
        pixels[top : top + 18, left : left + 18, hue] = 220
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def command(arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "graftgan", *map(str, arguments)]
