"""Weights that are numbers: networks with anything else would spoil whatever is trained of them."""

from collections.abc import Mapping

from torch import Tensor

from graftgan.core.errors import CheckpointError
from graftgan.core.untrusted import shown

_SHOWN = 3


def require_finite(tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Accept only tensors without NaN and infinity.

    Raises:
        CheckpointError: Names those that have some.
    """
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if not bad:
        return
    first = [
        f"{shown(name)} ({int((~tensors[name].isfinite()).sum())} of {tensors[name].numel()})"
        for name in bad[:_SHOWN]
    ]
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    raise CheckpointError(
        f"{what} holds NaN or infinity in {', '.join(first)}{more}; its training diverged or the "
        "file is damaged: take an earlier checkpoint"
    )
