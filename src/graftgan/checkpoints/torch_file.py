"""Read the tensors in files of ``torch.save`` without running any code in them.

``pickle_machine`` reads them, not ``torch.load``: its ``weights_only`` reader runs no code either,
but a small file can fill its memory. New files are zip archives of a pickle and the raw storages,
which can be mapped. Old files are five pickles in a row, followed by the storages. Programs keep
their flags as ``argparse.Namespace``, which is known; other harmless objects become stand-ins.
"""

import argparse
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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
    reading,
    tensor_of,
)
from graftgan.core.errors import CheckpointError, shown

ZIP_BEGINNING = b"PK\x03\x04"
LEGACY_BEGINNING = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # a number, pickled
_LEGACY_NUMBER, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_LOCAL_HEADER = 30  # bytes before the name of a part and its extra field
_LARGEST_END = 22 + (1 << 16)  # bytes of an archive's end record, with its comment
_LARGEST_DIRECTORY = 1 << 23  # bytes: some 80,000 parts
_PARALLEL, _COMPILED = "module.", "_orig_mod"  # what DataParallel and torch.compile add to names
_DEPTH = 3  # of nested dictionaries whose names are shortened
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
            # Of quantised tensors: read as bytes, never used.
            **dict.fromkeys(("QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"), torch.uint8),
            "QInt32": torch.int32,
        }.items()
    },
    "torch.storage.UntypedStorage": StorageType(torch.uint8),
}


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a pickle says of a storage outside it."""

    dtype: torch.dtype
    key: str
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * torch.empty(0, dtype=self.dtype).element_size()


def _reference(identity: Any) -> _Reference:
    """Parse a pickle's description of a storage: tag, type, key, device, length."""
    match identity:
        case ("storage", StorageType(dtype), str(key), _, count, *view) if (
            isinstance(identity, tuple) and len(view) <= 1 and all(part is None for part in view)
        ):
            if type(count) is not int or not 0 <= count < 1 << 48:
                raise UnreadableError("a storage of impossible length")
            return _Reference(dtype, key, count)
        case _:
            raise UnreadableError("a storage in an unknown form")


def _read_archive(path: Path, names: StandInNames, budget: ReadingBudget) -> Any:
    """Return the object in a zip archive of torch, with tensors mapped from it."""
    archive = _Archive(path, budget)
    machine = Machine({**STORAGE_TYPES, **names}, budget, archive.storage)
    begin, size = archive.place("data.pkl")
    with path.open("rb") as file:
        return machine.run(BoundedFile(file, begin, size))


class _Archive:
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
                raise RefusedError("was written by a machine with another byte order")

    def place(self, name: str) -> tuple[int, int]:
        """Return the offset and length of a part."""
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
        reference = _reference(identity)
        if reference.key not in self._storages:
            self._storages[reference.key] = Storage(self._content(reference), reference.dtype)
        known = self._storages[reference.key]
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
    """Return the parts of an archive by name; refuse compressed and encrypted ones."""
    if _directory_size(path) > _LARGEST_DIRECTORY:
        raise RefusedError("names more parts than any network has")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise UnreadableError(f"it is no whole archive ({shown(error)})") from None
    if any(p.compress_type != zipfile.ZIP_STORED or p.file_size != p.compress_size for p in parts):
        raise RefusedError("it was compressed, which torch.save never does")
    if any(part.flag_bits & 1 for part in parts):
        raise RefusedError("it was encrypted, which torch.save never does")
    named = {part.filename: part for part in parts}
    if len(named) != len(parts):
        raise UnreadableError("two parts of its archive have one name")
    return named


