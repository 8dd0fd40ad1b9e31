"""Go through the instructions of a pickle (PEP 3154) without running anything in it.

No unpickler is used. A machine of its own knows the instructions that files of weights are made of
and no others. It makes plain containers, numbers, texts and bytes; a name gives what stands for it
in a table, and never the function or class itself.

A small file could still fill the memory or take hours. So one budget counts the instructions and
the bytes of a whole file, keys are short texts and numbers, and nothing here recurses.
"""

import inspect
import io
import math
import pickletools
import struct
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from graftgan.core.errors import shown

MOST_STEPS = 1_000_000  # instructions of one file; the largest known networks have 60,000
_SLACK = 1 << 20  # bytes that any file may take beside its own size
_LONGEST_KEY = 4096  # characters
_LARGEST_KEY = 1 << 64
_LARGEST_LENGTH = 1 << 40
_MOST_DIMENSIONS = 16
_LONGEST_ARRAY = 64  # bytes
_NUMPY = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "b1": "?"}
_REMEMBERED = 4096  # bytes: nothing longer is asked for twice, and storages would stay in memory
_LONGEST_NAME = 200
_LONGEST_NUMBER = 32  # bytes
_FORGOTTEN = object()


class UnreadableError(Exception):
    """The file cannot be read; the text says why."""


class RefusedError(UnreadableError):
    """The file asks for what no network needs; the text says for what."""


@dataclass(slots=True)
class ReadingBudget:
    """What one file may still cost, with everything in it."""

    bytes_left: int
    steps_left: int = MOST_STEPS

    @classmethod
    def of_file(cls, size: int) -> "ReadingBudget":
        """Return that of a file of ``size`` bytes: twice as much memory."""
        return cls(2 * size + _SLACK)

    def take(self, size: int) -> None:
        """Pay for ``size`` bytes, or raise RefusedError."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise RefusedError("unpacks to far more than its own size, which no network does")

    def step(self, count: int = 1) -> None:
        """Pay for ``count`` instructions, or raise RefusedError."""
        self.steps_left -= count
        if self.steps_left < 0:
            raise RefusedError("has more instructions than any network needs")


class BoundedFile:
    """A part of a file, which is never asked for more than it has."""

    def __init__(self, file: BinaryIO, begin: int = 0, size: int | None = None) -> None:
        end = file.seek(0, io.SEEK_END)
        self._file = file
        self.left = end - begin if size is None else min(size, end - begin)
        file.seek(begin)

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes; raise UnreadableError where there are not as many."""
        self._spend(size)
        return self._file.read(size)

    def readinto(self, space: memoryview) -> None:
        """Fill ``space`` with the next bytes, as :meth:`read`."""
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
        """Return the place in the whole file."""
        return self._file.tell()


def checked_key(key: Any) -> Any:
    """Return ``key`` if its hash costs nothing; raise RefusedError otherwise."""
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
                if len(data) == length * int(code[1]) <= _LONGEST_ARRAY:
                    self[:] = struct.unpack(f"<{length:d}{_NUMPY[code]}", data)
            case _:
                pass


