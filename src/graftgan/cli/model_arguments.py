"""Flags shared by verbs that open a model, and numbers in one argument."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from graftgan.checkpoints import SourceModel
from graftgan.cli.terminal import Iteration, console
from graftgan.core.errors import SettingsError
from graftgan.core.files import distinct_name, refuse_existing
from graftgan.core.network_types import Generator
from graftgan.models.adapters.bank import AdapterBank, mixed_model
from graftgan.models.sources import open_source

_MOST_NUMBERS = 1_000_000  # in a list of seeds or classes


@dataclass(frozen=True)
class ModelVersion:
    """The checkpoint of a model to open, and the adapters to put on it.

    Both methods raise SettingsError if a weight is out of range or an adapter is named twice,
    SourceError if there is no such model, and CheckpointError if there is no such checkpoint or an
    adapter belongs to another base.
    """

    iteration: Iteration = None
    adapter: UseAppendAction[tuple[str, ...]] = ()
    """A run folder or adapter file made on the model, such as runs/a or runs/a:0.5; may be given
    several times."""

    def open_generator(self, model: str) -> Generator:
        """Return the generator, with the adapters put on."""
        bank, weights = self._bank(model)
        return bank.generator(weights)

    def open_model(self, model: str) -> SourceModel:
        """Return both networks, with the adapters put on, and their card."""
        bank, weights = self._bank(model)
        return mixed_model(bank, weights) if weights else bank.base

    def _bank(self, model: str) -> tuple[AdapterBank, dict[str, float]]:
        bank = AdapterBank(open_source(model, iteration=self.iteration))
        weights: dict[str, float] = {}
        for words in self.adapter:
            path, weight = _path_and_weight(words)
            bank.add(str(path), path)
            weights[str(path)] = weight
        note_weights(weights.values())
        return bank, weights


Version = Annotated[ModelVersion, arg(name="")]


def note_weights(weights: Iterable[float]) -> None:
    """Print a note if the weights lead beyond what was trained."""
    total = sum(weights)
    if total > 1 + 1e-6:
        console.print(
            f"note: the weights add up to {total:g}; beyond 1 lies further from the source than "
            "any of the adapters was trained to go"
        )


def numbers_in(words: str, *, flag: str) -> list[float]:
    """Return numbers separated by commas; anything else is a SettingsError."""
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise SettingsError(f"{flag} takes numbers separated by commas, got '{words}'") from None


def free_place(out: Path | None, usual: str) -> Path:
    """Return where pictures go: ``out``, or without it ``x.png``, or ``x_2.png`` where that exists.

    Raises:
        RunError: There is something at ``out``.
    """
    if out is not None:
        refuse_existing(out)
        return out
    place = Path(usual)
    name = distinct_name(place.stem, lambda stem: os.path.lexists(place.with_stem(stem)))
    return place.with_stem(name)


def whole_numbers(words: str, *, flag: str) -> list[int]:
    """Return the numbers in text such as ``1,5,8-10``; anything else is a SettingsError."""
    found: list[int] = []
    for part in words.split(","):
        first, _, last = part.partition("-")
        ends = [first, last or first]
        if not all(end.isdecimal() for end in ends) or int(ends[0]) > int(ends[1]):
            raise SettingsError(f"{flag} takes numbers such as 1,5,8-10, got '{words}'")
        numbers = range(int(ends[0]), int(ends[1]) + 1)
        if len(found) + len(numbers) > _MOST_NUMBERS:
            raise SettingsError(f"{flag} takes at most {_MOST_NUMBERS:,} numbers, got '{words}'")
        found += numbers
    return found


def _path_and_weight(words: str) -> tuple[Path, float]:
    path, colon, number = words.rpartition(":")
    if colon and not Path(words).exists():
        try:
            return Path(path), float(number)
        except ValueError:
            pass
    return Path(words), 1.0
