"""Which source ends best? Short transfers from all, and longer ones from the better half.

Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): every source trains for the same
few iterations; the better half by score goes on to twice as many, and so on, until one is left.
They are ordinary runs, which go on where they stopped.
"""

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from graftgan.core.errors import GraftganError, RunError, SettingsError
from graftgan.core.files import content_of, distinct_name, write_text
from graftgan.core.settings import require_range, strict, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import RunState, read_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.score import HEADLINE
from graftgan.models.sources import source_folders
from graftgan.runs.run import Observer, refuse_full, resume, run

_SHARE = 0.25  # of what full transfers from all sources would cost
_TRIED = 4  # iterations that are timed before the race
_LEAST = 10  # iterations of the first round; fewer tell nothing
_HELD_OUT = 0.2  # share of the pictures to score against, where nothing else is asked for
SETTINGS = "race.toml"
"""What all transfers of a race share, in its folder."""


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRace:
    """Which sources race, and for how long.

    Attributes:
        base: All but the source and the length, which is that of a full transfer.
        names: Names or folders of sources; empty: all on this machine.
        minutes: All transfers together take no longer; None: a quarter of full ones from all.
    """

    base: Experiment
    names: tuple[str, ...] = ()
    minutes: float | None = None

    def __post_init__(self) -> None:
        require_range(self, "finite and positive", "minutes")

    @property
    def racers(self) -> tuple[str, ...]:
        """The sources that race."""
        return self.names or tuple(source_folders())


