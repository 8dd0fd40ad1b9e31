"""Read the official StyleGAN2-ADA and StyleGAN3 pickles without running anything in them.

Such a file is a pickle of networks, each stored with the text of the Python module it is made by,
which the official program executes. Here nothing is executed, and no unpickler is used: a machine
of its own goes through the instructions that these files are made of and knows no others. It makes
plain containers, numbers, texts and bytes; a name gives a stand-in, if it is one of ``_KNOWN``, and
never the function or class itself. Storages go through ``torch.load`` with ``weights_only``.
"""

import hashlib
import io
import pickletools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from graftgan.errors import CheckpointError

_REMEMBERED = 4096  # bytes: nothing longer is asked for twice, and storages would stay in memory
_FORGOTTEN = object()


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A network as an official pickle holds it.

    Attributes:
        class_name: Of its class in the module that is stored with it.
        settings: What it was built with.
        tensors: Parameters and buffers by their full names. Layers that were frozen while it was
            trained have theirs among the buffers; here they are all alike.
        source_sha256: Of the text of that module, which is neither run nor parsed.
    """

    class_name: str
    settings: Mapping[str, Any]
    tensors: dict[str, Tensor]
    source_sha256: str


def read_official(path: Path) -> dict[str, StoredNetwork]:
    """Return the networks in the pickle ``path`` by their keys: G, D, G_ema.

    Raises:
        CheckpointError: It cannot be read, is damaged, is no such pickle, or asks for anything that
            such a pickle does not need; the message names it.
    """
    try:
        with path.open("rb") as file:
            content = _Machine().run(_Bounded(file))
        found = content.items() if isinstance(content, dict) else ()
        networks = {
            str(key): _network(value) for key, value in found if isinstance(value, _Persistent)
        }
    except _RefusedError as error:
        raise CheckpointError(f"{path} {error}; nothing in it was run") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise CheckpointError(
            f"{path} is no StyleGAN pickle, or is damaged ({type(error).__name__}: {error})"
        ) from None
    if not networks:
        raise CheckpointError(
            f"{path} holds no network; expected an official pickle with G, D and G_ema"
        )
    return networks


class _RefusedError(Exception):
    """The file asks for what no network needs; the text says for what."""


@dataclass(frozen=True, slots=True)
class _Persistent:
    """Stands for an object that was stored with the text of its module."""

    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Ignored:
    """Stands for what no network needs: numbers and arrays of numpy."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """The numbers of tensors, and of what type they are."""

    content: torch.UntypedStorage
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class _StandIn:
    """Stands for a function or class, by its name."""

    name: str
    call: Callable[..., Any]


class _Bounded:
    """A file that is never asked for more than it has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._left:
            raise EOFError("it ends too early")
        self._left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line

    def tell(self) -> int:
        return self._file.tell()


