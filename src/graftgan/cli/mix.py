"""Mix sets into one zip with known proportions, to pre-train on.

More diverse pre-training pictures often transfer better; `graftgan data stats` measures how diverse
a set is. Each set becomes a folder in the zip, so --labels folders can tell them apart.

examples:
  graftgan mix rooms.zip:0.5 faces.zip:0.3 cats/:0.2 --out mixed.zip
  graftgan mix rooms.zip faces.zip --count 2000 --out mixed.zip       equal shares
"""

from functools import partial
from pathlib import Path

from tyro.conf import Positional

from graftgan.cli.terminal import console, verb, with_bars
from graftgan.pictures import mix_sets, parse_part


@verb
def main(
    sets: Positional[tuple[str, ...]],
    out: Path = Path("mixed.zip"),
    count: int | None = None,
    seed: int = 0,
) -> None:
    """Mix sets.

    Args:
        sets: PATH:SHARE of each set; without shares all count the same.
        out: The zip to write.
        count: The number of pictures; by default as many as possible without repeating one.
        seed: The seed of the choice of pictures.
    """
    parts = [parse_part(text) for text in sets]
    with with_bars() as bars:
        mixture = mix_sets(parts, out, count=count, seed=seed, progress=partial(bars, "mixing"))
    total = sum(mixture.counts.values())
    for name, number in mixture.counts.items():
        console.print(f"{name}: {number:,} pictures ({number / total:.1%})")
    for skipped in mixture.skipped[:5]:
        console.print(f"left out: {skipped.name} ({skipped.reason})")
    if len(mixture.skipped) > 5:
        console.print(f"left out: {len(mixture.skipped) - 5} more")
    console.print(f"{total:,} pictures in {out}")
