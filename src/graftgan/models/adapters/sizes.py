"""How large an adapter is: it follows from the plan and the networks alone."""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import Architecture, tensors_of
from graftgan.core.tensors import is_out_of_memory
from graftgan.models.adapters.adapter import changed_tensors
from graftgan.networks import blank_pair
from graftgan.transfer import Filters, LowRank, apply_plan, parse_plan


@dataclass(frozen=True, slots=True)
class AdapterSize:
    """Numbers and bytes of an adapter and of the pair it belongs to.

    Attributes:
        parameters: Numbers in both networks.
        trainable: Numbers that the plan lets train.
        pair_bytes: Of all tensors of both networks, in 32 bit.
        full_bytes: Of the adapter's tensors, in 32 bit.
        half_bytes: The same in 16 bit.
    """

    parameters: int
    trainable: int
    pair_bytes: int
    full_bytes: int
    half_bytes: int

    @property
    def trained_share(self) -> float:
        """Trainable share of the pair's parameters."""
        return self.trainable / self.parameters


def adapter_size(
    plan: str,
    architecture: Architecture,
    *,
    low_rank: LowRank | None = None,
    filters: Filters | None = None,
) -> AdapterSize:
    """Return the size of the adapters of a plan; trains nothing.

    Args:
        plan: A preset's name or the notation.
        architecture: The networks.
        low_rank: How the plan's ``lora`` is done, if not as usual.
        filters: Those that the plan's ``by_importance`` modulates, if not all.

    Raises:
        PlanError: The text is no plan, or does not fit the networks.
        CheckpointError: ``filters`` are not those of these networks, or these are too large.
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
