"""What a run folder holds, read leniently: a run may have been stopped at any moment."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import read_jsonl
from graftgan.core.settings import read_toml
from graftgan.experiments.records import (
    ManifestRecord,
    PlanRecord,
    ScoreRecord,
    read_manifest,
    read_plan,
    read_scores,
)
from graftgan.experiments.run_card import RunCard, RunState, read_run_card
from graftgan.reports.page import plain

# States after which nothing is written.
ENDINGS = frozenset(RunState) - {RunState.RUNNING}
_LARGEST_COUNT = 2**53  # of iterations and images: up to here they are exact as floats
_MOMENT = {"iteration", "images", "seconds"}  # of a line of the log; the rest are curves
_SNAPSHOT = re.compile(r"([0-9]{1,15})\.png")
_EXPECTED = {
    "experiment.toml": "the settings of the run",
    "plan.json": "what each layer did",
    "card.json": "how the run ended, on which versions and hardware",
}

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRecord:
    """``experiment.toml`` as a page tells it, also where a value is none, or of another version.

    Attributes:
        source: Name or path; None: fresh weights.
        pictures: Name or path; None where it does not say, as in all that follow.
        method: A named method.
        procedure: How it trains.
        objective: Of adversarial training.
        sections: Every setting in words, by section; those outside any are ``experiment``.
    """

    source: str | None = None
    pictures: str | None = None
    method: str | None = None
    procedure: str | None = None
    objective: str | None = None
    sections: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A line of ``log.jsonl``.

    Attributes:
        images: Real pictures shown until then; not-a-number where it does not say.
        seconds: Of training until then, likewise.
        terms: What else was logged, by name; None is what is no number.
    """

    iteration: int
    images: float
    seconds: float
    terms: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run folder in memory.

    Attributes:
        folder: Where it lies, as the caller wrote it.
        settings: ``experiment.toml``; None where it is missing, empty or damaged.
        plan: ``plan.json``; None where it is missing or damaged, like ``card`` and ``manifest``.
        card: ``card.json``.
        manifest: ``manifest.json``.
        log: ``log.jsonl``, one entry per iteration, ascending.
        scores: ``metrics.jsonl``, in the order of writing.
        samples: Snapshot files by iteration, ascending.
        reconstructions: Sheets of training pictures above what the generator makes of them, by
            iteration; empty but in runs that reconstruct.
        missing: One sentence for each expected thing that is not there or cannot be read.
    """

    folder: Path
    settings: SettingsRecord | None
    plan: PlanRecord | None
    card: RunCard | None
    manifest: ManifestRecord | None
    log: list[LogRecord]
    scores: list[ScoreRecord]
    samples: dict[int, Path]
    reconstructions: dict[int, Path]
    missing: list[str]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def state(self) -> str:
        """``running``, or one of ``ENDINGS``, or ``unknown``."""
        return "unknown" if self.card is None else self.card.state

    @property
    def iteration(self) -> int:
        """Where the run ended by its card; without an end, the last iteration of any file."""
        if self.card is not None and self.state in ENDINGS:
            return self.card.iteration
        logged = [entry.iteration for entry in self.log[-1:]]
        reached = [] if self.card is None else [self.card.iteration]
        return max(reached + logged + list(self.samples)[-1:], default=0)

    def images_at(self, iteration: int) -> tuple[int, bool] | None:
        """Return images seen by then and whether the log says so or it follows from its ratio."""
        if iteration == 0:
            return 0, True
        counted = [
            entry
            for entry in self.log
            if 0 < entry.images <= _LARGEST_COUNT and entry.iteration > 0
        ]
        if not counted:
            return None
        near = min(counted, key=lambda entry: abs(entry.iteration - iteration))
        images = round(near.images * iteration / near.iteration)
        return images, near.iteration == iteration


def read_run(folder: Path, *, card: RunCard | None = None) -> RunRecord:
    """Read what is there and note what is not; ``card`` stands for the one on disk.

    Raises:
        RunError: There is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no run folder {folder}; give the folder that a run wrote")
    missing: list[str] = []
    settings = _settings(folder, missing)
    plan = _checked(folder, "plan.json", read_plan, missing)
    if card is None:
        card = _checked(folder, "card.json", lambda run: read_run_card(run / "card.json"), missing)
    manifest = _checked(folder, "manifest.json", read_manifest, missing)
    scores, damaged = read_scores(folder / "metrics.jsonl")
    if damaged:
        more = f"; {len(damaged) - 1} more like it" if len(damaged) > 1 else ""
        missing.append(f"a line of metrics.jsonl (the scores) cannot be read: {damaged[0]}{more}")
    log = _log(folder / "log.jsonl")
    if not log:
        missing.append("log.jsonl (the curves) is missing or holds no whole line")
    samples = _grids(folder / "samples")
    if not samples:
        missing.append("samples/ holds no picture")
    return RunRecord(
        folder=folder,
        settings=settings,
        plan=plan,
        card=card,
        manifest=manifest,
        log=log,
        scores=scores,
        samples=samples,
        reconstructions=_grids(folder / "reconstructions"),
        missing=missing,
    )


def number(value: object) -> float:
    """Return ``value`` as a float; not-a-number where it is none, or a huge integer."""
    if not _is_number(value):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _settings(folder: Path, missing: list[str]) -> SettingsRecord | None:
    name = "experiment.toml"
    if not (folder / name).is_file():
        missing.append(f"{name} ({_EXPECTED[name]}) is missing")
        return None
    try:
        found = read_toml(folder / name)
    except SettingsError as error:
        missing.append(f"{name} ({_EXPECTED[name]}) cannot be read: {error}")
        return None
    named = ("source", "pictures", "method", "procedure", "objective")
    said = {name: str(found[name]) for name in named if name in found}
    return SettingsRecord(**said, sections=_sections(found)) if found else None


def _sections(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the settings as text by section; those outside any section come first."""
    sections = {"experiment": {k: plain(v) for k, v in settings.items() if not _is_table(v)}}
    for name, section in settings.items():
        if _is_table(section):
            sections[name] = dict(_flat(section))
    return {name: section for name, section in sections.items() if section}


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if _is_table(value):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, plain(value)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _checked(folder: Path, name: str, read: Callable[[Path], R], missing: list[str]) -> R | None:
    """Return a file of the run in its schema; an absent optional file is no loss."""
    try:
        return read(folder)
    except RunError as error:
        if (folder / name).exists():
            missing.append(f"{name} cannot be read: {error}")
        elif name in _EXPECTED:
            missing.append(f"{name} ({_EXPECTED[name]}) is missing")
        return None


def _log(file: Path) -> list[LogRecord]:
    """Return one entry per iteration, ascending; a resumed run's later entry replaces the old."""
    entries = {
        int(line["iteration"]): line
        for line in read_jsonl(file)
        if 0 <= number(line.get("iteration")) <= _LARGEST_COUNT
    }
    return [_logged(iteration, entries[iteration]) for iteration in sorted(entries)]


def _logged(iteration: int, line: Mapping[str, Any]) -> LogRecord:
    terms = {name: value for name, value in line.items() if name not in _MOMENT}
    return LogRecord(
        iteration=iteration,
        images=number(line.get("images")),
        seconds=number(line.get("seconds")),
        terms={name: number(v) if _is_number(v) else None for name, v in terms.items()},
    )


def _grids(folder: Path) -> dict[int, Path]:
    named = [(_SNAPSHOT.fullmatch(path.name), path) for path in sorted(folder.glob("*.png"))]
    found = {int(match[1]): path for match, path in named if match}
    return {iteration: found[iteration] for iteration in sorted(found)}
