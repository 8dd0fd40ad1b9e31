"""What stands for the names in a file of weights, and makes the tensors in it."""

import inspect
import math
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from graftgan.checkpoints.limits import ReadingBudget, UnreadableError, checked_key

_LARGEST_LENGTH = 1 << 40
_MOST_DIMENSIONS = 16
_LONGEST_ARRAY = 64  # bytes
_NUMPY = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "b1": "?"}


@dataclass(frozen=True, slots=True)
class Ignored:
    """Stands for what no network needs: generators of random numbers, layouts, arrays of numpy."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class StorageType:
    """Says of what type the numbers of a storage are."""

    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Storage:
    """The numbers of tensors, and of what type they are."""

    content: torch.UntypedStorage
    dtype: torch.dtype


class Array(list[Any]):
    """Stands for an array of numpy, and holds its numbers if it is a short row of them."""

    def take(self, state: Any) -> None:
        """Take the state that numpy gives it: version, shape, type, order, bytes."""
        match state:
            case (_, (int(length),), Ignored(code), _, bytes(data)) if code in _NUMPY:
                size = int(code[1])
                if len(data) == length * size <= _LONGEST_ARRAY:
                    pieces = range(0, len(data), size)
                    self[:] = [struct.unpack_from(f"<{_NUMPY[code]}", data, n)[0] for n in pieces]
            case _:
                pass


class Function:
    """Stands for a function or class, by its name."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call
        self._signature = inspect.signature(call)

    def __call__(self, *arguments: Any) -> Any:
        """Return what stands for the result.

        Raises:
            UnreadableError: It is called with too much or too little.
        """
        try:
            self._signature.bind(*arguments)
        except TypeError:
            raise UnreadableError(f"{self.name} is called with other arguments") from None
        return self._call(*arguments)


Named = Function | StorageType | Ignored
StandInNames = Mapping[str, Named]


def functions(calls: Mapping[str, Callable[..., Any]]) -> dict[str, Named]:
    """Return what stands for the functions of these names."""
    return {name: Function(name, call) for name, call in calls.items()}


def tensor_of(budget: ReadingBudget, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """Return a tensor that shows a part of ``storage``.

    Raises:
        UnreadableError: That is no storage, or has not so many numbers.
    """
    if not isinstance(storage, Storage):
        raise UnreadableError("a tensor without a storage")
    size, stride = _lengths(size), _lengths(stride)
    (offset,) = _lengths((offset,))
    if len(size) != len(stride):
        raise UnreadableError("a tensor of impossible shape")
    flat = torch.empty(0, dtype=storage.dtype)
    held = storage.content.nbytes() // flat.element_size()
    if 0 in size:
        return torch.empty(0, dtype=storage.dtype).as_strided(_without_overflow(size), stride)
    count = math.prod(size)
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    if count > held or reach > held:
        raise UnreadableError("a tensor larger than its storage")
    budget.take(count * flat.element_size())
    flat.set_(storage.content)  # type: ignore[call-overload]
    return flat.as_strided(size, stride, offset)


def _lengths(found: Any) -> tuple[int, ...]:
    """Return lengths, strides or an offset, each of which is a possible one."""
    plain = isinstance(found, tuple | list) and len(cast("list[Any]", found)) <= _MOST_DIMENSIONS
    lengths = tuple(cast("list[Any]", found)) if plain else (None,)
    if not all(type(n) is int and 0 <= n < _LARGEST_LENGTH for n in lengths):
        raise UnreadableError("a tensor of impossible shape")
    return cast("tuple[int, ...]", lengths)


def _without_overflow(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a tensor without numbers, unless the other lengths are absurd."""
    if math.prod(length for length in size if length) >= _LARGEST_LENGTH:
        raise UnreadableError("a tensor of impossible shape")
    return size


def parameter(data: Any, *_: Any) -> Tensor:
    """Return the tensor of a parameter, which is all that is needed of it."""
    if not isinstance(data, Tensor):
        raise UnreadableError("a parameter without a tensor")
    return data


def ignored(*_: Any) -> Ignored:
    """Return what stands for a thing that no network needs."""
    return Ignored()


def common_names(budget: ReadingBudget) -> dict[str, Named]:
    """Return what stands for the names that all files of weights may have."""

    def new_set(*things: Any) -> set[Any]:
        if len(things) > 1 or (things and not isinstance(things[0], list)):
            raise UnreadableError("a set of what is no list")
        members = cast("list[Any]", things[0]) if things else []
        budget.step(len(members))
        return {checked_key(member) for member in members}

    def latin_bytes(text: Any, codec: Any) -> bytes:
        """Return the bytes that protocol 2 has as text."""
        if codec != "latin1" or not isinstance(text, str):
            raise UnreadableError("bytes in an unknown form")
        budget.take(len(text))
        try:
            return text.encode("latin1")
        except UnicodeEncodeError:
            raise UnreadableError("bytes in an unknown form") from None

    def new_array(*_: Any) -> Array:
        return Array()

    def rebuilt_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        return tensor_of(budget, storage, offset, size, stride)

    return {
        **functions(
            {
                # Python gives what they hold afterwards; with an argument they would be a trap.
                "collections.OrderedDict": lambda: OrderedDict[Any, Any](),
                "__builtin__.bytes": lambda: b"",
                "builtins.set": new_set,
                "__builtin__.set": new_set,
                "_codecs.encode": latin_bytes,
                "torch._utils._rebuild_parameter": parameter,
                "torch._utils._rebuild_tensor_v2": rebuilt_tensor,
                "numpy.dtype": _numpy_type,
                "numpy.ndarray": ignored,
                **{
                    f"numpy.{core}.multiarray.{name}": call
                    for core in ("core", "_core")
                    for name, call in (
                        ("scalar", _numpy_number),
                        ("_reconstruct", new_array),
                    )
                },
            }
        ),
    }


def _numpy_type(code: Any, *_: Any) -> Ignored:
    return Ignored(code) if isinstance(code, str) and code in _NUMPY else Ignored()


def _numpy_number(kind: Any, data: Any = None) -> Any:
    """Return a number of numpy, of a machine with the usual order of bytes, as one of Python."""
    known = isinstance(kind, Ignored) and kind.name in _NUMPY
    if not known or not isinstance(data, bytes) or len(data) != int(kind.name[1]):
        return Ignored()
    return struct.unpack(f"<{_NUMPY[kind.name]}", data)[0]