class Function:
    """Stands for a function or class, by its name."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call
        self._signature = inspect.signature(call)

    def __call__(self, *arguments: Any) -> Any:
        """Return what stands for the result; raise UnreadableError for other arguments."""
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
    """Return a tensor that shows a part of ``storage``, or raise UnreadableError."""
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
    """Return lengths, strides or an offset, each of which is a possible one."""
    plain = isinstance(found, tuple | list) and len(cast("list[Any]", found)) <= _MOST_DIMENSIONS
    lengths = tuple(cast("list[Any]", found)) if plain else (None,)
    if not all(type(n) is int and 0 <= n < _LARGEST_LENGTH for n in lengths):
        raise UnreadableError("a tensor of impossible shape")
    return cast("tuple[int, ...]", lengths)


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

    return functions(
        {
            # Python gives what they hold afterwards; with an argument they would be a trap.
            "collections.OrderedDict": lambda: OrderedDict[Any, Any](),
            "__builtin__.bytes": lambda: b"",
            **dict.fromkeys(("builtins.set", "__builtin__.set"), new_set),
            "_codecs.encode": latin_bytes,
            "torch._utils._rebuild_parameter": parameter,
            "torch._utils._rebuild_tensor_v2": rebuilt_tensor,
            "numpy.dtype": _numpy_type,
            "numpy.ndarray": ignored,
            **{f"numpy.{core}.multiarray.scalar": _numpy_number for core in ("core", "_core")},
            **{f"numpy.{core}.multiarray._reconstruct": new_array for core in ("core", "_core")},
        }
    )


def _numpy_type(code: Any, *_: Any) -> Ignored:
    return Ignored(code) if isinstance(code, str) and code in _NUMPY else Ignored()


def _numpy_number(kind: Any, data: Any = None) -> Any:
    """Return a number of numpy, of a machine with the usual order of bytes, as one of Python."""
    known = isinstance(kind, Ignored) and kind.name in _NUMPY
    if not known or not isinstance(data, bytes) or len(data) != int(kind.name[1]):
        return Ignored()
    return struct.unpack(f"<{_NUMPY[kind.name]}", data)[0]


class Machine:
    """Makes of the instructions of one pickle what it holds, as far as networks need them.

    ``names`` has what stands for each name that is known, ``budget`` is that of the whole file, and
    ``persistent`` gives what a pickle refers to outside of itself; None: nothing.
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
        """Return what the pickle holds; raise RefusedError or UnreadableError where it is none."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of texts in the file
            for name, argument in _instructions(file):
                self._budget.step()
                if name == "STOP":
                    if len(self._stack) != 1 or self._marks:
                        raise UnreadableError("it holds not one thing")
                    return self._stack[0]
                if name not in _STEPS:
                    raise RefusedError(f"has the instruction {name}, which no network needs")
                _STEPS[name](self, argument)
        raise UnreadableError("it ends too early")

    def push(self, thing: Any) -> None:
        """Put ``thing`` on the stack."""
        self._stack.append(thing)

    def literal(self, thing: Any) -> None:
        """Put a number, a text or bytes on the stack."""
        if type(thing) is int and thing.bit_length() > 8 * _LONGEST_NUMBER:
            raise RefusedError("has a number of more digits than any network needs")
        self._stack.append(thing)

    def mark(self, _: Any) -> None:
        """Begin a new stack on the one that is there."""
        self._marks.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        """Take everything that was put on the stack since the last mark."""
        if not self._marks:
            raise UnreadableError("an instruction misses its mark")
        things, self._stack = self._stack, self._marks.pop()
        return things

    def last(self, count: int) -> list[Any]:
        """Take the last ``count`` things."""
        if len(self._stack) < count:
            raise UnreadableError("an instruction finds too little before it")
        things = self._stack[-count:]
        del self._stack[-count:]
        return things

    def top(self) -> Any:
        """Return the last thing, and leave it."""
        if not self._stack:
            raise UnreadableError("an instruction finds too little before it")
        return self._stack[-1]

    def set_items(self, things: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        target = self.top()
        if not isinstance(target, dict) or len(things) % 2:
            raise UnreadableError("items for what is no dictionary")
        keys = [checked_key(key) for key in things[::2]]
        cast("dict[Any, Any]", target).update(zip(keys, things[1::2], strict=True))

    def append(self, things: list[Any]) -> None:
        """Put things into the list on the stack."""
        target = self.top()
        if type(target) is not list:
            raise UnreadableError("things for what is no list")
        cast("list[Any]", target).extend(things)

    def add(self, things: list[Any]) -> None:
        """Put things into the set on the stack."""
        target = self.top()
        if type(target) is not set:
            raise UnreadableError("things for what is no set")
        cast("set[Any]", target).update(checked_key(thing) for thing in things)

    def remember(self, place: int | None) -> None:
        """Keep the last thing for later."""
        thing = self.top()
        few = isinstance(thing, tuple) and len(cast("tuple[Any, ...]", thing)) < 4
        parts = cast("tuple[Any, ...]", thing) if few else (thing,)
        large = any(isinstance(part, bytes) and len(part) > _REMEMBERED for part in parts)
        self._memo[len(self._memo) if place is None else place] = _FORGOTTEN if large else thing

    def recall(self, place: int) -> None:
        """Put on the stack what was kept."""
        if place not in self._memo:
            raise UnreadableError("an instruction asks for what was never there")
        thing = self._memo[place]
        if thing is _FORGOTTEN:
            raise RefusedError("uses the bytes of a storage twice, which no network does")
        self._stack.append(thing)

    def name(self, parts: list[Any]) -> None:
        """Put on the stack what stands for a name."""
        if not all(isinstance(part, str) and len(part) <= _LONGEST_NAME for part in parts):
            raise RefusedError("asks for something by what is no name, which no network needs")
        name = ".".join(parts)
        if name not in self._names:
            known = name.removeprefix("__builtin__.").removeprefix("builtins.")
            raise RefusedError(f"asks for {shown(known)}, which no network needs")
        self._stack.append(self._names[name])

    def call(self, _: Any) -> None:
        """Put on the stack what a call gives."""
        made_by, arguments = self.last(2)
        if not isinstance(made_by, Function) or not isinstance(arguments, tuple):
            raise RefusedError(f"calls what is no name: {type(made_by).__name__}")
        self._stack.append(made_by(*cast("tuple[Any, ...]", arguments)))

    def build(self, _: Any) -> None:
        """Give the state of a thing to it, if it takes one."""
        target, state = self.last(2)
        self._stack.append(target)
        if isinstance(target, Namespace) and isinstance(state, dict):
            named = cast("dict[Any, Any]", state)
            self._budget.step(len(named))
            vars(target).update({k: v for k, v in named.items() if isinstance(k, str)})
        elif isinstance(target, Array):
            target.take(state)
        elif not isinstance(target, Ignored | OrderedDict):  # the latter with what torch adds to it
            raise RefusedError(f"sets the state of a {type(target).__name__}")

    def refer(self, _: Any) -> None:
        """Put on the stack what lies outside the pickle."""
        (identity,) = self.last(1)
        if self._persistent is None:
            raise RefusedError("refers to another file, which no network does")
        self._stack.append(self._persistent(identity))


_STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda _, argument: None),
    **dict.fromkeys(
        (
            *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        ),
        Machine.literal,
    ),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": Machine.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), Machine.remember),
    "MEMOIZE": lambda machine, _: machine.remember(None),
    **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), Machine.recall),
    "GLOBAL": lambda machine, name: machine.name(name.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(machine.last(2)),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine.call),
    "BUILD": Machine.build,
    "BINPERSID": Machine.refer,
}


def _instructions(file: BoundedFile) -> Iterator[tuple[str, Any]]:
    """Yield the instructions by their names, with their arguments."""
    instructions = pickletools.genops(file)  # type: ignore[arg-type]
    while True:
        try:
            opcode, argument, _ = next(instructions)
        except StopIteration:
            return
        except ValueError as error:  # of pickletools: an unknown instruction, a text that is none
            raise UnreadableError(shown(error)) from None
        yield opcode.name, argument