@dataclass(frozen=True, slots=True, kw_only=True)
class Racer:
    """A source in a race.

    Attributes:
        scores: Of its transfer, by iteration; 0 is the untouched source.
        problem: Why it could not take part, or go on; empty: it could.
    """

    name: str
    run: Path
    scores: dict[int, float] = field(default_factory=dict[int, float])
    seconds: float = 0.0  # of its training, without scores
    problem: str = ""

    @property
    def reached(self) -> int:
        """The iteration of its last score."""
        return max(self.scores, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceResult:
    """The sources, the best first, and what it cost to know."""

    racers: tuple[Racer, ...]
    rounds: tuple[int, ...]  # iterations after each round
    seconds: float


class RaceObserver(Observer):
    """Shows progress in a race; this one shows nothing."""

    def price(self, seconds: float, rounds: Sequence[int]) -> None:
        """Show what the race will take, and its rounds in iterations, before it begins."""

    def racer_starts(self, name: str, iterations: int) -> None:
        """Show that a source trains on, up to so many iterations."""


def race_sources(
    race: SourceRace, folder: Path, *, device: str = "auto", observer: RaceObserver | None = None
) -> RaceResult:
    """Let sources race in ``folder``, and return them, the best first.

    Transfers that are there are gone on with. A source that cannot be used is last, and says why.

    Raises:
        GraftganError: The pictures cannot be used, fewer than two of the sources can, or another
            race is in the folder.
        KeyboardInterrupt: A signal stopped a transfer; the same call goes on.
    """
    track = _Track(race, folder, device, observer or RaceObserver())
    begin = time.monotonic()
    racers = [track.tried(name) for name in race.racers]
    left, out = _fit(racers)
    if len(left) < 2:
        said = "".join(f"; {racer.name}: {racer.problem}" for racer in out)
        raise SettingsError(
            f"a race needs two sources or more, and {len(left)} can be used{said}; name others "
            "with --sources, or see `graftgan sources list`"
        )
    rounds, price = _rounds(race, left, time.monotonic() - begin)
    track.observer.price(price, rounds)
    for iterations in rounds:
        left, hurt = _fit([track.trained(racer, iterations) for racer in left])
        left.sort(key=lambda racer: racer.scores[iterations])
        half = math.ceil(len(left) / 2)
        out = [*left[half:], *hurt, *out]
        left = left[:half]
    return RaceResult(racers=(*left, *out), rounds=tuple(rounds), seconds=time.monotonic() - begin)


def _fit(racers: Sequence[Racer]) -> tuple[list[Racer], list[Racer]]:
    """Return those that can go on, and the others."""
    return [r for r in racers if not r.problem], [r for r in racers if r.problem]


def _rounds(race: SourceRace, racers: Sequence[Racer], tried: float) -> tuple[list[int], float]:
    """Return the iterations after each round, and the seconds that all of them will take.

    ``tried`` seconds went by with the trials: what of them was no training comes again with every
    transfer that goes on.
    """
    counts = [len(racers)]
    while counts[-1] > 2:
        counts.append(math.ceil(counts[-1] / 2))
    # Each round doubles the iterations, so all but the first add half of its own.
    turns = counts[0] + sum(count * 2**number / 2 for number, count in enumerate(counts) if number)
    pace = sum(racer.seconds / racer.reached for racer in racers) / len(racers)
    around = max(0.0, tried - sum(racer.seconds for racer in racers)) / len(racers) * sum(counts)
    first = _SHARE * race.base.training.iterations * len(racers) / turns
    if race.minutes is not None:
        first = (60 * race.minutes - around) / (pace * turns)
    least = max(_LEAST, round(first))
    return [least * 2**number for number in range(len(counts))], least * turns * pace + around


class _Track:
    """Where sources race."""

    def __init__(self, race: SourceRace, folder: Path, device: str, observer: RaceObserver) -> None:
        self._race, self._folder, self._device = race, folder, device
        self.observer = observer
        self._begin()
        self._places: dict[str, Path] = {}
        for name in race.racers:
            taken = {place.name for place in self._places.values()}
            self._places[name] = folder / distinct_name(_folder_name(name), taken.__contains__)

    def _begin(self) -> None:
        """Write the settings down; RunError: another race is in the folder."""
        settings, known = to_toml(self._race.base.located()), self._folder / SETTINGS
        if not known.is_file():
            refuse_full(self._folder)
            write_text(known, settings)
        elif content_of(known).decode("utf-8", errors="replace") != settings:
            raise RunError(
                f"{self._folder} holds a race with other settings; choose another folder with --out"
            )

    def tried(self, name: str) -> Racer:
        """Return a source after its first iterations, which are few."""
        return self.trained(Racer(name=name, run=self._places[name]), _TRIED)

    def trained(self, racer: Racer, iterations: int) -> Racer:
        """Return a source after so many iterations in all; a transfer that did more stays."""
        self.observer.racer_starts(racer.name, iterations)
        try:
            folder = self._run(racer, iterations)
        except GraftganError as error:
            return replace(racer, problem=str(error))
        card = folder.card()
        if card.state == RunState.INTERRUPTED:
            raise KeyboardInterrupt(f"stopped; the same command goes on: {card.message}")
        scores = {
            score.iteration: score.value
            for score in read_scores(folder.path / "metrics.jsonl")[0]
            if score.decides and score.iteration is not None and score.value is not None
        }
        reached = {at: value for at, value in scores.items() if at <= iterations}
        return replace(racer, scores=reached, seconds=card.seconds)

    def _run(self, racer: Racer, iterations: int) -> RunFolder:
        folder = RunFolder(racer.run)
        if not folder.experiment_file.is_file():
            experiment = self._experiment(racer.name, iterations)
            return run(experiment, racer.run, device=self._device, observer=self.observer)
        if folder.card().iteration >= iterations:
            return folder
        return resume(racer.run, iterations=iterations, device=self._device, observer=self.observer)

    def _experiment(self, name: str, iterations: int) -> Experiment:
        base = self._race.base
        held_out = base.data.held_out or (0.0 if base.scoring.reference else _HELD_OUT)
        # Scores at the ends of the rounds alone, which nothing may cut short.
        scoring = replace(
            base.scoring,
            score_every=base.training.iterations,
            metrics=(HEADLINE,),
            patience=None,
            copy_guard=False,
            keep_pictures=False,
        )
        return replace(
            base,
            source=name,
            data=replace(base.data, held_out=held_out),
            scoring=scoring,
            training=replace(base.training, iterations=iterations, seconds=None),
        )


def _folder_name(name: str) -> str:
    """Return the name of a source as that of a folder."""
    return re.sub(r"[^\w.@-]+", "_", name).strip("._") or "source"
