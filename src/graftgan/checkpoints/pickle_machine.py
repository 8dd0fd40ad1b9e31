"""Interpret the instructions of a pickle (PEP 3154) without running any code in it.

This is not an unpickler. It knows only the instructions that files of weights use, and builds plain
containers, numbers, strings and bytes. A name in the pickle is looked up in a table of stand-ins;
the function or class itself is never imported.

A small file could still fill the memory or take hours. So one budget counts the instructions and
bytes of a whole file, keys are short strings and numbers, and nothing here recurses.
"""

import inspect
import io
import math
import pickletools
import struct
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import torch
from torch import Tensor

from graftgan.core.errors import CheckpointError, shown
from graftgan.core.files import require_file

MOST_STEPS = 1_000_000  # instructions in one file; the largest known networks have 60,000
_SLACK = 1 << 20  # bytes that any file may take on top of its own size
_LONGEST_KEY = 4096  # characters
_LARGEST_KEY = 1 << 64
_LARGEST_LENGTH = 1 << 40
_LONGEST_ARRAY = 64  # bytes
_NUMPY = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "b1": "?"}
_REMEMBERED = 4096  # bytes: longer ones are storages, which would stay in memory
_LONGEST_NAME = 200
_LONGEST_NUMBER = 32  # bytes
_FORGOTTEN = object()


class UnreadableError(Exception):
    """The file cannot be read; the message says why."""


class RefusedError(UnreadableError):
    """The file asks for something that no network needs; the message says what."""


