"""Turn modulated networks back into plain ones."""

import copy

from torch import nn
from torch.nn.utils import parametrize

from graftgan.core.network_types import NetworkPair
from graftgan.transfer.modulation import Modulation


def fold(pair: NetworkPair) -> NetworkPair:
    """Return a copy whose modulations are worked into the weights; its outputs are the same."""
    folded = copy.deepcopy(pair)
    for _, network in folded.items():
        for module in list(network.modules()):
            _fold_module(module)
    return folded


def _fold_module(module: nn.Module) -> None:
    if not parametrize.is_parametrized(module):
        return
    # A deep copy shares its class with the original, and removing a parametrization takes the
    # attribute away from the class: the original would lose it too.
    shared = type(module)
    own = type(shared.__name__, shared.__bases__, dict(shared.__dict__))
    module.__class__ = own  # pyright: ignore[reportAttributeAccessIssue]
    for name, chain in list(module.parametrizations.items()):  # pyright: ignore
        if any(isinstance(part, Modulation) for part in chain):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
