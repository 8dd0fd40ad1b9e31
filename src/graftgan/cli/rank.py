"""Rank the local sources for your pictures by short transfers from all of them.

They race: every source trains for the same few iterations, the better half by score goes on to
twice as many, and so on, until one is ahead. The cost is printed first: a quarter of full
transfers from all of them, or --minutes. The transfers are ordinary runs; the same command
continues after a stop.

Beside that stands what can be known without training: KID, the distance between your pictures and
what a source draws; recall, the share of your pictures that lie within it; and how diverse it is.
With ten or more finished, scored transfers (in runs/, comparisons/ and searches/, or --learn-from)
also the KID to expect at the end. --no-race shows this alone, which is a poor guide.

examples:
  graftgan rank my_pictures/
  graftgan rank my_pictures/ --sources avatars-64 runs/faces runs/rooms@4000 --minutes 10
  graftgan rank my_pictures/ --no-race
"""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from graftgan.cli.racing import run_race
from graftgan.cli.terminal import Device, PicturesPath, console, table_of, verb, with_bars
from graftgan.cli.transfer import DEFAULTS, folder_named_after
from graftgan.metrics.metric import Estimate
from graftgan.studies.source_race import SourceRace
from graftgan.studies.source_ranking import Ranking, rank_sources
from graftgan.training import choose_hardware

LEARN_FROM = (Path("runs"), Path("comparisons"), Path("searches"))


@verb
def main(
    pictures: PicturesPath,
    sources: tuple[str, ...] = (),
    learn_from: tuple[Path, ...] = LEARN_FROM,
    samples: int = 250,
    races: Annotated[bool, arg(name="race")] = True,
    minutes: float | None = None,
    iterations: int = DEFAULTS.training.iterations,
    out: Path | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Rank sources.

    Args:
        sources: Names or folders; by default all local ones (`graftgan sources list`).
        learn_from: Folders of finished runs, or recorded results, to predict from.
        samples: The number of pictures drawn from each source.
        races: Let the sources race, or show the statistics alone.
        minutes: How long the race may take; by default a quarter of full transfers from all.
        iterations: The length of a full transfer.
        out: The folder of the race; by default races/<name of the pictures>.
        seed: The seed of latents, choice, resamples and transfers.
    """
    with with_bars() as progress:
        ranking = rank_sources(
            pictures,
            sources or None,
            learn_from=learn_from,
            samples=samples,
            seed=seed,
            device=str(choose_hardware(device, "float32").device),
            progress=progress,
        )
    show(ranking)
    first = ranking.candidates[0].name
    if races and len(ranking.candidates) > 1:
        training = replace(DEFAULTS.training, iterations=iterations)
        base = replace(DEFAULTS, pictures=pictures, source=None, training=training, seed=seed)
        names = tuple(one.name for one in ranking.candidates)
        race = SourceRace(base=base, names=names, minutes=minutes)
        folder = out or folder_named_after(pictures, home="races")
        first = run_race(race, folder, device=device)
    words = shlex.join(["graftgan", "transfer", str(pictures), "--source", str(first)])
    console.print(f"go on with: {words}")


def show(ranking: Ranking) -> None:
    """Print a ranking."""
    expects = any(one.expected for one in ranking.candidates)
    headings = ["", "source", "recall", "KID", "Vendi", *(["expected KID"] if expects else [])]
    table = table_of(headings, overflow="fold")
    for place, one in enumerate(ranking.candidates, start=1):
        expected = "too far from these runs" if one.expected is None else _words(one.expected)
        cells = [_words(one.recall), _words(one.kid), _words(one.vendi)]
        table.add_row(str(place), one.name, *cells, *([expected] if expects else []))
    console.print(table)
    for place, one in enumerate(ranking.candidates, start=1):
        console.print(f"{place} {one.name}: {one.reason}")
    for name, why in ranking.unusable.items():
        console.print(f"left out: {name}: {why}")
    learnt = f"; expectations from {ranking.learnt_from} finished runs" if expects else ""
    console.print(
        f"{ranking.samples} samples of each source beside {ranking.pictures} pictures{learnt}"
    )


def _words(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"
