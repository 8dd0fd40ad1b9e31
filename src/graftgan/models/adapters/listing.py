"""The adapters in folders, with their sizes and whether their bases are found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from graftgan.core.errors import CheckpointError, GraftganError
from graftgan.core.network_types import Architecture, is_out_of_memory, tensors_of
from graftgan.models.adapters.adapter import (
    AdapterNote,
    adapter_files,
    changed_tensors,
    load_adapter,
)
from graftgan.models.sources import open_source
from graftgan.networks.backbone import blank_pair
from graftgan.transfer import Filters, LowRank, apply_plan, filters_in, parse_plan


@dataclass(frozen=True, slots=True)
class AdapterSize:
    """Sizes of an adapter and of its network pair."""

    parameters: int  # of both networks
    trainable: int  # parameters under the plan
    pair_bytes: int  # of all tensors of both networks, in 32 bit
    full_bytes: int  # of the adapter's tensors, in 32 bit
    half_bytes: int  # of the adapter's tensors, in 16 bit

    @property
    def trained_share(self) -> float:
        """The trainable share of the pair's parameters."""
        return self.trainable / self.parameters


def adapter_size(
    plan: str,
    architecture: Architecture,
    *,
    low_rank: LowRank | None = None,
    filters: Filters | None = None,
) -> AdapterSize:
    """Return the size of adapters of a plan, given as a preset's name or in plan notation.

    ``low_rank`` are the settings of its ``lora``, ``filters`` those that its ``by_importance``
    modulates, by default all. Raises PlanError: the text is not a plan, or does not fit the
    networks; CheckpointError: ``filters`` do not fit them, or they need too much memory.
    """
    try:
        pair = blank_pair(architecture)
        everything = [t for _, network in pair.items() for t in tensors_of(network).values()]
        pair_bytes = sum(_bytes(tensor, 4) for tensor in everything)
        applied = apply_plan(
            parse_plan(plan),
            pair,
            fresh=partial(blank_pair, architecture),
            statistics="source",
            low_rank=low_rank or LowRank(),
            filters=filters,
        )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise CheckpointError(
            "the networks that it names take more memory than there is; no adapter of a run does"
        ) from None
    changed = changed_tensors(pair, applied).values()
    return AdapterSize(
        parameters=applied.report.parameters,
        trainable=applied.report.trainable,
        pair_bytes=pair_bytes,
        full_bytes=sum(_bytes(tensor, 4) for tensor in changed),
        half_bytes=sum(_bytes(tensor, 2) for tensor in changed),
    )


def _bytes(tensor: Tensor, of_a_number: int) -> int:
    return tensor.numel() * (of_a_number if tensor.is_floating_point() else tensor.itemsize)


BaseState = Literal["here", "not found", "another"]
BaseFingerprints = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ListedAdapter:
    """One adapter file."""

    note: AdapterNote
    size: AdapterSize
    file_bytes: int
    precision: str  # types of its tensors
    base_state: BaseState  # whether a base of that name is found, and is still the same


def list_adapters(places: Sequence[Path]) -> dict[Path, ListedAdapter | GraftganError]:
    """Return the adapters in files, run folders and other folders, or their errors, by file."""
    fingerprints_of = cache(_fingerprints_of)  # several adapters share a base
    return {
        path: _listed_or_error(path, fingerprints_of)
        for place in places
        for path in (adapter_files(place) if place.is_dir() else [place])
    }


def _listed_or_error(
    path: Path, fingerprints_of: Callable[[str], BaseFingerprints]
) -> ListedAdapter | GraftganError:
    try:
        adapter = load_adapter(path)
        note, here = adapter.note, fingerprints_of(adapter.note.base)
        same = here is not None and dict(here) == dict(note.base_fingerprints)
        filters = filters_in(adapter.tensors)
        return ListedAdapter(
            note=note,
            size=adapter_size(
                note.plan, note.architecture, low_rank=note.low_rank, filters=filters
            ),
            file_bytes=path.stat().st_size,
            precision=adapter.precision,
            base_state="not found" if here is None else "here" if same else "another",
        )
    except GraftganError as error:
        return error


def _fingerprints_of(base: str) -> BaseFingerprints:
    try:
        return open_source(base).card.fingerprints
    except GraftganError:
        return None
