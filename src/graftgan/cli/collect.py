"""Gather pictures into a folder, and record where each comes from.

sources:
  instagram:#TAG       public posts with a hashtag, through gallery-dl or Instaloader
  gallery:ADDRESS      any page that gallery-dl knows
  openverse:WORDS      openly licensed pictures, with author and licence
  commons:WORDS        Wikimedia Commons, with author and licence; also commons:Category:NAME
  urls:FILE            the addresses in a text, CSV or JSON-lines file
  video:FILE           frames of a video
  PATH                 a folder, zip or npz, copied without duplicates

Run the same command again to continue after a stop. Nothing is fetched twice.

examples:
  graftgan collect "openverse:betta fish" "commons:Betta splendens" --count 200 --out raw/
  graftgan collect "instagram:#bettafish" --cookies cookies.txt --count 300
  graftgan collect urls:list.csv video:tank.mp4 --every 2
  graftgan collect urls:list.csv --retry-refused             try again what may work by now
"""

import shlex
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from tyro.conf import Positional, arg

from graftgan.cli.terminal import bars_of, console, verb
from graftgan.core.errors import CollectError, shown
from graftgan.core.provenance import licences_in_words
from graftgan.pictures import collecting

_LINE_S = 20.0  # seconds between two lines of progress where there is no terminal
_USUAL = collecting.CollectSettings()


@verb
def main(
    sources: Positional[tuple[str, ...]],
    out: Path = Path("raw"),
    settings: Annotated[collecting.CollectSettings, arg(name="")] = _USUAL,
) -> None:
    """Collect pictures.

    Args:
        sources: The sources, see above; they are read one after another.
        out: A new folder, or that of an earlier collection.
        settings: What to collect, and how.
    """
    if not sources:
        raise CollectError(
            "say what to collect, such as openverse:WORDS; see graftgan collect --help"
        )
    for remark in dict.fromkeys(map(collecting.remark_on, sources)):
        if remark is not None:
            console.print(f"note: {remark}")
    try:
        with _shown() as watch:
            collected = collecting.collect(sources, out, settings, watch=watch)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on with {out}")
        raise
    _say(collected, out)
    for problem in collected.problems[1:]:
        console.print(f"problem: {problem}")
    if collected.problems:
        raise CollectError(collected.problems[0])


def _say(collected: collecting.Collected, out: Path) -> None:
    total = len(collected.origins)
    counts = {
        "new": collected.new,
        "there already": collected.already,
        "twice": collected.duplicates,
        "refused before": collected.refused_before,
    }
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    console.print(f"{total:,} pictures in {out}: {said or 'nothing new'}")
    if collected.refused:
        reasons = ", ".join(f"{r} ({n:,})" for r, n in collected.refused.most_common())
        console.print(f"refused: {reasons}; see {out / 'refused.jsonl'}")
    if collected.worth_trying_again:
        console.print(
            f"{collected.worth_trying_again:,} of the refused may work another time "
            "or with other limits: the same command with --retry-refused"
        )
    if total:
        console.print(f"licences: {licences_in_words(collected.origins)}")
        console.print(f"next: graftgan curate {shlex.quote(str(out))} clean/")


@contextmanager
def _shown() -> Generator[Callable[[collecting.CollectionProgress], None]]:
    """Yield a function that shows progress: a bar on a terminal, elsewhere a line now and then."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[refused]:,} refused"),
        TimeRemainingColumn(),
    )
    last = time.monotonic()
    with bars_of(*columns) as bar:
        tasks = {"": bar.add_task("listing", total=None, refused=0)}

        def show(now: collecting.CollectionProgress) -> None:
            nonlocal last
            if now.source not in tasks:
                tasks[now.source] = bar.add_task(shown(now.source), total=now.wanted, refused=0)
                bar.update(tasks[""], visible=False)
            bar.update(tasks[now.source], completed=now.have, refused=now.refused)
            if bar.disable and time.monotonic() - last > _LINE_S:
                last = time.monotonic()
                of = f" of {now.wanted:,}" if now.wanted else ""
                console.print(f"{now.source}: {now.have:,}{of}, {now.refused:,} refused")

        yield show
