"""What a run folder holds, read leniently: a run may have been stopped at any moment."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

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

# States after which nothing is written.
ENDINGS = frozenset(RunState) - {RunState.RUNNING}
_LARGEST_COUNT = 2**53  # of iterations and images: up to here they are exact as floats
_SNAPSHOT = re.compile(r"([0-9]{1,15})\.png")
_EXPECTED = {
    "experiment.toml": "the settings of the run",
    "plan.json": "what each layer did",
    "card.json": "how the run ended, on which versions and hardware",
}

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run folder in memory.

    Attributes:
        folder: Where it lies, as the caller wrote it.
        settings: ``experiment.toml``; empty where missing.
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
    settings: dict[str, Any]
    plan: PlanRecord | None
    card: RunCard | None
    manifest: ManifestRecord | None
    log: list[dict[str, Any]]
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
        logged = [int(entry["iteration"]) for entry in self.log[-1:]]
        reached = [] if self.card is None else [self.card.iteration]
        return max(reached + logged + list(self.samples)[-1:], default=0)

    def images_at(self, iteration: int) -> tuple[int, bool] | None:
        """Return images seen by then and whether the log says so or it follows from its ratio."""
        if iteration == 0:
            return 0, True
        counted = [
            entry
            for entry in self.log
            if 0 < number(entry.get("images")) <= _LARGEST_COUNT and entry["iteration"] > 0
        ]
        if not counted:
            return None
        near = min(counted, key=lambda entry: abs(entry["iteration"] - iteration))
        images = round(number(near["images"]) * iteration / near["iteration"])
        return images, bool(near["iteration"] == iteration)


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
    log = _by_iteration(read_jsonl(folder / "log.jsonl"))
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


def number(value: object, default: float = math.nan) -> float:
    """Return ``value`` as a float, or ``default`` where it is not a number, or a huge integer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    try:
        return float(value)
    except OverflowError:
        return default


def table(value: object) -> dict[str, Any]:
    """Return ``value`` where it is a mapping with text keys, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def rows(value: object) -> list[dict[str, Any]]:
    """Return the mappings in ``value`` where it is a list, else nothing."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [table(entry) for entry in entries if isinstance(entry, dict)]


def texts(value: object) -> list[str]:
    """Return the texts in ``value`` where it is a list, else nothing."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, str)]


def numbers(value: object) -> list[int]:
    """Return the whole numbers in ``value`` where it is a list, else nothing."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, int) and not isinstance(entry, bool)]


def _settings(folder: Path, missing: list[str]) -> dict[str, Any]:
    name = "experiment.toml"
    if not (folder / name).is_file():
        missing.append(f"{name} ({_EXPECTED[name]}) is missing")
        return {}
    try:
        return read_toml(folder / name)
    except SettingsError as error:
        missing.append(f"{name} ({_EXPECTED[name]}) cannot be read: {error}")
        return {}


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


def _by_iteration(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per iteration, ascending; a resumed run's later entry replaces the old."""
    entries = {
        int(entry["iteration"]): {**entry, "iteration": int(entry["iteration"])}
        for entry in log
        if 0 <= number(entry.get("iteration")) <= _LARGEST_COUNT
    }
    return [entries[iteration] for iteration in sorted(entries)]


def _grids(folder: Path) -> dict[int, Path]:
    named = [(_SNAPSHOT.fullmatch(path.name), path) for path in sorted(folder.glob("*.png"))]
    found = {int(match[1]): path for match, path in named if match}
    return {iteration: found[iteration] for iteration in sorted(found)}
