"""Named tensors on disk as safetensors, and their fingerprint."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from graftgan.core.errors import CheckpointError
from graftgan.core.files import parse_json
from graftgan.core.untrusted import shown

Tensors = Mapping[str, Tensor]

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save_tensors(path: Path, tensors: Tensors, *, note: Mapping[str, object] | None = None) -> None:
    """Write ``tensors`` to ``path`` as safetensors, with ``note`` as JSON in its header.

    Write into a folder from ``files.written_whole``: this alone is not atomic.

    The format is that of https://huggingface.co/docs/safetensors: the length of a JSON header, the
    header, the bytes of the tensors. Not by the library, which holds two copies of all tensors
    while it makes them bytes, or else makes the file private to this user and its errors no
    OSError.
    """
    header: dict[str, object] = {"__metadata__": {"graftgan": json.dumps(note or {})}}
    end = 0
    # The widest numbers first, so that each begins at a multiple of its width.
    in_order = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    for name, tensor in in_order:
        begin, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    path.unlink(missing_ok=True)  # tensors may be mapped from the file that stands there
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(words)))
        file.write(words)
        for _, tensor in in_order:
            file.write(_bytes_of(tensor))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file onto the CPU.

    Raises:
        CheckpointError: The file is missing, cut short or no safetensors file.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no weight file {path}") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {shown(error, 200)}"
        ) from None


def load_note(path: Path) -> dict[str, object]:
    """Read the JSON note in the header of a safetensors file.

    Raises:
        CheckpointError: The file is missing or damaged, or graftgan did not write it.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"there is no weight file {path}") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {shown(error, 200)}"
        ) from None
    if "graftgan" not in metadata:
        raise CheckpointError(f"{path} carries no graftgan note; it was written by another program")
    try:
        note = parse_json(metadata["graftgan"])
    except ValueError as error:
        raise CheckpointError(f"the note of {path} is damaged: {error}") from None
    if not isinstance(note, dict):
        raise CheckpointError(f"the note of {path} is damaged: it is no JSON object")
    return cast("dict[str, object]", note)


def fingerprint(tensors: Tensors) -> str:
    """Return the sha256 of names, shapes, types and bytes, whatever order or file they came in."""
    return _digested(tensors, hashlib.sha256())


def checksum(tensors: Tensors) -> str:
    """Return the XXH3 (128 bits) of the same: it tells damage, not forgery, ten times as fast."""
    return _digested(tensors, xxhash.xxh3_128())


class _Digest(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def _digested(tensors: Tensors, digest: _Digest) -> str:
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of ``tensor`` in its logical order, without a copy where they lie so."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def as_stored(tensors: Tensors, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return ``tensors`` with every floating-point one in ``dtype``, but those that do not fit."""
    return {name: _converted(tensor, dtype) for name, tensor in tensors.items()}


def _converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    converted = tensor.to(dtype)
    # A value beyond the range of ``dtype`` would become infinite.
    return converted if torch.equal(converted.isfinite(), tensor.isfinite()) else tensor
