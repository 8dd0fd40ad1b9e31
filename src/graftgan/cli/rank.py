"""Rank the local sources for your pictures, without training.

Sources are ranked by KID, the distance between your pictures and those that a source draws; if KID
cannot tell two sources apart, by recall, the share of your pictures that lie within what it draws.
The table also has the diversity of each source: more diverse pre-training pictures often transfer
better.

With ten or more finished, scored transfers (in runs/, comparisons/ and searches/, or --learn-from)
it also predicts the KID at the end of a transfer, with an interval.

examples:
  graftgan rank my_pictures/
  graftgan rank my_pictures/ --sources avatars-64 runs/faces runs/rooms@4000
"""

import shlex
from pathlib import Path

from graftgan.cli.terminal import Device, PicturesPath, console, table_of, verb, with_bars
from graftgan.metrics.metric import Estimate
from graftgan.studies.source_ranking import Ranking, rank_sources
from graftgan.training import choose_hardware

LEARN_FROM = (Path("runs"), Path("comparisons"), Path("searches"))


@verb
def main(
    pictures: PicturesPath,
    sources: tuple[str, ...] = (),
    learn_from: tuple[Path, ...] = LEARN_FROM,
    samples: int = 250,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Rank sources.

    Args:
        sources: Names or folders; by default all local ones (`graftgan sources list`).
        learn_from: Folders of finished runs, or recorded results, to predict from.
        samples: The number of pictures drawn from each source.
        seed: The seed of latents, choice and resamples.
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
