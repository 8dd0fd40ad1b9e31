"""An adapter: the tensors that a plan changed, bound to their base by hash, in one file."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints import as_stored, checksum, load_note, load_tensors, save_tensors
from graftgan.core.errors import CheckpointError, RunError, SettingsError, shown
from graftgan.core.files import refuse_existing, written_whole
from graftgan.core.network_types import Architecture, NetworkPair, tensors_of_pair
from graftgan.core.settings import parse, strict, to_plain
from graftgan.experiments.run_folder import RunFolder, TrainedRun, load_run, schedule_of
from graftgan.networks.backbone import build_pair, surrounded
from graftgan.networks.blocks import Statistics
from graftgan.transfer import (
    ACTIONS,
    AppliedPlan,
    LowRank,
    apply_plan,
    filters_in,
    fold,
    lasting,
    parse_plan,
    replanned,
)

FORMAT = 1
FILE_NAME = "adapter.safetensors"
_OF_G = "generator."


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterNote:
    """Where an adapter comes from, and what is needed to apply it to its base."""

    base: str  # the source's name or folder when the adapter was made
    base_fingerprints: Mapping[str, str]  # sha256 of the base's networks, by role
    architecture: Architecture
    plan: str  # in plan notation
    statistics: Statistics  # of frozen and modulated normalisations
    iteration: int  # of its checkpoint
    images_seen: int  # real pictures shown until then
    objective: str
    pictures: str  # name of the image set
    lora_rank: int = LowRank().rank
    lora_scale: float = LowRank().scale

    @property
    def low_rank(self) -> LowRank:
        """The settings of the plan's ``lora``."""
        return LowRank(rank=self.lora_rank, scale=self.lora_scale)


@dataclass(frozen=True, slots=True)
class Adapter:
    """The tensors that a plan changed, as ``<role>.<name>``, with a note."""

    note: AdapterNote
    tensors: Mapping[str, Tensor]

    @property
    def precision(self) -> str:
        """The types of its floating-point tensors, such as ``float16``."""
        kinds = {str(t.dtype) for t in self.tensors.values() if t.is_floating_point()}
        return ", ".join(sorted(kind.removeprefix("torch.") for kind in kinds))

    def in_half(self) -> "Adapter":
        """Return it in 16-bit floating point; tensors with values out of range are unchanged."""
        return replace(self, tensors=as_stored(self.tensors, torch.float16))


def adapter_of(
    run: TrainedRun,
    base_fingerprints: Mapping[str, str],
    *,
    averaged: Mapping[str, Tensor] | None = None,
) -> Adapter:
    """Return the adapter of a run whose source has those fingerprints.

    ``averaged`` are the tensors of the averaged generator by name, if ``run`` holds the live one
    under the first plan of its schedule. Raises RunError: the run started from fresh weights, so it
    has no base.
    """
    if run.experiment.source is None:
        raise RunError("a run from fresh weights changed everything: pack it as a source instead")
    experiment = run.experiment
    pair, applied = (run.pair, run.applied) if run.step == 0 else _as_one_plan(run)
    report = applied.report
    note = AdapterNote(
        base=run.experiment.source,
        base_fingerprints=dict(base_fingerprints),
        architecture=run.pair.architecture,
        plan=report.notation,
        statistics=report.statistics,
        iteration=run.iteration,
        images_seen=run.images_seen,
        objective=experiment.resolved_objective,
        pictures=experiment.pictures.name,
        lora_rank=experiment.transfer.lora_rank,
        lora_scale=experiment.transfer.lora_scale,
    )
    tensors = changed_tensors(pair, applied)
    if averaged is not None:
        tensors |= {n: averaged[n[len(_OF_G) :]] for n in tensors if n.startswith(_OF_G)}
    return Adapter(note, tensors)


def _as_one_plan(run: TrainedRun) -> tuple[NetworkPair, AppliedPlan]:
    """Return the networks of a later step of a schedule under what its plans did in all."""
    schedule, fresh = (
        schedule_of(run.experiment, run.pair),
        partial(build_pair, run.pair.architecture),
    )
    plan = lasting(schedule, run.step, run.pair)
    under = partial(
        apply_plan,
        plan,
        fresh=fresh,
        statistics=run.applied.report.statistics,
        low_rank=run.experiment.transfer.low_rank(run.experiment.seed),
        filters=filters_in(tensors_of_pair(run.pair)),
    )
    return replanned(run.pair, run.applied.decisions, fresh, under)


