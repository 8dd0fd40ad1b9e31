"""Let sources race, and show it: for `rank`, and for a `transfer` that names no source."""

from collections.abc import Sequence
from pathlib import Path

from graftgan.cli.ending import Interrupted
from graftgan.cli.terminal import ScreenObserver, console, table_of
from graftgan.reports import duration, in_words
from graftgan.runs.build import Prepared
from graftgan.studies.source_race import RaceObserver, RaceResult, SourceRace, race_sources


def run_race(race: SourceRace, folder: Path, *, device: str) -> str:
    """Let sources race, print the order, and return the name of the first.

    Raises:
        KeyboardInterrupt: A signal stopped it; the same call goes on.
    """
    screen = RaceScreen()
    try:
        found = race_sources(race, folder, device=device, observer=screen)
    except KeyboardInterrupt:
        if screen.stopped_by in ("", "SIGINT"):
            raise
        raise Interrupted.by(screen.stopped_by) from None
    if screen.leads:
        _show(found)
    return found.racers[0].name


class RaceScreen(ScreenObserver, RaceObserver):
    """Shows what a race will take, and which source trains."""

    def prepared(self, prepared: Prepared) -> None:
        """Say nothing: all transfers have the same parts but their source."""

    def price(self, seconds: float, rounds: Sequence[int]) -> None:
        """Print what the race will take."""
        lengths = ", ".join(map(str, rounds))
        console.print(f"the race takes about {duration(seconds)}; its rounds: {lengths} iterations")

    def racer_starts(self, name: str, iterations: int) -> None:
        """Print which source trains."""
        console.print(f"{name}: up to iteration {iterations}")


def _show(found: RaceResult) -> None:
    """Print the order of a race."""
    table = table_of(("", "source", "iterations", "KID", "untouched"), overflow="fold")
    for place, racer in enumerate(found.racers, start=1):
        last, first = (racer.scores.get(at) for at in (racer.reached, 0))
        kids = ["" if kid is None else in_words(kid, digits=3) for kid in (last, first)]
        table.add_row(str(place), racer.name, str(racer.reached), *kids)
    console.print(table)
    for racer in found.racers:
        if racer.problem:
            console.print(f"left out: {racer.name}: {racer.problem}")
    console.print(f"the race took {duration(found.seconds)}")
