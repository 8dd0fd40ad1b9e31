"""What every test shares: one thread, and tiny networks (helpers: ``tiny_networks.py``)."""

import pytest
import torch

from graftgan.networks import NetworkPair
from tiny_networks import tiny_pair

torch.set_num_threads(1)


@pytest.fixture
def pair() -> NetworkPair:
    """A fresh 32 px dcgan of width 4 that looks trained."""
    return tiny_pair()