def put_on(
    adapter: Adapter,
    pair: NetworkPair,
    fingerprints: Mapping[str, str],
    *,
    what: str = "this adapter",
) -> NetworkPair:
    """Return the base's networks with the adapter applied and its modulations folded.

    ``pair`` is modified; pass a copy to use it again. ``what`` names the adapter in error messages.
    Raises CheckpointError: the networks are not the adapter's base, or the adapter is damaged;
    PlanError: its plan does not fit.
    """
    note = adapter.note
    if dict(fingerprints) != dict(note.base_fingerprints):
        raise CheckpointError(
            f"{what} belongs to another base than the one given: it was made on '{note.base}', "
            f"{_short(note.base_fingerprints)}, and this is {_short(fingerprints)}; give its own "
            "base"
        )
    pair = surrounded(pair, note.architecture, torch.Generator().manual_seed(0))
    if pair.architecture != note.architecture:
        raise CheckpointError(
            f"{what} is damaged: its note describes other networks than those of its base"
        )
    applied = apply_plan(
        parse_plan(note.plan),
        pair,
        fresh=partial(build_pair, note.architecture),
        statistics=note.statistics,
        low_rank=note.low_rank,
        filters=filters_in(adapter.tensors),
    )
    places = changed_tensors(pair, applied)
    shapes = {name: tensor.shape for name, tensor in adapter.tensors.items()}
    wrong = sorted(
        name
        for name in places.keys() | shapes.keys()
        if name not in places or shapes.get(name) != places[name].shape
    )
    if wrong:
        raise CheckpointError(f"{what} does not fit its plan: {', '.join(map(shown, wrong[:6]))}")
    for name, place in places.items():
        place.copy_(adapter.tensors[name])
    return fold(pair)


def changed_tensors(pair: NetworkPair, applied: AppliedPlan) -> dict[str, Tensor]:
    """Return the tensors that the plan lets change, as ``<role>.<name>``, sharing memory."""
    found: dict[str, Tensor] = {}
    for role, network in pair.items():
        moving = {
            id(buffer)
            for name, layer in network.layers().items()
            if not ACTIONS[applied.decisions[role][name]].holds_buffers
            for buffer in layer.buffers()
        }
        trained = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
        buffers = {n: b for n, b in network.named_buffers() if id(b) in moving}
        found |= {f"{role}.{name}": tensor for name, tensor in (trained | buffers).items()}
    return found


def _short(fingerprints: Mapping[str, str]) -> str:
    return f"generator sha256 {fingerprints.get('generator', 'unknown')[:12]}"


def save_adapter(adapter: Adapter, path: Path) -> None:
    """Write an adapter as one safetensors file, atomically."""
    plain = to_plain(adapter.note)
    note = {"kind": "adapter", "format": FORMAT, "checksum": checksum(adapter.tensors), **plain}
    with written_whole(path) as partial:
        save_tensors(partial, adapter.tensors, note=note)


def load_adapter(path: Path) -> Adapter:
    """Load an adapter from its file or run folder; CheckpointError: it is damaged or not one."""
    if path.is_dir():
        path = path / FILE_NAME
        if not path.is_file():
            raise CheckpointError(
                f"there is no {path}; a transfer writes it when it ends or is interrupted"
            )
    note: dict[str, Any] = load_note(path)
    if note.pop("kind", None) != "adapter" or note.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} is not an adapter of format {FORMAT}")
    tensors = load_tensors(path)
    if note.pop("checksum", None) != checksum(tensors):
        raise CheckpointError(
            f"the adapter {path} is damaged: its tensors are not as they were written; make it "
            "again from its run with `graftgan adapter save`"
        )
    try:
        return Adapter(parse(AdapterNote, note, where="its note"), tensors)
    except SettingsError as error:
        raise CheckpointError(f"the adapter {path} is damaged: {error}") from None


def save_adapter_of_run(
    run: Path, destination: Path, *, iteration: int | None = None, half: bool = False
) -> Adapter:
    """Write the adapter of a run's checkpoint, or a copy of an adapter file.

    ``run`` is the run folder or the adapter file; ``iteration`` is the checkpoint's, by default the
    newest; ``half`` stores 16-bit floating point. Raises SettingsError: ``destination`` is not a
    .safetensors file; RunError: it exists, or the run started from fresh weights; CheckpointError:
    there is no such checkpoint, or the adapter is damaged.
    """
    if destination.suffix != ".safetensors":
        raise SettingsError(
            f"'{destination}' is not an adapter file: its name must end in .safetensors"
        )
    refuse_existing(destination)
    if not run.is_file():
        trained = load_run(run, iteration=iteration)
        adapter = adapter_of(trained, RunFolder(run).card().base)
    elif iteration is None:
        adapter = load_adapter(run)
    else:
        raise SettingsError(f"{run} is one adapter: give its run folder to choose an iteration")
    chosen = adapter.in_half() if half else adapter
    save_adapter(chosen, destination)
    return chosen


def adapter_files(folder: Path) -> Iterator[Path]:
    """Yield every adapter file below ``folder``, except in hidden folders.

    These are files named ``adapter.safetensors``, even if damaged, and others with an adapter's
    note.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place) / name for name in sorted(files)):
            if path.name == FILE_NAME or (path.suffix == ".safetensors" and _is_adapter(path)):
                yield path


def _is_adapter(path: Path) -> bool:
    try:
        return load_note(path).get("kind") == "adapter"
    except CheckpointError:
        return False
