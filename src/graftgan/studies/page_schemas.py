"""What the pages of comparisons and searches take for granted in the files that they read.

A file is checked against these classes once; a page then reads the checked data itself, which may
hold more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from graftgan.core.settings import Count, Seconds

FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,200}$")]
"""The name of a folder, which leads nowhere else."""
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Table = Mapping[str, Any]


def _table() -> Table:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleScore:
    """The score of one run."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """A run in ``comparison.json``."""

    folder: FolderName
    variant: str
    seed: Whole
    state: str
    message: str = ""
    settings: Table = field(default_factory=_table)
    iteration: Count = 0
    images: Count = 0
    seconds: Seconds = 0.0
    trainable: Count | None = None
    parameters: Count | None = None
    adapter_bytes: Count | None = None
    end: SingleScore | None = None
    best: SingleScore | None = None
    best_iteration: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceEntry:
    """How far a variant is from the best."""

    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingEntry:
    """Where a variant, or a trial by new seeds, stands."""

    variant: str = ""
    verdict: str = ""
    seeds: tuple[Whole, ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    difference: DifferenceEntry | None = None
    is_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFile:
    """``comparison.json``."""

    command: str = ""
    score: str = ""
    better: str = "lower"
    iterations: Count = 0
    seconds_limit: Seconds | None = None
    seeds: tuple[Whole, ...] = ()
    variants: Mapping[str, Table] = field(default_factory=dict[str, Table])
    shared: Table = field(default_factory=_table)
    runs: tuple[ComparedRun, ...] = ()
    at_end: tuple[StandingEntry, ...] = ()
    at_best: tuple[StandingEntry, ...] = ()
    says: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEntry:
    """A trial in ``search.json``."""

    number: Count
    why: str = ""
    overrides: Table = field(default_factory=_table)
    stage: str = "search"
    state: str = "open"
    message: str = ""
    plan: str = ""
    cost: float | None = None
    best: SingleScore | None = None
    iteration: Count = 0
    images: Count = 0
    wall: Seconds = 0.0
    trainable: Count | None = None
    parameters: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceCell:
    """The costs of the trials that freeze and fine-tune so many layers."""

    freeze: Count
    tune: Count
    count: Count
    best: Finite
    mean: Finite


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedEntry:
    """A trial that was run again."""

    trial: Count | None = None
    standing: StandingEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFile:
    """``search.json``."""

    command: str = ""
    strategy: str = ""
    judge: str = ""
    score: str = ""
    better: str = "lower"
    complete: bool = False
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    trials: tuple[TrialEntry, ...] = ()
    surface: Mapping[str, tuple[SurfaceCell, ...]] = field(
        default_factory=dict[str, tuple[SurfaceCell, ...]]
    )
    early: Mapping[str, tuple[SurfaceCell, ...]] = field(
        default_factory=dict[str, tuple[SurfaceCell, ...]]
    )
    early_iteration: Count | None = None
    front: tuple[Count, ...] = ()
    ranking: tuple[Count, ...] = ()
    source: StandingEntry | None = None
    importances: Mapping[str, float] = field(default_factory=dict[str, float])
    confirmed: tuple[ConfirmedEntry, ...] = ()
    winner: Count | None = None
    shared: Table = field(default_factory=_table)
    says: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
