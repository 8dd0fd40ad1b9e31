"""Read files of ``torch.save`` for the tensors in them; nothing else in them comes to life.

They go through ``torch.load`` with ``weights_only``, which runs no code and knows a short list of
names. One harmless name joins it: programs keep their flags as ``argparse.Namespace``.
"""

import argparse
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from graftgan.errors import CheckpointError

_ZIP = b"PK\x03\x04"
_BEFORE_ZIP = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # a number, pickled
_WRAPPER = "module."  # what DataParallel puts before every name
_SHOWN = 6


def is_torch_file(path: Path) -> bool:
    """Return whether ``path`` begins as files of ``torch.save`` do, of any age.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_BEFORE_ZIP))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    return beginning.startswith(_ZIP) or beginning == _BEFORE_ZIP


def read_torch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary in a file of ``torch.save``, with tensors on the CPU.

    Those of a zip file are mapped: they take memory when they are used. The prefix of DataParallel
    is taken from names, here and in the dictionaries within.

    Raises:
        CheckpointError: It cannot be read, is damaged, holds no dictionary of names, or asks for
            anything that weights do not need; the message names it.
    """
    try:
        content = _loaded(path)
    except Exception as error:
        raise CheckpointError(f"{path} {_reason(error)}") from None
    if not _is_named(content):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__} and no dictionary of names; "
            "save the state_dict() of the networks"
        )
    return {
        name: _unwrapped(value) if _is_named(value) else value
        for name, value in _unwrapped(content).items()
    }


def tensors_in(found: object, *, what: str) -> dict[str, Tensor]:
    """Return the state dict ``found``, every value of which has to be an ordinary tensor.

    Raises:
        CheckpointError: Names those that are none.
    """
    if not _is_named(found):
        raise CheckpointError(f"{what} is a {type(found).__name__} and no state dict")
    named = cast("Mapping[str, Any]", found)
    others = [name for name, value in named.items() if not _is_ordinary(value)]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise CheckpointError(
            f"{what} holds what is no ordinary tensor: {', '.join(others[:_SHOWN])}{more}; "
            "save the state_dict() of the network alone"
        )
    return dict(named)


def _loaded(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)
    if mapped:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                # Mapped, the packed bytes themselves would be taken for numbers.
                raise ValueError("it was compressed, which torch.save never does")
    with (
        warnings.catch_warnings(),
        torch.serialization.safe_globals([argparse.Namespace]),
    ):
        warnings.simplefilter("ignore", UserWarning)  # torch warns of the storages of old files
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _reason(error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked:
        return (
            f"asks for {asked[1]}, which weights do not need; nothing in it was run; "
            "save the state_dict() of the networks alone"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = next((line for line in lines if "Unpickler error" in line), lines[0] if lines else "")
    return f"is no whole file of torch.save ({type(error).__name__}: {detail[:200]})"


def _is_named(content: object) -> bool:
    return isinstance(content, Mapping) and all(isinstance(name, str) for name in content)


def _unwrapped(named: Mapping[str, Any]) -> dict[str, Any]:
    wrapped = all(name.startswith(_WRAPPER) for name in named)
    return {name.removeprefix(_WRAPPER) if wrapped else name: named[name] for name in named}


def _is_ordinary(value: object) -> bool:
    """Tell whether ``value`` has numbers of its own, as many as its shape says."""
    if type(value) not in {Tensor, nn.Parameter}:
        return False
    tensor = cast("Tensor", value)
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    if tensor.is_complex() or tensor.is_quantized or tensor.is_nested:
        return False
    # A file of a few bytes could name a tensor of any size, whose elements are all the same one.
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
