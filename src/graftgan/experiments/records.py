"""What runs leave on disk, as every reader sees it: one schema for each kind of file.

The files are read back by programs of later versions, after kills and from other people's disks, so
nothing in them is believed before it has passed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftgan.core.errors import RunError
from graftgan.core.provenance import Origin, origin_of
from graftgan.core.settings import Count, read_lines, read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """One layer in ``plan.json``.

    Attributes:
        layer: Its name.
        kind: Of the layer, such as ``conv``.
        action: What the plan did to it.
        parameters: Numbers in it before the plan.
        trainable: Numbers that training may change.
    """

    layer: str
    kind: str = ""
    action: str
    parameters: Count
    trainable: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """``plan.json``: what a plan did, layer by layer.

    Attributes:
        notation: The plan, every layer spelled out.
        frozen_statistics: What frozen layers normalise with.
        parameters: Numbers in both networks.
        trainable: Numbers that training may change.
        networks: The layers of each network, input first.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecord(Origin):
    """One picture in ``manifest.json``, with what is known of its origin.

    Attributes:
        name: Below its folder, or in its zip.
        split: ``training``, ``held_out`` or ``unused``; empty where it is not known.
    """

    name: str
    split: str = ""

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return origin_of({name: getattr(self, name) for name in Origin.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRecord:
    """A file in ``manifest.json`` that is no picture of the set, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRecord:
    """``manifest.json``: the pictures of a run, and what was skipped."""

    pictures: tuple[PictureRecord, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()

    @property
    def training(self) -> list[PictureRecord]:
        """The pictures that the run was trained on."""
        return [picture for picture in self.pictures if picture.split == "training"]

    @property
    def splits(self) -> dict[str, str]:
        """Where each picture is, by name."""
        return {picture.name: picture.split for picture in self.pictures}


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRecord:
    """What real pictures score, in a line of ``metrics.jsonl``."""

    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """A line of ``metrics.jsonl``, as far as a page tells it.

    Attributes:
        iteration: Of the model that was scored; None where it has none.
        name: Of the score.
        value: The number; None is how strict JSON writes not-a-number.
        low: Lower end of its interval, where there is one.
        high: Upper end.
        better: ``lower``, ``higher`` or ``zero``.
        floor: The same of real pictures, where that was measured.
        protocol: How it was measured; None: the line does not say.
        decides: Whether it chooses the best checkpoint; None: it is the only score of its run.
        copying: Whether the pictures copy those of the training.
        stop: Why the run should end by it; empty: it should not.
        model: What was scored, where that was not the run itself while it trained.
    """

    iteration: Count | None = None
    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    better: str = ""
    floor: FloorRecord | None = None
    protocol: Mapping[str, Any] | None = None
    decides: bool | None = None
    copying: bool = False
    stop: str = ""
    model: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether a run wrote it while it trained."""
        return self.model is None


def read_plan(run: Path) -> PlanRecord:
    """Return ``plan.json`` of a run folder.

    Raises:
        RunError: It is missing or damaged.
    """
    remedy = "start a new run with the settings in experiment.toml"
    return read_record(PlanRecord, run / "plan.json", error=RunError, remedy=remedy)


def read_manifest(run: Path) -> ManifestRecord:
    """Return ``manifest.json`` of a run folder.

    Raises:
        RunError: It is missing or damaged.
    """
    remedy = "without it nothing is known of the pictures; restore it from a copy of the run"
    return read_record(ManifestRecord, run / "manifest.json", error=RunError, remedy=remedy)


def read_scores(file: Path) -> tuple[list[ScoreRecord], list[str]]:
    """Return the whole lines of ``metrics.jsonl`` in their order, and what is wrong with others."""
    return read_lines(ScoreRecord, file)
