"""The weighted mean of networks that share their layers."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import LayeredNetwork
from graftgan.networks.blocks import batch_norms, use_batch_statistics

N = TypeVar("N", bound=LayeredNetwork)


@torch.no_grad()
def mix_networks(parts: Sequence[tuple[N, float]]) -> N:
    """Return the weighted mean of plain networks, as a network of its own.

    Running variances are mixed geometrically: a straight line between two variances leaves the
    positive numbers soon behind its ends, and lies further from the variances that the mixed
    weights really have (see ``docs/adapters.md``). A counter is the largest of those that take
    part, and a norm follows the batch where one of theirs does.

    ``parts`` are networks whose modulations are folded, with weights that sum to 1. One of weight 0
    takes no part; one that is alone is returned as it is, bit for bit. Raises CheckpointError where
    the architectures differ.
    """
    taking_part = [(network, weight) for network, weight in parts if weight != 0]
    first = taking_part[0][0]
    mixed = copy.deepcopy(first)
    if len(taking_part) == 1:
        return mixed
    described = [network.architecture.as_dict() for network, _ in taking_part]
    for name in described[0]:
        found = list(dict.fromkeys(str(each[name]) for each in described))
        if len(found) > 1:
            raise CheckpointError(
                f"networks of different architectures cannot be mixed: {name} is "
                f"{' and '.join(found)}; take one of them alone, with weight 1"
            )
    states = [network.state_dict() for network, _ in taking_part]
    weights = [weight for _, weight in taking_part]
    variances = {id(norm.running_var) for norm in batch_norms([mixed])}
    for name, place in mixed.state_dict(keep_vars=True).items():
        values = torch.stack([state[name] for state in states])
        if not place.is_floating_point():
            place.copy_(values.amax(0))
        elif id(place) in variances:
            smallest = torch.finfo(values.dtype).tiny  # a dead channel's variance may be 0
            place.copy_(_mean(values.double().clamp_min(smallest).log(), weights).exp())
        else:
            place.copy_(_mean(values.double(), weights))
    norms = (batch_norms([network]) for network, _ in taking_part)
    for place, *like in zip(batch_norms([mixed]), *norms, strict=True):
        if not all(norm.track_running_stats for norm in like):
            use_batch_statistics(place)
    return mixed


def _mean(values: Tensor, weights: Sequence[float]) -> Tensor:
    return torch.tensordot(values.new_tensor(weights), values, dims=1)
