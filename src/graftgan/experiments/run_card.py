"""How a run stands, as its folder says."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from graftgan.core.errors import RunError
from graftgan.core.files import read_sealed, write_sealed
from graftgan.core.settings import parse, require_counts, strict

_ADVICE = "start a new run with the settings in experiment.toml"


class RunState(StrEnum):
    """The states of a run. One that is killed stays ``running`` until it is resumed."""

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
    """What the run of a VAE gave to the run that began with its decoder.

    Attributes:
        kind: ``vae``.
        iterations: Of the VAE's run.
        images: Shown to it.
        seconds: In its loop.
        receipt: What became of the decoder's tensors.
    """

    kind: str
    iterations: int
    images: int
    seconds: float
    receipt: str


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One process at work on a run: a later one may be on another machine.

    Attributes:
        command: What was typed.
        versions: Of graftgan, torch, Python and system.
        device: That of the leading process.
        hardware: In words.
        processes: That train together.
    """

    command: str
    versions: Mapping[str, str]
    device: str
    hardware: str
    processes: int


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """How a run stands.

    Attributes:
        state: The end state is written last of all: a run that has one is complete.
        message: Why it ended early.
        iteration: Reached; while it runs, that of the newest checkpoint.
        iterations: Where it ends.
        seconds: In the training loop.
        base: Fingerprints of the source's networks, by role; empty without a source.
        pictures_sha256: Of the image set.
        reference_checksum: Of the pictures it is scored against.
        settings_sha256: Of the settings that must not change.
        checksums: Of the tensors made before the run, by file name without ending.
        best: Iteration of the best checkpoint.
        warning: That the generator draws what the augmentation does.
        remarks: What a person should know.
        start: What it began with, if that is the decoder of a VAE.
        session: The last one.
    """

    state: RunState
    message: str = ""
    iteration: int = 0
    iterations: int
    seconds: float = 0.0
    base: Mapping[str, str]
    pictures_sha256: str
    reference_checksum: str | None = None
    settings_sha256: str
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])
    best: int | None = None
    warning: str | None = None
    remarks: tuple[str, ...] = ()
    start: VAEStart | None = None
    session: Session

    def __post_init__(self) -> None:
        require_counts(iteration=self.iteration, iterations=self.iterations, best=self.best or 0)
        require_counts(seconds=self.seconds)

    def changed(self, **entries: Any) -> "RunCard":
        """Return the card with other ``entries``."""
        return replace(self, **entries)


def read_run_card(path: Path) -> RunCard:
    """Read a card; where it is damaged, its copy, so that one bad byte costs no run.

    Raises:
        RunError: The file is missing, or it and its copy are damaged.
    """
    try:
        return _read(path)
    except RunError:
        if not path.is_file():
            copy = _copy_of(path)
            remedy = f"its copy is {copy}: rename that" if copy.is_file() else _ADVICE
            raise RunError(f"there is no file {path}; {remedy}") from None
        with suppress(RunError):
            return _read(_copy_of(path))
        raise


def _read(path: Path) -> RunCard:
    plain = read_sealed(path, error=RunError, advice=_ADVICE)
    try:
        return parse(RunCard, plain, where=str(path), error=RunError)
    except RunError as problem:
        raise RunError(f"{problem}; {_ADVICE}") from None


def write_run_card(path: Path, card: RunCard) -> None:
    """Write a card and its copy, whole."""
    for place in (_copy_of(path), path):
        write_sealed(place, asdict(card))


def _copy_of(path: Path) -> Path:
    return path.with_name(f".{path.name}")
