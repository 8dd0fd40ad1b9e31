"""The files of a run folder: one schema for each kind.

Files may come from other versions, interrupted runs or other people's disks, so every reader
validates them here. ``read_run`` reads a whole folder and tolerates missing and damaged files: a
run may have been stopped at any moment.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import append_jsonl, read_jsonl, read_sealed, write_sealed
from graftgan.core.provenance import Origin, origin_of
from graftgan.core.settings import (
    Count,
    Seconds,
    parse,
    read_lines,
    read_record,
    read_toml,
    strict,
    to_plain,
)
from graftgan.experiments.experiment import flat
from graftgan.metrics.pixels import SlicedWassersteinScore
from graftgan.metrics.score import Score
from graftgan.reports.page import plain

_AGAIN = "start a new run with the settings in experiment.toml"
_LARGEST_COUNT = 2**53  # iterations or images that a float represents exactly
_MOMENT = {"iteration", "images", "seconds"}  # keys in a line of the log that are no curves
_SNAPSHOT = re.compile(r"([0-9]{1,15})\.png")
_EXPECTED = {
    "experiment.toml": "the settings of the run",
    "plan.json": "what each layer did",
    "card.json": "how the run ended, on which versions and hardware",
}

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """One layer in ``plan.json``: its parameters before the plan, and how many are trainable."""

    layer: str
    kind: str = ""
    action: str
    parameters: Count
    trainable: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """``plan.json``: what the plan did to each layer of both networks, input first."""

    notation: str
    frozen_statistics: str = ""
    parameters: Count
    trainable: Count
    networks: Mapping[str, tuple[LayerRecord, ...]]

    @property
    def actions(self) -> dict[str, dict[str, str]]:
        """The action of each layer, by network and layer."""
        return {
            role: {row.layer: row.action for row in layers}
            for role, layers in self.networks.items()
        }


def read_plan(run: Path) -> PlanRecord:
    """Return ``plan.json`` of a run folder; raise RunError if it is missing or damaged."""
    return read_record(PlanRecord, run / "plan.json", error=RunError, remedy=_AGAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecord(Origin):
    """One picture in ``manifest.json``, with its origin as far as that is known."""

    name: str  # its path inside the folder or zip
    split: str = ""  # ``training``, ``held_out`` or ``unused``; empty: unknown
    sha256: str = ""  # of its file; empty: unknown

    @property
    def origin(self) -> Origin:
        """The origin alone."""
        return origin_of({name: getattr(self, name) for name in Origin.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRecord:
    """A file in ``manifest.json`` that was skipped, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRecord:
    """``manifest.json``: the pictures of a run, and what was skipped."""

    pictures: tuple[PictureRecord, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()

    @property
    def training(self) -> list[PictureRecord]:
        """The training pictures."""
        return [picture for picture in self.pictures if picture.split == "training"]

    @property
    def held_out(self) -> list[PictureRecord]:
        """The pictures that were held out of the training."""
        return [picture for picture in self.pictures if picture.split == "held_out"]

    @property
    def splits(self) -> dict[str, str]:
        """The split of each picture, by name."""
        return {picture.name: picture.split for picture in self.pictures}


def read_manifest(run: Path) -> ManifestRecord:
    """Return ``manifest.json`` of a run folder; raise RunError if it is missing or damaged."""
    remedy = "it describes the pictures of the run; restore it from a copy of the run"
    return read_record(ManifestRecord, run / "manifest.json", error=RunError, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRecord:
    """The score of real pictures against others of their set, in ``metrics.jsonl``."""

    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """A line of ``metrics.jsonl``, with the keys that readers need."""

    iteration: Count | None = None  # of the scored model; None: it has none
    name: str
    value: float | None  # None: not-a-number, which strict JSON cannot hold
    low: float | None = None
    high: float | None = None
    better: str = ""  # ``lower``, ``higher`` or ``zero``
    floor: FloorRecord | None = None
    protocol: Mapping[str, Any] | None = None  # how it was measured; None: not recorded
    decides: bool | None = None  # whether it chooses the best checkpoint; None: the only score
    copying: bool = False  # whether the pictures copy training pictures
    stop: str = ""  # why this score ends the run; empty: it does not
    model: str | None = None  # the scored model; None: the run itself while it trained

    @property
    def is_own(self) -> bool:
        """Whether the run wrote it while it trained."""
        return self.model is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLine:
    """A score to append to ``metrics.jsonl``; None: the line does not have the key."""

    iteration: int
    score: Score | SlicedWassersteinScore
    decides: bool | None = None  # None: of a later evaluation
    copying: bool | None = None  # None: it was not looked for
    stop: str | None = None
    model: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the line, which ``ScoreRecord`` describes, as plain data."""
        keys = {name: getattr(self, name) for name in ("decides", "copying", "stop", "model")}
        known = {name: value for name, value in keys.items() if value is not None}
        return {"iteration": self.iteration, **to_plain(self.score), **known}


def append_scores(file: Path, lines: Iterable[ScoreLine]) -> None:
    """Append ``lines`` to ``metrics.jsonl``, all of them or none."""
    append_jsonl(file, *(line.as_dict() for line in lines))


def read_scores(file: Path) -> tuple[list[ScoreRecord], list[str]]:
    """Return the valid lines of ``metrics.jsonl`` in order, and what is wrong with the others."""
    return read_lines(ScoreRecord, file)


class RunState(StrEnum):
    """The state of a run. A killed run stays ``running`` until it is resumed."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"  # by its scores
    PRUNED = "pruned"  # by a search
    INTERRUPTED = "interrupted"
    DIVERGED = "diverged"
    FAILED = "failed"


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class VAEStart:
    """The cost of the VAE that a run began with."""

    kind: str
    iterations: int
    images: int
    seconds: float
    receipt: str  # which tensors of its decoder were loaded


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A training session of a run; a later one may be on another machine."""

    command: str  # as typed
    versions: Mapping[str, str]  # of graftgan, torch, Python and system
    device: str  # of the leading process
    hardware: str  # in words
    processes: int  # that train together


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """The state of a run, as ``card.json`` holds it."""

    state: RunState  # an end state is written last: a run that has one is complete
    message: str = ""  # why it ended early
    iteration: Count = 0  # reached; while it runs, that of the newest checkpoint
    iterations: Count  # planned
    seconds: Seconds = 0.0  # in the training loop
    base: Mapping[str, str]  # fingerprints of the source's networks, by role, if any
    pictures_sha256: str  # of the image set
    reference_checksum: str | None = None  # of the pictures it is scored against
    settings_sha256: str  # of the settings that must not change
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])  # of tensors made before
    best: Count | None = None  # iteration of the best checkpoint
    warning: str | None = None  # about the scored pictures, such as leaked augmentations
    remarks: tuple[str, ...] = ()  # for its page
    start: VAEStart | None = None  # if it began with the decoder of a VAE
    session: Session  # the last one


def read_run_card(path: Path) -> RunCard:
    """Read a card, or its copy if it is damaged; RunError: it is missing, or both are damaged."""
    copy = _copy_of(path)
    try:
        return _read_card(path)
    except RunError:
        if not path.is_file():
            remedy = f"its copy is {copy}: rename that" if copy.is_file() else _AGAIN
            raise RunError(f"there is no file {path}; {remedy}") from None
        with suppress(RunError):
            return _read_card(copy)
        raise


def _read_card(path: Path) -> RunCard:
    data = read_sealed(path, error=RunError, advice=_AGAIN)
    try:
        return parse(RunCard, data, where=str(path), error=RunError)
    except RunError as problem:
        raise RunError(f"{problem}; {_AGAIN}") from None


def write_run_card(path: Path, card: RunCard) -> None:
    """Write a card and its copy, each atomically."""
    for place in (_copy_of(path), path):
        write_sealed(place, asdict(card))


def _copy_of(path: Path) -> Path:
    return path.with_name(f".{path.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRecord:
    """``experiment.toml`` for display, whatever version wrote it; None: not in the file."""

    source: str | None = None
    pictures: str | None = None
    method: str | None = None
    procedure: str | None = None
    objective: str | None = None
    sections: Mapping[str, Mapping[str, str]]  # every setting as text; ``experiment``: top level


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A line of ``log.jsonl``."""

    iteration: int
    images: float  # shown by then; NaN where the line has no number, as of the seconds
    seconds: float  # trained by then
    terms: Mapping[str, float | None]  # what was logged; None: not a number


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run folder in memory; None: the file is missing or damaged."""

    folder: Path  # as the caller wrote it
    settings: SettingsRecord | None
    plan: PlanRecord | None
    card: RunCard | None
    manifest: ManifestRecord | None
    log: list[LogRecord]  # one entry per iteration, ascending
    scores: list[ScoreRecord]  # in the order of writing
    samples: dict[int, Path]  # snapshot files by iteration, ascending
    reconstructions: dict[int, Path]  # of training pictures, as samples
    missing: list[str]  # a sentence for each file that is missing or damaged

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def state(self) -> str:
        """A :class:`RunState`, or ``unknown``."""
        return "unknown" if self.card is None else self.card.state

    @property
    def iteration(self) -> int:
        """The iteration on the card of an ended run; else the last one in any file."""
        reached = [] if self.card is None else [self.card.iteration]
        if self.state not in {RunState.RUNNING, "unknown"}:
            return reached[0]
        logged = [entry.iteration for entry in self.log[-1:]]
        return max(reached + logged + list(self.samples)[-1:], default=0)

    def images_at(self, iteration: int) -> tuple[int, bool] | None:
        """Return the images seen by then, and whether the log has that or it is extrapolated."""
        if iteration == 0:
            return 0, True
        counted = [e for e in self.log if 0 < e.images <= _LARGEST_COUNT and e.iteration > 0]
        if not counted:
            return None
        near = min(counted, key=lambda entry: abs(entry.iteration - iteration))
        images = round(near.images * iteration / near.iteration)
        return images, near.iteration == iteration


def read_run(folder: Path, *, card: RunCard | None = None) -> RunRecord:
    """Read a run folder and note what is missing; ``card`` replaces the one on disk.

    Raises:
        RunError: There is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no run folder {folder}; give the folder that a run wrote")
    missing: list[str] = []
    settings = _checked(folder, "experiment.toml", _settings, missing)
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
    """Return ``value`` as a float; NaN where it is no number, or too large for a float."""
    with suppress(OverflowError):
        if _is_number(value):
            return float(value)
    return math.nan


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(folder: Path, name: str, read: Callable[[Path], R], missing: list[str]) -> R | None:
    """Return what ``read`` makes of a run, or None, and note why unless the file is optional."""
    what = f"{name} ({_EXPECTED[name]})" if name in _EXPECTED else name
    try:
        return read(folder)
    except (RunError, SettingsError) as error:
        if (folder / name).exists():
            missing.append(f"{what} cannot be read: {error}")
        elif name in _EXPECTED:
            missing.append(f"{what} is missing")
    return None


def _settings(folder: Path) -> SettingsRecord | None:
    found = read_toml(folder / "experiment.toml")
    named = ("source", "pictures", "method", "procedure", "objective")
    said = {name: str(found[name]) for name in named if name in found}
    loose = {name: value for name, value in found.items() if not isinstance(value, dict)}
    tables = {"experiment": loose} | {n: table for n, table in found.items() if n not in loose}
    settings = {name: flat(table) for name, table in tables.items()}
    sections = {n: {k: plain(v) for k, v in s.items()} for n, s in settings.items() if s}
    return SettingsRecord(**said, sections=sections) if found else None


def _log(file: Path) -> list[LogRecord]:
    """Return one entry per iteration, ascending; the later line of a resumed run counts."""
    entries = {
        int(line["iteration"]): line
        for line in read_jsonl(file)
        if 0 <= number(line.get("iteration")) <= _LARGEST_COUNT
    }
    return [
        LogRecord(
            iteration=iteration,
            images=number(line.get("images")),
            seconds=number(line.get("seconds")),
            terms={
                name: number(value) if _is_number(value) else None
                for name, value in line.items()
                if name not in _MOMENT
            },
        )
        for iteration, line in sorted(entries.items())
    ]


def _grids(folder: Path) -> dict[int, Path]:
    named = [(_SNAPSHOT.fullmatch(path.name), path) for path in sorted(folder.glob("*.png"))]
    return dict(sorted((int(match[1]), path) for match, path in named if match))