class _Machine:
    """Goes through the instructions of a pickle (PEP 3154), as far as networks need them."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **dict.fromkeys(_LITERALS, self._stack.append),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_SET": lambda _: self._stack.append(set()),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "MARK": self._mark,
            "TUPLE": lambda _: self._push(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._push(tuple(self._last(1))),
            "TUPLE2": lambda _: self._push(tuple(self._last(2))),
            "TUPLE3": lambda _: self._push(tuple(self._last(3))),
            "SETITEM": lambda _: self._set(self._last(2)),
            "SETITEMS": lambda _: self._set(self._since_mark()),
            "APPEND": lambda _: self._extend(self._last(1), list),
            "APPENDS": lambda _: self._extend(self._since_mark(), list),
            "ADDITEMS": lambda _: self._extend(self._since_mark(), set),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), self._remember),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), self._recall),
            "GLOBAL": lambda name: self._push(_stand_in(name.replace(" ", "."))),
            "STACK_GLOBAL": lambda _: self._push(_stand_in(".".join(self._last(2)))),
            **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda _: self._call()),
            "BUILD": lambda _: self._build(),
        }

    def run(self, file: _Bounded) -> Any:
        """Return what the pickle holds.

        Raises:
            _RefusedError: It has an instruction that no network needs, or names what none needs.
        """
        for opcode, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]
            if opcode.name == "STOP":
                (content,) = self._stack
                self._stack.clear()  # the machine refers to itself, and would keep all of it
                self._memo.clear()
                return content
            if opcode.name not in self._steps:
                raise _RefusedError(f"has the instruction {opcode.name}, which no network needs")
            self._steps[opcode.name](argument)
        raise EOFError("it ends too early")

    def _push(self, thing: Any) -> None:
        self._stack.append(thing)

    def _mark(self, _: Any) -> None:
        self._marks.append(self._stack[:])
        self._stack.clear()

    def _since_mark(self) -> list[Any]:
        things = self._stack[:]
        self._stack[:] = self._marks.pop()
        return things

    def _last(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("an instruction finds too little before it")
        things = self._stack[-count:]
        del self._stack[-count:]
        return things

    def _set(self, things: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(things) % 2:
            raise TypeError("items for what is no dictionary")
        target.update(zip(things[::2], things[1::2], strict=True))

    def _extend(self, things: list[Any], kind: type) -> None:
        target = self._stack[-1]
        if type(target) is not kind:
            raise TypeError(f"things for what is no {kind.__name__}")
        if isinstance(target, set):
            target.update(things)
        else:
            target.extend(things)

    def _remember(self, place: int) -> None:
        thing = self._stack[-1]
        parts = thing if isinstance(thing, tuple) else (thing,)
        large = any(isinstance(part, bytes) and len(part) > _REMEMBERED for part in parts)
        self._memo[place] = _FORGOTTEN if large else thing

    def _recall(self, place: int) -> None:
        thing = self._memo[place]
        if thing is _FORGOTTEN:
            raise _RefusedError("uses the bytes of a storage twice, which no network does")
        self._stack.append(thing)

    def _call(self) -> None:
        made_by, arguments = self._last(2)
        if not isinstance(made_by, _StandIn) or not isinstance(arguments, tuple):
            raise _RefusedError(f"calls what is no name: {type(made_by).__name__}")
        self._stack.append(made_by.call(*arguments))

    def _build(self) -> None:
        target = self._stack[-2]
        if not isinstance(target, _Ignored):
            raise _RefusedError(f"sets the state of a {type(target).__name__}")
        self._last(1)


_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)


def _stand_in(name: str) -> _StandIn:
    if name not in _KNOWN:
        raise _RefusedError(f"asks for {name}, which no network needs")
    return _StandIn(name, _KNOWN[name])


def _latin_bytes(text: str, codec: str) -> bytes:
    """Return the bytes that protocol 2 has as text."""
    if codec != "latin1":
        raise ValueError("bytes in an unknown form")
    return text.encode("latin1")


def _storage(data: bytes) -> _Storage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of the very type it stores
        stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(stored, torch.storage.TypedStorage):
            raise TypeError("a storage that is none")
        return _Storage(stored.untyped(), stored.dtype)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor without a storage")
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor of impossible shape")
    flat = torch.empty(0, dtype=storage.dtype)
    held = storage.content.nbytes() // flat.element_size()
    count = 1
    for n in size:
        count *= n
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    if count > held or (count and reach > held):
        raise ValueError("a tensor larger than its storage")
    flat.set_(storage.content)  # type: ignore[call-overload]
    return flat.as_strided(size, stride, offset).contiguous()


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter without a tensor")
    return data


def _ignored(*_: Any) -> _Ignored:
    return _Ignored()


_KNOWN: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "_codecs.encode": _latin_bytes,
    # Protocol 2 has empty ones so; with a size it would be a trap.
    "__builtin__.bytes": lambda: b"",
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.storage._load_from_bytes": _storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _Persistent,
    "dnnlib.util.EasyDict": dict,
    "numpy.dtype": _ignored,
    "numpy.ndarray": _ignored,
    **{
        f"numpy.{core}.multiarray.{name}": _ignored
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    },
}


def _network(stored: _Persistent) -> StoredNetwork:
    meta = stored.meta
    text = meta["module_src"]
    return StoredNetwork(
        class_name=str(meta["class_name"]),
        settings=dict(meta["state"]["_init_kwargs"]),
        tensors=dict(_tensors(stored, "", set())),
        source_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _tensors(stored: _Persistent, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers by their full names."""
    if id(stored) in seen:
        raise ValueError("a part that is there twice")
    seen.add(id(stored))
    state = stored.meta["state"]
    for kind in ("_parameters", "_buffers"):
        for name, tensor in state[kind].items():
            if isinstance(tensor, Tensor):
                yield f"{prefix}{name}", tensor
    for name, part in state["_modules"].items():
        if isinstance(part, _Persistent):
            yield from _tensors(part, f"{prefix}{name}.", seen)
