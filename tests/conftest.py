"""What every test shares: one thread, and tiny networks (helpers: ``tiny_networks.py``)."""

import os

import pytest
import torch

from graftgan.core.network_types import NetworkPair
from tiny_networks import tiny_pair

torch.set_num_threads(1)


def pytest_configure() -> None:
    """Forget the width that pytest-xdist gives its workers: tables have that of each test."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture
def pair() -> NetworkPair:
    """A fresh 32 px dcgan of width 4 that looks trained."""
    return tiny_pair()
