"""Faults to plant into graftgan, which the storm must find: the proof that it can."""

import os
from collections.abc import Callable
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
    from graftgan.run_folder import RunFolder

    main = cli.main

    def write_end(training: Any) -> None:
        if training.iteration == training.iterations:
            RunFolder(Path(OUT)).write_card(state="finished", iteration=training.iteration)

    def believing(arguments: list[str]) -> int:
        card = Path(OUT) / "card.json"
        if "--resume" in arguments and card.exists() and '"finished"' in card.read_text():
            return 0
        return main(arguments)

    _around_training(_nothing, write_end)
    cli.main = believing


def doubled_score() -> None:
    """Write a score twice when a run goes on."""

    def double(training: Any) -> None:
        path = Path(OUT) / "metrics.jsonl"
        if training.iteration and path.exists() and (lines := path.read_text().splitlines()):
            path.write_text("\n".join([lines[0], *lines]) + "\n")

    _around_training(double, _nothing)


def one_bit() -> None:
    """Go on with one weight that is one bit off."""

    def change(training: Any) -> None:
        if training.iteration:
            import torch

            weight = next(iter(training.pair.generator.parameters()))
            with torch.no_grad():
                weight.view(torch.int32).flatten()[0] ^= 1

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
    "one-bit": one_bit,
    "leftover": leftover,
}
