"""Adapters: only the tensors a plan changed, bound to their base by hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.backbones import behind_latent_map, build_pair
from graftgan.checkpoints import SourceCard, load_note, load_tensors, save_source, save_tensors
from graftgan.errors import CheckpointError, RunError
from graftgan.files import written_whole
from graftgan.networks import Architecture, LayeredNetwork, NetworkPair
from graftgan.run_folder import TrainedRun
from graftgan.sources import batch_statistics_of, open_source
from graftgan.transfer import (
    ACTIONS,
    AppliedPlan,
    LowRank,
    Statistics,
    apply_plan,
    filters_in,
    fold,
    parse_plan,
)

FORMAT = 1
FILE_NAME = "adapter.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a plan changed, with what is needed to put it back on its base.

    Attributes:
        base: The source's name or folder when the adapter was made.
        base_fingerprints: sha256 of the base's networks, by role.
        plan: The plan's notation.
        tensors: The changed tensors, as ``<role>.<name>``.
        lora_rank: Rank of the factors under ``lora``.
        lora_scale: What their product is multiplied with.
    """

    base: str
    base_fingerprints: Mapping[str, str]
    architecture: Architecture
    plan: str
    statistics: Statistics
    iteration: int
    images_seen: int
    objective: str
    pictures: str
    tensors: Mapping[str, Tensor]
    lora_rank: int = LowRank().rank
    lora_scale: float = LowRank().scale


def adapter_of(run: TrainedRun, base_fingerprints: Mapping[str, str]) -> Adapter:
    """Return the adapter of a transferred run.

    Raises:
        RunError: The run started from fresh weights, so it has no base.
    """
    if run.experiment.source is None:
        raise RunError("a run from fresh weights changed everything: pack it as a source instead")
    tensors = {
        f"{role}.{name}": tensor
        for role, network in run.pair.items()
        for name, tensor in _changed(network, run.applied, role).items()
    }
    return Adapter(
        base=run.experiment.source,
        base_fingerprints=dict(base_fingerprints),
        architecture=run.pair.architecture,
        plan=run.applied.report.notation,
        statistics=run.applied.report.statistics,
        iteration=run.iteration,
        images_seen=run.images_seen,
        objective=run.experiment.objective,
        pictures=run.experiment.pictures.name,
        tensors=tensors,
        lora_rank=run.experiment.transfer.lora_rank,
        lora_scale=run.experiment.transfer.lora_scale,
    )


def save_adapter(adapter: Adapter, path: Path) -> None:
    """Write an adapter as one safetensors file, whole."""
    note: dict[str, Any] = {
        name: getattr(adapter, name) for name in Adapter.__slots__ if name != "tensors"
    }
    note["architecture"] = adapter.architecture.as_dict()
    with written_whole(path) as partial:
        save_tensors(partial, adapter.tensors, note={"kind": "adapter", "format": FORMAT, **note})


def load_adapter(path: Path) -> Adapter:
    """Read an adapter file, or that of a run folder.

    Raises:
        CheckpointError: There is none, it is damaged, or of another kind or a newer format.
    """
    path = path / FILE_NAME if path.is_dir() else path
    note: dict[str, Any] = load_note(path)
    if note.pop("kind", None) != "adapter" or note.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} is not an adapter of format {FORMAT}")
    try:
        note["architecture"] = Architecture(**note["architecture"])
        return Adapter(**note, tensors=load_tensors(path))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"the note in {path} is damaged: {error}") from None


def put_on(adapter: Adapter, pair: NetworkPair, fingerprints: Mapping[str, str]) -> NetworkPair:
    """Return the base's networks with the adapter worked in; their modulations are folded.

    ``pair`` is changed on the way; load it anew for another use.

    Raises:
        CheckpointError: The networks are not the adapter's base.
    """
    if dict(fingerprints) != dict(adapter.base_fingerprints):
        raise CheckpointError(
            f"this adapter belongs to another base than the one given (it was made on "
            f"'{adapter.base}', generator sha256 "
            f"{adapter.base_fingerprints.get('generator', 'unknown')[:12]}); "
            "name its own base with --source"
        )
    rng = torch.Generator().manual_seed(0)
    pair = behind_latent_map(pair, adapter.architecture.latent_map, rng)
    plan = parse_plan(adapter.plan)
    fresh = build_pair(adapter.architecture)
    low_rank = LowRank(rank=adapter.lora_rank, scale=adapter.lora_scale)
    applied = apply_plan(
        plan,
        pair,
        fresh=fresh,
        statistics=adapter.statistics,
        low_rank=low_rank,
        filters=filters_in(adapter.tensors),
    )
    places = {
        f"{role}.{name}": place
        for role, network in pair.items()
        for name, place in _changed(network, applied, role).items()
    }
    wrong = sorted(
        name
        for name in places.keys() | adapter.tensors.keys()
        if name not in places
        or name not in adapter.tensors
        or places[name].shape != adapter.tensors[name].shape
    )
    if wrong:
        raise CheckpointError(f"the adapter does not fit its plan: {', '.join(wrong[:6])}")
    for name, place in places.items():
        place.copy_(adapter.tensors[name])
    return fold(pair)


def fold_adapter(path: Path, destination: Path, *, source: str | None = None) -> SourceCard:
    """Write base plus adapter as a source folder of its own.

    Args:
        path: The adapter file, or its run folder.
        destination: The new source folder.
        source: The base's name or folder, where it is not what it was when the adapter was made.

    Raises:
        RunError: ``destination`` exists.
        CheckpointError: The adapter is damaged, or the base is another one.
        SourceError: The base is not found.
    """
    if destination.exists():
        raise RunError(f"{destination} exists already; choose another name or remove it first")
    adapter = load_adapter(path)
    base = open_source(source or adapter.base)
    pair = put_on(adapter, base.pair, base.card.fingerprints)
    card = SourceCard(
        name=destination.name,
        architecture=adapter.architecture,
        data=f"{adapter.pictures}, grafted on {base.card.name} ({base.card.data})",
        licence=f"that of {base.card.name} ({base.card.licence}) and of the pictures",
        objective=adapter.objective,
        iterations=adapter.iteration,
        images_seen=adapter.images_seen,
        batch_statistics=batch_statistics_of(pair),
        notes=f"plan {adapter.plan}",
    )
    return save_source(destination, pair, card)


def _changed(network: LayeredNetwork, applied: AppliedPlan, role: str) -> dict[str, Tensor]:
    """Return what the plan lets change in ``network``: trained parameters, and moving buffers."""
    moving_layers = {
        id(buffer)
        for name, layer in network.layers().items()
        if not ACTIONS[applied.decisions[role][name]].holds_buffers
        for buffer in layer.buffers()
    }
    trained = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    buffers = {n: b for n, b in network.named_buffers() if id(b) in moving_layers}
    return {**trained, **buffers}
