"""``graftgan demo``."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graftgan.cli import transfer
from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import console, with_bar
from graftgan.core.errors import RunError
from graftgan.models.sources import DEFAULT_SOURCE
from graftgan.pictures import render_avatars

DESCRIPTION = """Draw 100 CC0 pictures of a style the bundled source never saw; graft it onto them.

Takes about four minutes on two cores. Leaves the pictures, the run and its page in one folder.
"""


@dataclass(frozen=True)
class Demo:
    """The demonstration."""

    out: Path = Path("demo")
    """Where pictures and run go."""
    style: str = "lorelei"
    """The CC0 DiceBear style of the pictures."""
    count: int = 100
    """How many pictures."""
    iterations: int = 1600
    """Generator steps, of 16 pictures each: many small steps go far in little time."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan demo"
    options = parse_flags(Demo, arguments, prog=prog, description=DESCRIPTION)
    run = options.out / "run"
    if run.exists():
        raise RunError(
            f"{run} exists already: look at {run / 'report.html'}, go on with "
            f"`graftgan transfer --resume {shlex.quote(str(run))}`, or choose another --out"
        )
    pictures = options.out / options.style
    with_bar(
        f"drawing {options.count} pictures",
        lambda progress: render_avatars(
            pictures, styles=[options.style], count=options.count, seed=1, progress=progress
        ),
    )
    console.print(f"{options.count} pictures of style '{options.style}' in {pictures}")
    steps = ["--batch-size", "16", "--iterations", str(options.iterations)]
    source = ["--source", DEFAULT_SOURCE]
    return transfer.main([str(pictures), *source, *steps, "--out", str(run)])
