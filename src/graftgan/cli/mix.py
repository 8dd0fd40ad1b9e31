"""``graftgan mix``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import console, with_bar
from graftgan.pictures import mix_sets, parse_part

DESCRIPTION = """Mix sets into one zip with known proportions, to pre-train on.

More diverse pre-training pictures often transfer better; `graftgan data stats` measures how diverse
a set is. Each set becomes a folder in the zip, so --labels folders can tell them apart.

examples:
  graftgan mix rooms.zip:0.5 faces.zip:0.3 cats/:0.2 --out mixed.zip
  graftgan mix rooms.zip faces.zip --count 2000 --out mixed.zip       equal shares
"""


@dataclass(frozen=True)
class Mix:
    """The sets and the zip."""

    sets: tyro.conf.Positional[tuple[str, ...]]
    """PATH:SHARE of each set; without a share all count the same."""
    out: Path = Path("mixed.zip")
    """The zip to write."""
    count: int | None = None
    """Pictures in all; without it, as many as there are without repeating one."""
    seed: int = 0
    """Of the choice of pictures."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = parse_flags(Mix, arguments, prog="graftgan mix", description=DESCRIPTION)
    parts = [parse_part(text) for text in options.sets]
    mixture = with_bar(
        "mixing",
        lambda progress: mix_sets(
            parts, options.out, count=options.count, seed=options.seed, progress=progress
        ),
    )
    total = sum(mixture.counts.values())
    for name, count in mixture.counts.items():
        console.print(f"{name}: {count:,} pictures ({count / total:.1%})")
    for skipped in mixture.skipped[:5]:
        console.print(f"left out: {skipped.name} ({skipped.reason})")
    if len(mixture.skipped) > 5:
        console.print(f"left out: {len(mixture.skipped) - 5} more")
    console.print(f"{total:,} pictures in {options.out}")
    return 0
