"""Faults to plant into graftgan, which the storm must find: the proof that it can."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from storm.scenarios import OUT


def _around_training(before: Callable[[Any], None], after: Callable[[Any], None]) -> None:
    """Do something before and after every training loop of this process and those it forks."""
    from graftgan.training import Training

    run = Training.run

    def planted(self: Any) -> None:
        before(self)
        run(self)
        after(self)

    Training.run = planted


def _nothing(training: Any) -> None:
    del training


def done_too_early() -> None:
    """Write the end state before adapter and page; a resume then believes it."""
    from graftgan import cli

    main, card = cli.main, Path(OUT) / "card.json"

    def write_end(training: Any) -> None:
        if training.iteration == training.iterations:
            data = json.loads(card.read_text())
            card.write_text(json.dumps({**data, "state": "finished"}))

    def believing(arguments: Sequence[str] | None = None) -> int:
        given = list(arguments or ())
        ended = card.exists() and json.loads(card.read_text())["state"] == "finished"
        return 0 if ended and "--resume" in given else main(given)

    _around_training(_nothing, write_end)
    cli.main = believing


def doubled_score() -> None:
    """Write a score twice when a run goes on."""

    def double(training: Any) -> None:
        path = Path(OUT) / "metrics.jsonl"
        if training.iteration and path.exists() and (lines := path.read_text().splitlines()):
            path.write_text("\n".join([lines[0], *lines]) + "\n")

    _around_training(double, _nothing)


def other_weight() -> None:
    """Go on with one weight that is a little off."""

    def change(training: Any) -> None:
        if training.iteration:
            weight = next(iter(training.pair.generator.parameters()))
            weight.data.mul_(1.001)

    _around_training(change, _nothing)


def leftover() -> None:
    """Leave a partial file beside the run folder."""

    def leave(training: Any) -> None:
        del training
        Path(f".{OUT}.partial-{os.getpid()}").write_text("")

    _around_training(leave, _nothing)


PLANTED: dict[str, Callable[[], None]] = {
    "done-too-early": done_too_early,
    "doubled-score": doubled_score,
    "other-weight": other_weight,
    "leftover": leftover,
}
