"""Outside implementations of the same scores, for golden tests.

Each function returns its package, or skips the test where the package is not installed. Call them
under ``quiet()``, which silences what these packages themselves are warned of.
"""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset


class Pictures(Dataset[Tensor]):
    """A data set of uint8 pictures in memory, one by one, as torch-fidelity takes them."""

    def __init__(self, pictures: Tensor) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self._pictures[index]


def torch_fidelity() -> ModuleType:
    """Return the package, with its ``metric_fid``, ``_kid``, ``_isc`` and ``_prc``."""
    parts = ("metric_fid", "metric_kid", "metric_isc", "metric_prc")
    return _package("torch_fidelity", parts, needs_torchvision=True)


def pytorch_fid() -> ModuleType:
    """Return the package, with ``fid_score`` and ``inception``."""
    return _package("pytorch_fid", ("fid_score", "inception"), needs_torchvision=True)


def clean_fid() -> ModuleType:
    """Return the package, with ``fid``, ``features`` and ``resize``."""
    return _package("cleanfid", ("fid", "features", "resize"), needs_torchvision=True)


def prdc() -> ModuleType:
    """Return the package, with ``compute_prdc``."""
    return _package("prdc", (), needs_torchvision=False)


def transformers() -> ModuleType:
    """Return the package. It does without torchvision, but imports one that is installed."""
    there = importlib.util.find_spec("torchvision") is not None
    return _package("transformers", (), needs_torchvision=there)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the one warning of the oracles: scipy's of its ``sqrtm`` argument ``disp``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `disp` argument is deprecated", DeprecationWarning)
        yield


def _package(name: str, parts: tuple[str, ...], *, needs_torchvision: bool) -> ModuleType:
    """Return the package ``name`` with its modules ``parts`` loaded; skip the test without it."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the oracle {name} is not installed")
    if needs_torchvision:
        _import_torchvision()
    for part in parts:
        importlib.import_module(f"{name}.{part}")
    return importlib.import_module(name)


@cache
def _import_torchvision() -> torch.library.Library | None:
    """Make torchvision importable, also a build for a GPU beside torch for the CPU.

    Such a pair cannot load torchvision's compiled operators, and torchvision fails on the absence
    of two of them. They are declared here, without a body: no oracle calls them. The result has to
    stay alive as long as they are wanted.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    for half_loaded in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[half_loaded]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    importlib.import_module("torchvision")
    return library
