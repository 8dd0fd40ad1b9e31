"""Faults to plant into graftgan, which the storm must find: the proof that it can."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from storm.scenarios import OUT, TRANSFER_ITERATIONS


def _before_training(act: Callable[[Any], None]) -> None:
    """Do something before every training loop of this process."""
    from graftgan.training import Training

    run = Training.run

    def planted(self: Any) -> None:
        act(self)
        run(self)

    Training.run = planted


def done_too_early() -> None:
    """Take a run for done once its last checkpoint is there, before adapter and page are."""
    from graftgan import cli

    main, checkpoints = cli.main, Path(OUT) / "checkpoints"

    def believing(arguments: Sequence[str] | None = None) -> int:
        given = list(arguments or ())
        is_done = "--resume" in given and (checkpoints / f"{TRANSFER_ITERATIONS:06d}").is_dir()
        return 0 if is_done else main(given)

    cli.main = believing


def doubled_score() -> None:
    """Write a score twice when a run goes on."""

    def double(training: Any) -> None:
        path = Path(OUT) / "metrics.jsonl"
        if training.iteration and path.exists() and (lines := path.read_text().splitlines()):
            path.write_text("\n".join([lines[0], *lines]) + "\n")

    _before_training(double)


def other_weight() -> None:
    """Go on with one weight that is a little off."""

    def change(training: Any) -> None:
        if training.iteration:
            weight = next(iter(training.pair.generator.parameters()))
            weight.data.mul_(1.001)

    _before_training(change)


def leftover() -> None:
    """Leave a partial file beside the run folder."""

    def leave(training: Any) -> None:
        del training
        Path(f".{OUT}.partial-{os.getpid()}").write_text("")

    _before_training(leave)


PLANTED: dict[str, Callable[[], None]] = {
    "done-too-early": done_too_early,
    "doubled-score": doubled_score,
    "other-weight": other_weight,
    "leftover": leftover,
}
