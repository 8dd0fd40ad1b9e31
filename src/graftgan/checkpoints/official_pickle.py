"""Read the official StyleGAN2-ADA and StyleGAN3 pickles without running anything in them.

Such a file is a pickle of networks, each stored with the text of the Python module it is made by,
which the official program executes. Here nothing is executed: ``pickle_machine`` reads it, and each
network becomes a record of its settings, layers and tensors.
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
)
from graftgan.checkpoints.torch_file import ZIP_BEGINNING, read_legacy
from graftgan.core.errors import CheckpointError, shown

_NETWORKS = ("G", "D", "G_ema")
_BEGINNING = 64  # bytes
_DEEPEST = 16  # modules within modules
_NO_SETTINGS = {"_parameters", "_buffers", "_modules", "_init_args", "_init_kwargs"} | {
    "_non_persistent_buffers_set"
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A module within a network.

    Attributes:
        class_name: Of its class in the module that is stored with it.
        arguments: What it was built with, by its place; ``settings``: by name.
        attributes: What it keeps beside its tensors and parts: numbers, texts, lists of them.
    """

    class_name: str
    arguments: tuple[Any, ...]
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A network as an official pickle holds it, ``settings`` being what it was built with.

    Attributes:
        class_name: Of its class in the module that is stored with it.
        tensors: Parameters and buffers by their full names. Layers that were frozen while it was
            trained have theirs among the buffers; here they are all alike.
        source_sha256: Of the text of that module, which is neither run nor parsed.
        layers: All modules by their full names; the network itself is "".
    """

    class_name: str
    settings: Mapping[str, Any]
    tensors: dict[str, Tensor]
    source_sha256: str
    layers: Mapping[str, StoredLayer]


_Part = tuple[StoredLayer, list[tuple[str, Tensor]]]


def read_official(path: Path) -> dict[str, StoredNetwork]:
    """Return the networks in the pickle ``path`` by their keys: G, D, G_ema.

    Raises CheckpointError where it is no such pickle, or asks for what none needs.
    """
    try:
        budget = ReadingBudget.of_file(path.stat().st_size)
        with path.open("rb") as file:
            _refuse_others(file.read(_BEGINNING))
            content = Machine(_names(budget), budget).run(BoundedFile(file))
        found = cast("dict[Any, Any]", content) if isinstance(content, dict) else {}
        networks = {
            key: _network(found[key], budget)
            for key in _NETWORKS
            if isinstance(found.get(key), _Persistent)
        }
    except RefusedError as error:
        raise CheckpointError(f"{path} {error}; nothing in it was run") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (UnreadableError, MemoryError) as error:
        reason = str(error) or "it asks for too much memory"
        raise CheckpointError(f"{path} is no StyleGAN pickle, or is damaged ({reason})") from None
    if not networks:
        raise CheckpointError(
            f"{path} holds no network; expected an official pickle with G, D and G_ema"
        )
    return networks


def _refuse_others(begin: bytes) -> None:
    """Refuse other things that people have by the name of a pickle."""
    if begin.startswith(b"\x1f\x8b"):
        raise RefusedError("is packed with gzip; unpack it first (gunzip)")
    if begin.startswith(b"version https://git-lfs"):
        raise RefusedError(
            "is a pointer of Git LFS, and not the file itself; get that (git lfs pull)"
        )
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise RefusedError("is a web page, and not the file itself; download that again")


@dataclass(frozen=True, slots=True)
class _Persistent:
    """Stands for an object that was stored with the text of its module."""

    meta: Any


def _names(budget: ReadingBudget) -> dict[str, Named]:
    """Return what stands for the names that such a pickle may have."""

    def storage(data: Any) -> Storage:
        """Return the storage that is stored as a file of torch within this one."""
        if not isinstance(data, bytes):
            raise UnreadableError("a storage that is none")
        if data.startswith(ZIP_BEGINNING):
            raise RefusedError("has a storage within an archive, which no network has")
        content = read_legacy(BoundedFile(io.BytesIO(data)), {}, budget)
        if not isinstance(content, Storage):
            raise UnreadableError("a storage that is none")
        return content

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
    """Return things by their names, of which none may be there twice."""
    found: dict[str, _T] = {}
    for name, thing in named:
        if name in found:
            raise UnreadableError(f"two things of the name {shown(name)}")
        found[name] = thing
    return found


def _parts(stored: _Persistent, budget: ReadingBudget) -> Iterator[tuple[str, _Part]]:
    """Yield the modules of a network by their full names, itself first."""
    waiting = [("", 0, stored)]
    seen: set[int] = set()
    while waiting:
        name, depth, part = waiting.pop()
        if id(part) in seen:
            raise UnreadableError("a part that is there twice")
        if depth > _DEEPEST:
            raise UnreadableError("parts within parts without end")
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
    """Say whether it is one of those that torch keeps itself, and says nothing: hooks, if none."""
    plain = value is None or isinstance(value, bool)
    empty = isinstance(value, dict | set) and not value
    return name in _NO_SETTINGS or (name.startswith("_") and (plain or empty))


def _entry(record: Any, name: str, kind: type[_T]) -> _T:
    """Return an entry of a dictionary that has to be there, and of that kind."""
    value = record.get(name) if isinstance(record, dict) else None  # type: ignore[union-attr]
    if not isinstance(value, kind):
        raise UnreadableError(f"a network without {name}")
    return value
