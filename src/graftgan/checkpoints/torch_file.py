"""The two kinds of file that ``torch.save`` writes, read by the machine of :mod:`pickles`.

New ones are zip archives: a pickle, and beside it each storage as it lies in memory, so that it can
be mapped. Old ones are five pickles, one after the other, and then the storages.
"""

import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from graftgan.checkpoints.limits import BoundedFile, ReadingBudget, RefusedError, UnreadableError
from graftgan.checkpoints.pickle_machine import Machine
from graftgan.checkpoints.stand_ins import Named, StandInNames, Storage, StorageType
from graftgan.core.untrusted import shown

ZIP_BEGINNING = b"PK\x03\x04"
LEGACY_BEGINNING = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # a number, pickled
_LEGACY_NUMBER, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_LOCAL_HEADER = 30  # bytes, before the name of a part and what else is said of it
_END, _LARGEST_END = b"PK\x05\x06", 22 + (1 << 16)  # of an archive, with its comment
_WIDE_END = b"PK\x06\x06"
_LARGEST_LIST = 1 << 23  # bytes that name the parts of an archive: some 80,000 of them

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
    if not isinstance(identity, tuple) or not 5 <= len(cast("tuple[Any, ...]", identity)) <= 6:
        raise UnreadableError("a storage in an unknown form")
    kind, type_, key, _, count, *view = cast("tuple[Any, ...]", identity)
    if kind != "storage" or any(part is not None for part in view):
        raise UnreadableError("a storage in an unknown form")
    if not isinstance(type_, StorageType) or not isinstance(key, str):
        raise UnreadableError("a storage in an unknown form")
    if type(count) is not int or not 0 <= count < 1 << 48:
        raise UnreadableError("a storage of impossible length")
    return _Reference(type_.dtype, key, count)


def read_archive(path: Path, names: StandInNames, budget: ReadingBudget) -> Any:
    """Return what a zip archive of torch holds; its tensors are mapped from the file.

    Raises:
        UnreadableError: It is damaged, packed, or no archive of weights.
    """
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
    storages: dict[str, tuple[_Reference, Storage]] = field(
        default_factory=dict[str, tuple[_Reference, Storage]]
    )

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
    """Return what an old file of torch holds.

    Raises:
        UnreadableError: It is damaged, or no such file.
    """
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
