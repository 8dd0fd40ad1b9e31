"""Read files of ``torch.save`` for the tensors in them; nothing else in them comes to life.

They are read by ``pickle_machine``, and not by ``torch.load``: its own restricted reader runs no
code either, but small files can fill its memory. New files are zip archives: a pickle, and beside
it each storage as it lies in memory, so that it can be mapped. Old ones are five pickles, one after
the other, and then the storages. Programs keep their flags as ``argparse.Namespace``, which is
among the names that are known; other harmless things that are no weights become stand-ins.
"""

import argparse
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from graftgan.checkpoints.pickle_machine import (
    BoundedFile,
    Function,
    Ignored,
    Machine,
    Named,
    ReadingBudget,
    RefusedError,
    StandInNames,
    Storage,
    StorageType,
    UnreadableError,
    common_names,
    functions,
    ignored,
    parameter,
    tensor_of,
)
from graftgan.core.errors import CheckpointError, shown

ZIP_BEGINNING = b"PK\x03\x04"
LEGACY_BEGINNING = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # a number, pickled
_LEGACY_NUMBER, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_LOCAL_HEADER = 30  # bytes, before the name of a part and what else is said of it
_END, _LARGEST_END = b"PK\x05\x06", 22 + (1 << 16)  # of an archive, with its comment
_WIDE_END = b"PK\x06\x06"
_LARGEST_LIST = 1 << 23  # bytes that name the parts of an archive: some 80,000 of them
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

STORAGE_TYPES: dict[str, Named] = {
    **{
        f"{place}.{name}Storage": StorageType(dtype)
        for place in ("torch", "torch.cuda")
        for name, dtype in {
            "Double": torch.float64,
            "Float": torch.float32,
            "Half": torch.float16,
            "BFloat16": torch.bfloat16,
            "Long": torch.int64,
            "Int": torch.int32,
            "Short": torch.int16,
            "Char": torch.int8,
            "Byte": torch.uint8,
            "Bool": torch.bool,
            "ComplexFloat": torch.complex64,
            "ComplexDouble": torch.complex128,
            # Those of quantised tensors, which are read as bytes and used for nothing.
            **dict.fromkeys(("QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"), torch.uint8),
            "QInt32": torch.int32,
        }.items()
    },
    "torch.storage.UntypedStorage": StorageType(torch.uint8),
}


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a pickle says of a storage that lies outside of it."""

    dtype: torch.dtype
    key: str
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * torch.empty(0, dtype=self.dtype).element_size()


def _reference(identity: Any) -> _Reference:
    """Return what the pickle says of a storage: that it is one, type, key, place, length."""
    match identity:
        case ("storage", StorageType(dtype), str(key), _, count, *view) if (
            isinstance(identity, tuple) and len(view) <= 1 and all(part is None for part in view)
        ):
            if type(count) is not int or not 0 <= count < 1 << 48:
                raise UnreadableError("a storage of impossible length")
            return _Reference(dtype, key, count)
        case _:
            raise UnreadableError("a storage in an unknown form")


def read_archive(path: Path, names: StandInNames, budget: ReadingBudget) -> Any:
    """Return what a zip archive of torch holds, with tensors mapped from it, or UnreadableError."""
    archive = _Archive(path, budget)
    machine = Machine({**STORAGE_TYPES, **names}, budget, archive.storage)
    begin, size = archive.place("data.pkl")
    with path.open("rb") as file:
        return machine.run(BoundedFile(file, begin, size))


class _Archive:
    """Where the parts of an archive lie."""

    def __init__(self, path: Path, budget: ReadingBudget) -> None:
        self._path, self._budget = path, budget
        self._parts = _parts_of(path)
        heads = [name.removesuffix("data.pkl") for name in self._parts if name.endswith("data.pkl")]
        if len(heads) != 1 or f"{heads[0]}constants.pkl" in self._parts:
            raise UnreadableError("it is an archive without weights, or a compiled program")
        self._head = heads[0]
        self._size = path.stat().st_size
        self._mapped = torch.UntypedStorage.from_file(str(path), False, self._size)
        self._storages: dict[str, Storage] = {}
        if f"{self._head}byteorder" in self._parts:
            begin, size = self.place("byteorder")
            if bytes(self._slice(begin, min(size, 8)).tolist()) != b"little":
                raise RefusedError("was written by a machine with another order of bytes")

    def place(self, name: str) -> tuple[int, int]:
        """Return where a part begins, and its length."""
        part = self._parts.get(self._head + name)
        if part is None or part.header_offset < 0:
            raise UnreadableError(f"its part {shown(name)} is missing")
        with self._path.open("rb") as file:
            file.seek(part.header_offset)
            header = file.read(_LOCAL_HEADER)
        if len(header) != _LOCAL_HEADER or not header.startswith(ZIP_BEGINNING):
            raise UnreadableError(f"its part {shown(name)} is not where it should be")
        begin = part.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:]))
        if begin + part.file_size > self._size:
            raise UnreadableError("it ends too early")
        return begin, part.file_size

    def storage(self, identity: Any) -> Storage:
        """Return the storage of that name."""
        reference = _reference(identity)
        known = self._storages.get(reference.key)
        if known is None:
            known = Storage(self._content(reference), reference.dtype)
            self._storages[reference.key] = known
        if known.dtype != reference.dtype or known.content.nbytes() != reference.nbytes:
            raise UnreadableError(f"two kinds of storage {shown(reference.key)}")
        return known

    def _content(self, reference: _Reference) -> torch.UntypedStorage:
        if not reference.count:
            return torch.UntypedStorage(0)
        begin, size = self.place(f"data/{reference.key}")
        if size != reference.nbytes:
            raise UnreadableError(f"its storage {shown(reference.key)} is of another length")
        content = self._slice(begin, size)
        if begin % torch.empty(0, dtype=reference.dtype).element_size():
            self._budget.take(size)
            return content.clone()
        return content

    def _slice(self, begin: int, size: int) -> torch.UntypedStorage:
        return cast("torch.UntypedStorage", self._mapped[begin : begin + size])


def _parts_of(path: Path) -> Mapping[str, zipfile.ZipInfo]:
    """Return the parts of an archive by name, none of which is packed."""
    if _length_of_list(path) > _LARGEST_LIST:
        raise RefusedError("names more parts than any network has")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise UnreadableError(f"it is no whole archive ({shown(error)})") from None
    if any(
        part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size
        for part in parts
    ):
        raise RefusedError("it was compressed, which torch.save never does")
    if any(part.flag_bits & 1 for part in parts):
        raise RefusedError("it was encrypted, which torch.save never does")
    named = {part.filename: part for part in parts}
    if len(named) != len(parts):
        raise UnreadableError("two parts of its archive have one name")
    return named


def _length_of_list(path: Path) -> int:
    """Return how many bytes name the parts of an archive: what would be in memory at once."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LARGEST_END))
        end = file.read()
    found = 0
    for mark, place, form in ((_END, 12, "<L"), (_WIDE_END, 40, "<Q")):
        at = end.rfind(mark)
        with suppress(struct.error):
            (length,) = struct.unpack_from(form, end, at + place) if at >= 0 else (0,)
            found = max(found, 0 if length == 0xFFFFFFFF else length)
    return found