@contextmanager
def reading(path: Path, *, what: str, advice: str = "") -> Generator[None]:
    """Raise CheckpointError where reading ``path``, which should be a ``what``, fails within."""
    try:
        require_file(path)
        yield
    except RefusedError as error:
        raise CheckpointError(f"{path} {error}; nothing in it was run{advice}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (UnreadableError, MemoryError) as error:
        reason = str(error) or "it asks for too much memory"
        raise CheckpointError(f"{path} is no {what} ({reason})") from None


@dataclass(slots=True)
class ReadingBudget:
    """The memory and instructions that reading one file may still take."""

    bytes_left: int
    steps_left: int = MOST_STEPS

    @classmethod
    def of_file(cls, size: int) -> "ReadingBudget":
        """Return the budget of a file of ``size`` bytes: about twice as much memory."""
        return cls(2 * size + _SLACK)

    def take(self, size: int) -> None:
        """Spend ``size`` bytes, or raise RefusedError."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise RefusedError("unpacks to far more than its own size, which no network does")

    def step(self, count: int = 1) -> None:
        """Spend ``count`` instructions, or raise RefusedError."""
        self.steps_left -= count
        if self.steps_left < 0:
            raise RefusedError("has more instructions than any network needs")


class BoundedFile:
    """A part of a file; reading beyond its end raises UnreadableError."""

    def __init__(self, file: BinaryIO, begin: int = 0, size: int | None = None) -> None:
        end = file.seek(0, io.SEEK_END)
        self._file = file
        self.left = end - begin if size is None else min(size, end - begin)
        file.seek(begin)

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        self._spend(size)
        return self._file.read(size)

    def readinto(self, space: memoryview) -> None:
        """Fill ``space`` with the next bytes."""
        self._spend(len(space))
        self._file.readinto(space)  # type: ignore[attr-defined]

    def _spend(self, size: int) -> None:
        if not 0 <= size <= self.left:
            raise UnreadableError("it ends too early")
        self.left -= size

    def readline(self) -> bytes:
        """Return the rest of the line."""
        line = self._file.readline(max(self.left, 0))
        self.left -= len(line)
        return line

    def tell(self) -> int:
        """Return the position in the whole file."""
        return self._file.tell()


def checked_key(key: Any) -> Any:
    """Return ``key`` if it is cheap to hash; raise RefusedError otherwise."""
    if (
        (type(key) is str and len(key) <= _LONGEST_KEY)
        or (type(key) is int and -_LARGEST_KEY < key < _LARGEST_KEY)
        or type(key) in {float, bool, type(None)}
    ):
        return key
    raise RefusedError(
        f"has a key that is a {type(key).__name__}, where networks have short texts and numbers"
    )


@dataclass(frozen=True, slots=True)
class Ignored:
    """Stand-in for what no network needs: random number generators, layouts, NumPy types."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class StorageType:
    """Stand-in for a storage class of torch."""

    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Storage:
    """The memory of tensors, and the type of the numbers in it."""

    content: torch.UntypedStorage
    dtype: torch.dtype


class Array(list[Any]):
    """Stand-in for a NumPy array; holds its numbers if it is a short vector."""

    def take(self, state: Any) -> None:
        """Take the state that NumPy pickles: version, shape, type, order, bytes."""
        match state:
            case (_, (int(length),), Ignored(code), _, bytes(data)) if code in _NUMPY:
                if len(data) == length * int(code[1]) <= _LONGEST_ARRAY:
                    self[:] = struct.unpack(f"<{length:d}{_NUMPY[code]}", data)
            case _:
                pass


class Function:
    """Stand-in for a function or class."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call
        self._signature = inspect.signature(call)

    def __call__(self, *arguments: Any) -> Any:
        """Return the stand-in's result; raise UnreadableError for arguments it does not take."""
        try:
            self._signature.bind(*arguments)
        except TypeError:
            raise UnreadableError(f"{self.name} is called with other arguments") from None
        return self._call(*arguments)


Named = Function | StorageType | Ignored
StandInNames = Mapping[str, Named]


def functions(calls: Mapping[str, Callable[..., Any]]) -> dict[str, Named]:
    """Return the stand-ins of functions by name."""
    return {name: Function(name, call) for name, call in calls.items()}


def tensor_of(budget: ReadingBudget, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """Return a tensor view of ``storage``, or raise UnreadableError."""
    if not isinstance(storage, Storage):
        raise UnreadableError("a tensor without a storage")
    size, stride = _lengths(size), _lengths(stride)
    (offset,) = _lengths((offset,))
    if len(size) != len(stride):
        raise UnreadableError("a tensor of impossible shape")
    flat = torch.empty(0, dtype=storage.dtype)
    held = storage.content.nbytes() // flat.element_size()
    if 0 in size:
        if math.prod(length for length in size if length) >= _LARGEST_LENGTH:
            raise UnreadableError("a tensor of impossible shape")
        return flat.as_strided(size, stride)
    count = math.prod(size)
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    if count > held or reach > held:
        raise UnreadableError("a tensor larger than its storage")
    budget.take(count * flat.element_size())
    flat.set_(storage.content)  # type: ignore[call-overload]
    return flat.as_strided(size, stride, offset)


def _lengths(found: Any) -> tuple[int, ...]:
    """Return valid lengths, strides or an offset, of at most 16 dimensions."""
    plain = isinstance(found, tuple | list) and len(cast("list[Any]", found)) <= 16
    lengths = tuple(cast("list[Any]", found)) if plain else (None,)
    if not all(type(n) is int and 0 <= n < _LARGEST_LENGTH for n in lengths):
        raise UnreadableError("a tensor of impossible shape")
    return cast("tuple[int, ...]", lengths)


def parameter(data: Any, *_: Any) -> Tensor:
    """Return the tensor of a parameter."""
    if not isinstance(data, Tensor):
        raise UnreadableError("a parameter without a tensor")
    return data


def ignored(*_: Any) -> Ignored:
    """Return the stand-in for the result of a call that no network needs."""
    return Ignored()


def common_names(budget: ReadingBudget) -> dict[str, Named]:
    """Return the stand-ins for names that any file of weights may use."""

    def new_set(*arguments: Any) -> set[Any]:
        if len(arguments) > 1 or (arguments and not isinstance(arguments[0], list)):
            raise UnreadableError("a set that is not made from a list")
        members = cast("list[Any]", arguments[0]) if arguments else []
        budget.step(len(members))
        return {checked_key(member) for member in members}

    def latin_bytes(text: Any, codec: Any) -> bytes:
        """Return bytes, which protocol 2 stores as text."""
        try:
            if codec == "latin1" and isinstance(text, str):
                budget.take(len(text))
                return text.encode("latin1")
        except UnicodeEncodeError:
            pass
        raise UnreadableError("bytes in an unknown form")

    def new_array(*_: Any) -> Array:
        return Array()

    def rebuilt_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        return tensor_of(budget, storage, offset, size, stride)

    def numpy_type(code: Any, *_: Any) -> Ignored:
        return Ignored(code) if isinstance(code, str) and code in _NUMPY else Ignored()

    return functions(
        {
            # Pickles fill these afterwards; a call with arguments is not needed.
            "collections.OrderedDict": lambda: OrderedDict[Any, Any](),
            "__builtin__.bytes": lambda: b"",
            **dict.fromkeys(("builtins.set", "__builtin__.set"), new_set),
            "_codecs.encode": latin_bytes,
            "torch._utils._rebuild_parameter": parameter,
            "torch._utils._rebuild_tensor_v2": rebuilt_tensor,
            "numpy.dtype": numpy_type,
            "numpy.ndarray": ignored,
            **{f"numpy.{core}.multiarray.scalar": _numpy_number for core in ("core", "_core")},
            **{f"numpy.{core}.multiarray._reconstruct": new_array for core in ("core", "_core")},
        }
    )


def _numpy_number(kind: Any, data: Any = None) -> Any:
    """Return a little-endian NumPy scalar as a Python number."""
    known = isinstance(kind, Ignored) and kind.name in _NUMPY
    if not known or not isinstance(data, bytes) or len(data) != int(kind.name[1]):
        return Ignored()
    return struct.unpack(f"<{_NUMPY[kind.name]}", data)[0]


class Machine:
    """Builds the object that one pickle holds.

    ``names`` maps known names to their stand-ins, ``budget`` is that of the whole file, and
    ``persistent`` resolves references to objects outside the pickle; without it they are refused.
    """

    def __init__(
        self,
        names: StandInNames,
        budget: ReadingBudget,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self._names, self._budget, self._persistent = names, budget, persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BoundedFile) -> Any:
        """Return the object; raise RefusedError or UnreadableError where that is impossible."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of texts in the file
            for name, argument in _instructions(file):
                self._budget.step()
                if name == "STOP":
                    if len(self._stack) != 1 or self._marks:
                        raise UnreadableError("it does not hold exactly one object")
                    return self._stack[0]
                if name not in self._STEPS:
                    raise RefusedError(f"has the instruction {name}, which no network needs")
                self._STEPS[name](self, argument)
        raise UnreadableError("it ends too early")

    def _push(self, value: Any) -> None:
        if type(value) is int and value.bit_length() > 8 * _LONGEST_NUMBER:
            raise RefusedError("has a number of more digits than any network needs")
        self._stack.append(value)

    def _mark(self, _: Any) -> None:
        """Begin a new stack above the present one."""
        self._marks.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise UnreadableError("an instruction misses its mark")
        values, self._stack = self._stack, self._marks.pop()
        return values

    def _last(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise UnreadableError("an instruction finds too little before it")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _top(self) -> Any:
        if not self._stack:
            raise UnreadableError("an instruction finds too little before it")
        return self._stack[-1]

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(values) % 2:
            raise UnreadableError("items for something that is not a dictionary")
        keys = [checked_key(key) for key in values[::2]]
        cast("dict[Any, Any]", target).update(zip(keys, values[1::2], strict=True))

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise UnreadableError("items for something that is not a list")
        cast("list[Any]", target).extend(values)

    def _add(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not set:
            raise UnreadableError("items for something that is not a set")
        cast("set[Any]", target).update(map(checked_key, values))

    def _remember(self, place: int | None) -> None:
        value = self._top()
        few = isinstance(value, tuple) and len(cast("tuple[Any, ...]", value)) < 4
        parts = cast("tuple[Any, ...]", value) if few else (value,)
        large = any(isinstance(part, bytes) and len(part) > _REMEMBERED for part in parts)
        self._memo[len(self._memo) if place is None else place] = _FORGOTTEN if large else value

    def _recall(self, place: int) -> None:
        if place not in self._memo:
            raise UnreadableError("an instruction recalls something that was never there")
        value = self._memo[place]
        if value is _FORGOTTEN:
            raise RefusedError("uses the bytes of a storage twice, which no network does")
        self._stack.append(value)

    def _name(self, parts: list[Any]) -> None:
        """Put the stand-in for a name on the stack."""
        if not all(isinstance(part, str) and len(part) <= _LONGEST_NAME for part in parts):
            raise RefusedError("asks for something that has no valid name")
        name = ".".join(parts)
        if name not in self._names:
            known = name.removeprefix("__builtin__.").removeprefix("builtins.")
            raise RefusedError(f"asks for {shown(known)}, which no network needs")
        self._stack.append(self._names[name])

    def _call(self, _: Any) -> None:
        made_by, arguments = self._last(2)
        if not isinstance(made_by, Function) or not isinstance(arguments, tuple):
            raise RefusedError(f"calls something that is not a function: {type(made_by).__name__}")
        self._stack.append(made_by(*cast("tuple[Any, ...]", arguments)))

    def _build(self, _: Any) -> None:
        """Set the state of an object, if it takes one."""
        target, state = self._last(2)
        self._stack.append(target)
        if isinstance(target, Namespace) and isinstance(state, dict):
            named = cast("dict[Any, Any]", state)
            self._budget.step(len(named))
            vars(target).update({k: v for k, v in named.items() if isinstance(k, str)})
        elif isinstance(target, Array):
            target.take(state)
        elif not isinstance(target, Ignored | OrderedDict):  # torch sets _metadata of state dicts
            raise RefusedError(f"sets the state of a {type(target).__name__}")

    def _refer(self, _: Any) -> None:
        """Put an object from outside the pickle on the stack."""
        (identity,) = self._last(1)
        if self._persistent is None:
            raise RefusedError("refers to another file, which no network does")
        self._stack.append(self._persistent(identity))

    _STEPS: ClassVar[dict[str, Callable[["Machine", Any], None]]] = {
        **dict.fromkeys(("PROTO", "FRAME"), lambda _, argument: None),
        **dict.fromkeys(
            (
                *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
                *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
                *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
            ),
            _push,
        ),
        "NONE": lambda machine, _: machine._push(None),
        "NEWTRUE": lambda machine, _: machine._push(True),
        "NEWFALSE": lambda machine, _: machine._push(False),
        "EMPTY_DICT": lambda machine, _: machine._push({}),
        "EMPTY_LIST": lambda machine, _: machine._push([]),
        "EMPTY_SET": lambda machine, _: machine._push(set()),
        "EMPTY_TUPLE": lambda machine, _: machine._push(()),
        "MARK": _mark,
        "TUPLE": lambda machine, _: machine._push(tuple(machine._since_mark())),
        "TUPLE1": lambda machine, _: machine._push(tuple(machine._last(1))),
        "TUPLE2": lambda machine, _: machine._push(tuple(machine._last(2))),
        "TUPLE3": lambda machine, _: machine._push(tuple(machine._last(3))),
        "SETITEM": lambda machine, _: machine._set_items(machine._last(2)),
        "SETITEMS": lambda machine, _: machine._set_items(machine._since_mark()),
        "APPEND": lambda machine, _: machine._append(machine._last(1)),
        "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
        "ADDITEMS": lambda machine, _: machine._add(machine._since_mark()),
        **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), _remember),
        "MEMOIZE": lambda machine, _: machine._remember(None),
        **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), _recall),
        "GLOBAL": lambda machine, name: machine._name(name.split(" ", 1)),
        "STACK_GLOBAL": lambda machine, _: machine._name(machine._last(2)),
        **dict.fromkeys(("REDUCE", "NEWOBJ"), _call),
        "BUILD": _build,
        "BINPERSID": _refer,
    }


def _instructions(file: BoundedFile) -> Iterator[tuple[str, Any]]:
    """Yield the name and argument of each instruction."""
    try:
        for opcode, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]
            yield opcode.name, argument
    except ValueError as error:  # of pickletools: an unknown instruction, or malformed text
        raise UnreadableError(shown(error)) from None