def _directory_size(path: Path) -> int:
    """Return the bytes of an archive's directory, which zipfile reads into memory at once."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LARGEST_END))
        end = file.read()
    found = 0
    for mark, place, form in ((b"PK\x05\x06", 12, "<L"), (b"PK\x06\x06", 40, "<Q")):  # zip, zip64
        at = end.rfind(mark)
        with suppress(struct.error):
            (length,) = struct.unpack_from(form, end, at + place) if at >= 0 else (0,)
            found = max(found, 0 if length == 0xFFFFFFFF else length)
    return found


class _LegacyStorages(dict[str, tuple[_Reference, Storage]]):
    """The storages of an old file, which are named first and filled afterwards."""

    def __init__(self, budget: ReadingBudget) -> None:
        super().__init__()
        self._budget = budget

    def storage(self, identity: Any) -> Storage:
        reference = _reference(identity)
        if reference.key not in self:
            self._budget.take(reference.nbytes)
            empty = Storage(torch.UntypedStorage(reference.nbytes), reference.dtype)
            self[reference.key] = (reference, empty)
        known, storage = self[reference.key]
        if known != reference:
            raise UnreadableError(f"two kinds of storage {shown(reference.key)}")
        return storage


def read_legacy(file: BoundedFile, names: StandInNames, budget: ReadingBudget) -> Any:
    """Return the object in an old file of torch, or raise UnreadableError."""
    for expected in (_LEGACY_NUMBER, _LEGACY_VERSION):
        if Machine({}, budget).run(file) != expected:
            raise UnreadableError("it does not begin as a file of torch.save")
    system = Machine({}, budget).run(file)
    if not isinstance(system, dict) or not cast("Any", system).get("little_endian"):
        raise RefusedError("was written by a machine with another byte order")
    storages = _LegacyStorages(budget)
    content = Machine({**STORAGE_TYPES, **names}, budget, storages.storage).run(file)
    keys = Machine({}, budget).run(file)
    if not isinstance(keys, list):
        raise UnreadableError("it does not say where its storages lie")
    for key in cast("list[Any]", keys):
        reference, storage = (
            storages.pop(key, (None, None)) if isinstance(key, str) else (None, None)
        )
        if reference is None or storage is None:
            raise UnreadableError("it has storages that it does not use")
        if int.from_bytes(file.read(8), "little") != reference.count:
            raise UnreadableError(f"its storage {shown(key)} is of another length")
        space = torch.empty(0, dtype=torch.uint8).set_(storage.content)  # type: ignore[call-overload]
        file.readinto(space.numpy().data)
    if storages:
        raise UnreadableError("some of its storages are missing")
    return content


def is_torch_file(path: Path) -> bool:
    """Return whether ``path`` begins as files of ``torch.save`` do, or raise CheckpointError."""
    with reading(path, what="file of torch.save"), path.open("rb") as file:
        beginning = file.read(len(LEGACY_BEGINNING))
    return beginning.startswith(ZIP_BEGINNING) or beginning == LEGACY_BEGINNING


def read_torch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary in a file of ``torch.save``, with tensors on the CPU.

    Tensors of a zip file are mapped: they take memory when they are used. The prefixes that
    DataParallel and torch.compile add to names are removed, in nested dictionaries too. Raises
    CheckpointError for other files, and for files that ask for what weights do not need.
    """
    advice = "; save the state_dict() of the networks alone"
    with reading(path, what="whole file of torch.save", advice=advice), path.open("rb") as file:
        # tensors may share storages, which takes no memory
        budget = ReadingBudget.of_file(2 * path.stat().st_size)
        if file.read(len(ZIP_BEGINNING)) == ZIP_BEGINNING:
            content = _read_archive(path, _names(budget), budget)
        else:
            content = read_legacy(BoundedFile(file), _names(budget), budget)
    if not _is_named(content):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__} and no dictionary of names; "
            "save the state_dict() of the networks"
        )
    return _unwrapped(content)


def tensors_in(found: object, *, what: str) -> dict[str, Tensor]:
    """Return ``found`` as a state dict of plain tensors, or raise CheckpointError."""
    if not _is_named(found):
        raise CheckpointError(f"{what} is a {type(found).__name__} and no state dict")
    named = cast("Mapping[str, Any]", found)
    others = [name for name, value in named.items() if not _is_ordinary(value)]
    if others:
        names = ", ".join(map(shown, others[:_SHOWN]))
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise CheckpointError(
            f"{what} holds values that are no ordinary tensors: {names}{more}; "
            "save the state_dict() of the network alone"
        )
    return dict(named)


def _names(budget: ReadingBudget) -> dict[str, Named]:
    """Return the stand-ins for the names in files of weights."""

    def rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor | Ignored:
        try:
            return tensor_of(budget, storage, offset, size, stride)
        except RefusedError:
            raise
        except UnreadableError as error:  # perhaps nobody asks for this tensor
            return Ignored(str(error))

    def rebuilt_parameter(data: Any, *_: Any) -> Tensor | Ignored:
        return data if isinstance(data, Ignored) else parameter(data)

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
            "torch._utils._rebuild_parameter": rebuilt_parameter,
            "torch._utils._rebuild_parameter_with_state": rebuilt_parameter,
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


def _is_named(content: object) -> bool:
    return isinstance(content, Mapping) and all(isinstance(name, str) for name in content)


def _unwrapped(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``named`` without the prefixes of DataParallel and torch.compile, nested ones too."""
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
    names = [".".join(part for part in n.split(".") if part != _COMPILED) for n in named]
    while names and all(name.startswith(_PARALLEL) for name in names):
        names = [name.removeprefix(_PARALLEL) for name in names]
    if len(set(names)) < len(names):  # two would have one name
        return named
    return dict(zip(names, named.values(), strict=True))


def _is_ordinary(value: object) -> bool:
    """Return whether ``value`` is a dense CPU tensor with as many numbers as its shape says."""
    if type(value) not in {Tensor, nn.Parameter}:
        return False
    tensor = cast("Tensor", value)
    unusual = tensor.is_complex() or tensor.is_quantized or tensor.is_nested
    if unusual or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    # With strides of 0 a file of a few bytes could hold a tensor of any size.
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
