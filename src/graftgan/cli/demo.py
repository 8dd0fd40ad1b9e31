"""Draw 100 CC0 pictures in a style that the bundled source never saw, and transfer it to them.

It takes about four minutes on two cores. One folder then has the pictures, the run and its page.
"""

import shlex
from functools import partial
from pathlib import Path

from graftgan.cli import transfer
from graftgan.cli.terminal import console, verb, with_bars
from graftgan.core.errors import RunError
from graftgan.models.sources import DEFAULT_SOURCE
from graftgan.pictures import render_avatars


@verb
def main(
    out: Path = Path("demo"), style: str = "lorelei", count: int = 100, iterations: int = 1600
) -> int:
    """Demonstrate a transfer.

    Args:
        out: The folder for the pictures and the run.
        style: The CC0 DiceBear style of the pictures.
        count: How many pictures.
        iterations: Generator steps, of 16 pictures each: many small steps go far in little time.
    """
    run = out / "run"
    if run.exists():
        raise RunError(
            f"{run} exists already: look at {run / 'report.html'}, go on with "
            f"`graftgan transfer --resume {shlex.quote(str(run))}`, or choose another --out"
        )
    pictures = out / style
    with with_bars() as bars:
        progress = partial(bars, f"drawing {count} pictures")
        render_avatars(pictures, styles=[style], count=count, seed=1, progress=progress)
    console.print(f"{count} pictures of style '{style}' in {pictures}")
    steps = ["--batch-size", "16", "--iterations", str(iterations)]
    source = ["--source", DEFAULT_SOURCE]
    return transfer.main([str(pictures), *source, *steps, "--out", str(run)])
