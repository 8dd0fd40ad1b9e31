"""Read files of ``torch.save`` for the tensors in them; nothing else in them comes to life.

They are read by the machine of :mod:`pickles`, and not by ``torch.load``: its own restricted reader
runs no code either, but small files can fill its memory. Programs keep their flags as
``argparse.Namespace``, which is among the names that are known; other harmless things that are no
weights, such as sparse tensors, become stand-ins.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from graftgan.checkpoints.limits import BoundedFile, ReadingBudget, RefusedError, UnreadableError
from graftgan.checkpoints.stand_ins import (
    Function,
    Ignored,
    Named,
    common_names,
    functions,
    ignored,
    parameter,
    tensor_of,
)
from graftgan.checkpoints.torch_file import (
    LEGACY_BEGINNING,
    ZIP_BEGINNING,
    read_archive,
    read_legacy,
)
from graftgan.core.errors import CheckpointError
from graftgan.core.untrusted import shown

_PARALLEL, _COMPILED = "module.", "_orig_mod"  # what DataParallel and torch.compile add to names
_DEPTH = 3  # of dictionaries within dictionaries, in which names are looked at
_SHOWN = 6
_TYPES = (
    *("bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64", "int16"),
    *("int32", "int64", "int8", "uint8", "qint32", "qint8", "quint8", "per_tensor_affine"),
    *("per_channel_affine", "strided", "sparse_coo", "Tensor", "nn.parameter.Parameter"),
)
_UNUSUAL = (
    *("_utils._rebuild_sparse_tensor", "_utils._rebuild_qtensor", "_utils._rebuild_tensor_v3"),
    *("_utils._rebuild_meta_tensor_no_storage", "_utils._rebuild_nested_tensor"),
    *("_utils._rebuild_device_tensor_from_cpu_tensor", "serialization._get_layout"),
    *("device", "Size", "Generator"),
)


def is_torch_file(path: Path) -> bool:
    """Return whether ``path`` begins as files of ``torch.save`` do, of any age.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(len(LEGACY_BEGINNING))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    return beginning.startswith(ZIP_BEGINNING) or beginning == LEGACY_BEGINNING


def read_torch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary in a file of ``torch.save``, with tensors on the CPU.

    Those of a zip file are mapped: they take memory when they are used. What DataParallel and
    torch.compile add to names is taken from them, here and in the dictionaries within.

    Raises:
        CheckpointError: It cannot be read, is damaged, holds no dictionary of names, or asks for
            anything that weights do not need; the message names it.
    """
    try:
        content = _loaded(path)
    except RefusedError as error:
        raise CheckpointError(
            f"{path} {error}; nothing in it was run; save the state_dict() of the networks alone"
        ) from None
    except (UnreadableError, MemoryError) as error:
        raise CheckpointError(f"{path} is no whole file of torch.save ({error})") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    if not _is_named(content):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__} and no dictionary of names; "
            "save the state_dict() of the networks"
        )
    return _unwrapped(content)


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
        names = ", ".join(map(shown, others[:_SHOWN]))
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise CheckpointError(
            f"{what} holds what is no ordinary tensor: {names}{more}; "
            "save the state_dict() of the network alone"
        )
    return dict(named)


def _loaded(path: Path) -> Any:
    size = path.stat().st_size
    budget = ReadingBudget.of_file(2 * size)  # tensors may share storages, which takes no memory
    names = _names(budget)
    with path.open("rb") as file:
        if file.read(len(ZIP_BEGINNING)) == ZIP_BEGINNING:
            return read_archive(path, names, budget)
        return read_legacy(BoundedFile(file), names, budget)


def _names(budget: ReadingBudget) -> dict[str, Named]:
    """Return what stands for the names that files of weights may have."""

    def rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor | Ignored:
        try:
            return tensor_of(budget, storage, offset, size, stride)
        except RefusedError:
            raise
        except UnreadableError as error:  # it may lie where nobody asks for it
            return Ignored(str(error))

    def rebuilt_by(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
        del kind
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise UnreadableError("a tensor in an unknown form")
        if function not in makers:
            return Ignored(function.name)
        return function(*cast("tuple[Any, ...]", arguments))

    tensors = functions(
        {
            "torch._utils._rebuild_tensor_v2": rebuilt,
            "torch._utils._rebuild_tensor": rebuilt,
            "torch._utils._rebuild_parameter": _parameter,
            "torch._utils._rebuild_parameter_with_state": _parameter,
        }
    )
    makers = set(tensors.values())
    return {
        **common_names(budget),
        **tensors,
        **functions(
            {
                "torch._tensor._rebuild_from_type_v2": rebuilt_by,
                "argparse.Namespace": lambda: argparse.Namespace(),
                "collections.Counter": lambda *_: Ignored(),
                **{f"torch.{name}": ignored for name in _UNUSUAL},
            }
        ),
        **{f"torch.{name}": Ignored(name) for name in _TYPES},
    }


def _parameter(data: Any, *_: Any) -> Tensor | Ignored:
    return data if isinstance(data, Ignored) else parameter(data)


def _is_named(content: object) -> bool:
    return isinstance(content, Mapping) and all(isinstance(name, str) for name in content)


def _unwrapped(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``named`` without what wrappers add to names, here and in what lies within."""
    done: dict[tuple[int, int], Any] = {}  # a file may have one dictionary in many places

    def inner(value: Any, depth: int) -> Any:
        if not depth or not isinstance(value, Mapping):
            return value
        key = (id(value), depth)
        if key not in done:
            done[key] = value
            if _is_named(value):
                pairs = cast("Mapping[str, Any]", value).items()
                done[key] = _with_short_names({name: inner(v, depth - 1) for name, v in pairs})
        return done[key]

    return inner(named, _DEPTH)


def _with_short_names(named: dict[str, Any]) -> dict[str, Any]:
    """Return ``named`` without the parts of names that DataParallel and torch.compile add."""
    names = [".".join(part for part in n.split(".") if part != _COMPILED) for n in named]
    while names and all(name.startswith(_PARALLEL) for name in names):
        names = [name.removeprefix(_PARALLEL) for name in names]
    if len(set(names)) < len(names):  # two would have one name
        return named
    return dict(zip(names, named.values(), strict=True))


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
