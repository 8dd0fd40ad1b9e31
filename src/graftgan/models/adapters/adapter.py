"""An adapter: only the tensors a plan changed, bound to their base by hash."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from graftgan.checkpoints import as_stored
from graftgan.core.errors import CheckpointError, RunError
from graftgan.core.network_types import Architecture, LayeredNetwork, NetworkPair
from graftgan.core.settings import strict
from graftgan.core.untrusted import shown
from graftgan.experiments.run_folder import TrainedRun
from graftgan.networks import build_pair, surrounded
from graftgan.networks.normalisation_statistics import Statistics
from graftgan.transfer import (
    ACTIONS,
    AppliedPlan,
    LowRank,
    apply_plan,
    filters_in,
    fold,
    parse_plan,
)

_OF_G = "generator."


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterNote:
    """Where an adapter comes from, and what is needed to put it back on its base.

    Attributes:
        base: The source's name or folder when the adapter was made.
        base_fingerprints: sha256 of the base's networks, by role.
        plan: The plan's notation.
        statistics: What frozen and modulated layers normalise with.
        iteration: Of the checkpoint it comes from.
        images_seen: Real pictures shown until then.
        pictures: Name of the image set.
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
    lora_rank: int = LowRank().rank
    lora_scale: float = LowRank().scale

    @property
    def low_rank(self) -> LowRank:
        """How the plan's ``lora`` is done."""
        return LowRank(rank=self.lora_rank, scale=self.lora_scale)


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a plan changed, as ``<role>.<name>``, with its note."""

    note: AdapterNote
    tensors: Mapping[str, Tensor]

    @property
    def precision(self) -> str:
        """The number formats of its floating-point tensors, such as ``float16``."""
        kinds = {str(t.dtype) for t in self.tensors.values() if t.is_floating_point()}
        return ", ".join(sorted(kind.removeprefix("torch.") for kind in kinds))

    def in_half(self) -> "Adapter":
        """Return it in 16-bit floating point; a tensor whose values do not fit stays as it is."""
        return replace(self, tensors=as_stored(self.tensors, torch.float16))


def adapter_of(
    run: TrainedRun,
    base_fingerprints: Mapping[str, str],
    *,
    averaged: Mapping[str, Tensor] | None = None,
) -> Adapter:
    """Return the adapter of a transferred run.

    Args:
        run: Its networks, under their plan.
        base_fingerprints: Those of its source.
        averaged: Tensors of the averaged generator, by name, where ``run`` holds the live one.

    Raises:
        RunError: The run started from fresh weights, so it has no base.
    """
    if run.experiment.source is None:
        raise RunError("a run from fresh weights changed everything: pack it as a source instead")
    note = AdapterNote(
        base=run.experiment.source,
        base_fingerprints=dict(base_fingerprints),
        architecture=run.pair.architecture,
        plan=run.applied.report.notation,
        statistics=run.applied.report.statistics,
        iteration=run.iteration,
        images_seen=run.images_seen,
        objective=run.experiment.resolved_objective,
        pictures=run.experiment.pictures.name,
        lora_rank=run.experiment.transfer.lora_rank,
        lora_scale=run.experiment.transfer.lora_scale,
    )
    tensors = changed_tensors(run.pair, run.applied)
    if averaged is not None:
        tensors |= {n: averaged[n[len(_OF_G) :]] for n in tensors if n.startswith(_OF_G)}
    return Adapter(note, tensors)


def put_on(
    adapter: Adapter,
    pair: NetworkPair,
    fingerprints: Mapping[str, str],
    *,
    what: str = "this adapter",
) -> NetworkPair:
    """Return the base's networks with the adapter worked in; their modulations are folded.

    ``pair`` is changed on the way; give a copy to use it again. ``what`` names the adapter in
    error messages.

    Raises:
        CheckpointError: The networks are not the adapter's base, or the adapter is damaged.
        PlanError: The adapter's plan does not fit.
    """
    note = adapter.note
    if dict(fingerprints) != dict(note.base_fingerprints):
        raise CheckpointError(
            f"{what} belongs to another base than the one given: it was made on '{note.base}', "
            f"{_short_prints(note.base_fingerprints)}, and this is "
            f"{_short_prints(fingerprints)}; name its own base"
        )
    rng = torch.Generator().manual_seed(0)
    pair = surrounded(pair, note.architecture, rng)
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
    wrong = sorted(
        name
        for name in places.keys() | adapter.tensors.keys()
        if name not in places
        or name not in adapter.tensors
        or places[name].shape != adapter.tensors[name].shape
    )
    if wrong:
        raise CheckpointError(f"{what} does not fit its plan: {', '.join(map(shown, wrong[:6]))}")
    for name, place in places.items():
        place.copy_(adapter.tensors[name])
    return fold(pair)


def changed_tensors(pair: NetworkPair, applied: AppliedPlan) -> dict[str, Tensor]:
    """Return what the plan in force on ``pair`` lets change, as ``<role>.<name>``.

    These are the parameters that train, and the buffers that move.
    """
    return {
        f"{role}.{name}": tensor
        for role, network in pair.items()
        for name, tensor in _changed(network, applied, role).items()
    }


def _changed(network: LayeredNetwork, applied: AppliedPlan, role: str) -> dict[str, Tensor]:
    moving_layers = {
        id(buffer)
        for name, layer in network.layers().items()
        if not ACTIONS[applied.decisions[role][name]].holds_buffers
        for buffer in layer.buffers()
    }
    trained = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    buffers = {n: b for n, b in network.named_buffers() if id(b) in moving_layers}
    return {**trained, **buffers}


def _short_prints(fingerprints: Mapping[str, str]) -> str:
    return f"generator sha256 {fingerprints.get('generator', 'unknown')[:12]}"