@dataclass(slots=True)
class _Legacy:
    """The storages of an old file, which are named first and filled afterwards."""

    budget: ReadingBudget
    storages: dict[str, tuple[_Reference, Storage]] = field(default_factory=dict[str, Any])

    def storage(self, identity: Any) -> Storage:
        """Return the storage of that name, still empty."""
        reference = _reference(identity)
        if reference.key not in self.storages:
            self.budget.take(reference.nbytes)
            empty = Storage(torch.UntypedStorage(reference.nbytes), reference.dtype)
            self.storages[reference.key] = (reference, empty)
        known, storage = self.storages[reference.key]
        if known != reference:
            raise UnreadableError(f"two kinds of storage {shown(reference.key)}")
        return storage


def read_legacy(file: BoundedFile, names: StandInNames, budget: ReadingBudget) -> Any:
    """Return what an old file of torch holds, or raise UnreadableError."""
    for expected in (_LEGACY_NUMBER, _LEGACY_VERSION):
        if Machine({}, budget).run(file) != expected:
            raise UnreadableError("it begins as no file of torch.save")
    system = Machine({}, budget).run(file)
    if not isinstance(system, dict) or not cast("Any", system).get("little_endian"):
        raise RefusedError("was written by a machine with another order of bytes")
    outside = _Legacy(budget)
    content = Machine({**STORAGE_TYPES, **names}, budget, outside.storage).run(file)
    keys = Machine({}, budget).run(file)
    if not isinstance(keys, list):
        raise UnreadableError("it does not say where its storages lie")
    wanted = dict(outside.storages)
    for key in cast("list[Any]", keys):
        reference, storage = wanted.pop(key, (None, None)) if isinstance(key, str) else (None, None)
        if reference is None or storage is None:
            raise UnreadableError("it has storages that it does not use")
        if int.from_bytes(file.read(8), "little") != reference.count:
            raise UnreadableError(f"its storage {shown(key)} is of another length")
        space = torch.empty(0, dtype=torch.uint8).set_(storage.content)  # type: ignore[call-overload]
        file.readinto(space.numpy().data)
    if wanted:
        raise UnreadableError("some of its storages are missing")
    return content


def is_torch_file(path: Path) -> bool:
    """Return whether ``path`` begins as files of ``torch.save`` do, or raise CheckpointError."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(LEGACY_BEGINNING))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    return beginning.startswith(ZIP_BEGINNING) or beginning == LEGACY_BEGINNING


def read_torch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary in a file of ``torch.save``, with tensors on the CPU.

    Those of a zip file are mapped: they take memory when they are used. What DataParallel and
    torch.compile add to names is taken from them, here and in the dictionaries within. Raises
    CheckpointError for other files, and for those that ask for what weights do not need.
    """
    try:
        # tensors may share storages, which takes no memory
        budget = ReadingBudget.of_file(2 * path.stat().st_size)
        with path.open("rb") as file:
            if file.read(len(ZIP_BEGINNING)) == ZIP_BEGINNING:
                content = read_archive(path, _names(budget), budget)
            else:
                content = read_legacy(BoundedFile(file), _names(budget), budget)
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
    """Return the state dict ``found``, all of plain tensors, or raise CheckpointError."""
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
    others = {
        "torch._tensor._rebuild_from_type_v2": rebuilt_by,
        "argparse.Namespace": lambda: argparse.Namespace(),
        "collections.Counter": ignored,
        **{f"torch.{name}": ignored for name in _UNUSUAL},
    }
    types = {f"torch.{name}": Ignored(name) for name in _TYPES}
    return {**common_names(budget), **tensors, **functions(others), **types}


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
    unusual = tensor.is_complex() or tensor.is_quantized or tensor.is_nested
    if unusual or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    # A file of a few bytes could name a tensor of any size, whose elements are all the same one.
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
