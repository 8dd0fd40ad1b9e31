"""Read the official StyleGAN2-ADA and StyleGAN3 pickles without running any code in them.

Such a pickle stores each network with the source text of its Python module, which the official
program executes. Here ``pickle_machine`` reads the file, and each network becomes a record of its
settings, layers and tensors.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import Tensor

from graftgan.checkpoints.pickle_machine import (
    BoundedFile,
    Machine,
    Named,
    ReadingBudget,
    RefusedError,
    Storage,
    UnreadableError,
    common_names,
    functions,
    reading,
)
from graftgan.checkpoints.torch_file import ZIP_BEGINNING, read_legacy
from graftgan.core.errors import CheckpointError, shown

_DEEPEST = 16  # levels of nested modules
_NO_SETTINGS = {"_parameters", "_buffers", "_modules", "_init_args", "_init_kwargs"} | {
    "_non_persistent_buffers_set"
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A module within a network.

    Attributes:
        class_name: Its class in the stored module.
        arguments: Its constructor's positional arguments; ``settings``: the keyword arguments.
        attributes: Its other attributes, such as numbers and strings.
    """

    class_name: str
    arguments: tuple[Any, ...]
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A network in an official pickle.

    Attributes:
        class_name: Its class in the stored module.
        settings: Its constructor's keyword arguments.
        tensors: Parameters and buffers by full name. Layers that were frozen in training keep their
            weights as buffers; here no difference is made.
        source_sha256: Of the module's source text, which is neither run nor parsed.
        layers: All modules by full name; the network itself is "".
    """

    class_name: str
    settings: Mapping[str, Any]
    tensors: dict[str, Tensor]
    source_sha256: str
    layers: Mapping[str, StoredLayer]


_Part = tuple[StoredLayer, list[tuple[str, Tensor]]]


def read_official(path: Path) -> dict[str, StoredNetwork]:
    """Return the networks in the pickle ``path`` by their keys: G, D, G_ema.

    Raises CheckpointError for other files, and for files that ask for what no network needs.
    """
    with reading(path, what="StyleGAN pickle, or is damaged"), path.open("rb") as file:
        budget = ReadingBudget.of_file(path.stat().st_size)
        _refuse_others(file.read(64))
        content = Machine(_names(budget), budget).run(BoundedFile(file))
        found = cast("dict[Any, Any]", content) if isinstance(content, dict) else {}
        networks = {
            key: _network(found[key], budget)
            for key in ("G", "D", "G_ema")
            if isinstance(found.get(key), _Persistent)
        }
    if not networks:
        raise CheckpointError(
            f"{path} holds no network; expected an official pickle with G, D and G_ema"
        )
    return networks


def _refuse_others(begin: bytes) -> None:
    """Refuse other files that people mistake for a pickle."""
    if begin.startswith(b"\x1f\x8b"):
        raise RefusedError("is packed with gzip; unpack it first (gunzip)")
    if begin.startswith(b"version https://git-lfs"):
        raise RefusedError("is a Git LFS pointer, not the file itself; fetch that (git lfs pull)")
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise RefusedError("is a web page, not the file itself; download that again")


@dataclass(frozen=True, slots=True)
class _Persistent:
    """Stand-in for an object that was stored with the text of its module."""

    meta: Any


def _names(budget: ReadingBudget) -> dict[str, Named]:
    """Return the stand-ins for the names in such a pickle."""

    def storage(data: Any) -> Storage:
        """Read a storage, which is a file of torch within the pickle."""
        if isinstance(data, bytes) and data.startswith(ZIP_BEGINNING):
            raise RefusedError("has a storage within an archive, which no network has")
        if isinstance(data, bytes):
            content = read_legacy(BoundedFile(io.BytesIO(data)), {}, budget)
            if isinstance(content, Storage):
                return content
        raise UnreadableError("a storage that is none")

    calls = {
        "torch.storage._load_from_bytes": storage,
        "torch_utils.persistence._reconstruct_persistent_obj": _Persistent,
        "dnnlib.util.EasyDict": lambda: dict[Any, Any](),
    }
    return {**common_names(budget), **functions(calls)}


def _network(stored: _Persistent, budget: ReadingBudget) -> StoredNetwork:
    text = _entry(stored.meta, "module_src", str)
    budget.take(len(text))
    parts = _distinct(_parts(stored, budget))
    whole, _ = parts[""]
    return StoredNetwork(
        class_name=whole.class_name,
        settings=whole.settings,
        tensors=_distinct(
            (f"{name}.{key}" if name else key, tensor.contiguous())
            for name, (_, tensors) in parts.items()
            for key, tensor in tensors
        ),
        source_sha256=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
        layers={name: layer for name, (layer, _) in parts.items()},
    )


def _distinct(named: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    """Return the pairs as a dictionary; refuse a name that is there twice."""
    found: dict[str, _T] = {}
    for name, value in named:
        if name in found:
            raise UnreadableError(f"the name {shown(name)} is there twice")
        found[name] = value
    return found


def _parts(stored: _Persistent, budget: ReadingBudget) -> Iterator[tuple[str, _Part]]:
    """Yield the modules of a network by full name, itself first."""
    waiting = [("", 0, stored)]
    seen: set[int] = set()
    while waiting:
        name, depth, part = waiting.pop()
        if id(part) in seen:
            raise UnreadableError("a part that is there twice")
        if depth > _DEEPEST:
            raise UnreadableError("parts that are nested too deeply")
        seen.add(id(part))
        state = _entry(part.meta, "state", dict)
        budget.step(len(state))
        yield name, _part(_entry(part.meta, "class_name", str), state, budget)
        inner = cast("dict[Any, Any]", _entry(state, "_modules", dict))
        budget.step(len(inner))
        for key, value in reversed(inner.items()):
            full = f"{name}.{key}" if name else str(key)
            if isinstance(value, _Persistent):
                waiting.append((full, depth + 1, value))
            elif value is not None:
                raise UnreadableError(f"a part {shown(full)} that is none")


def _part(class_name: str, state: dict[Any, Any], budget: ReadingBudget) -> _Part:
    kept = [_entry(state, kind, dict) for kind in ("_parameters", "_buffers")]
    budget.step(sum(map(len, kept)))
    tensors = [(str(key), t) for held in kept for key, t in held.items() if t is not None]
    for name, tensor in tensors:
        if not isinstance(tensor, Tensor) or tensor.is_complex():
            raise UnreadableError(f"a tensor {shown(name)} that is none, or of complex numbers")
    built = {"_init_args": (), "_init_kwargs": {}, **state}
    settings = cast("dict[Any, Any]", _entry(built, "_init_kwargs", dict))
    named = {str(key): value for key, value in state.items()}
    layer = StoredLayer(
        class_name=class_name,
        arguments=_entry(built, "_init_args", tuple),
        settings={str(key): value for key, value in settings.items()},
        attributes={key: value for key, value in named.items() if not _is_torchs(key, value)},
    )
    return layer, tensors


def _is_torchs(name: str, value: Any) -> bool:
    """Return whether torch itself keeps this attribute of every module, such as empty hooks."""
    plain = value is None or isinstance(value, bool)
    empty = isinstance(value, dict | set) and not value
    return name in _NO_SETTINGS or (name.startswith("_") and (plain or empty))


def _entry(record: Any, name: str, kind: type[_T]) -> _T:
    """Return a required entry of a dictionary; refuse another type."""
    value = record.get(name) if isinstance(record, dict) else None  # type: ignore[union-attr]
    if not isinstance(value, kind):
        raise UnreadableError(f"a network without {name}")
    return value
