"""Named tensors on disk as safetensors, and their fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from graftgan.errors import CheckpointError

Tensors = Mapping[str, Tensor]


def save_tensors(path: Path, tensors: Tensors, *, note: Mapping[str, object] | None = None) -> None:
    """Write ``tensors`` to ``path`` as safetensors, with ``note`` as JSON in its header.

    Write into a folder from ``files.written_whole``: this alone is not atomic.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not `save_file`: it would make the file private to this user.
    path.write_bytes(save(plain, metadata={"graftgan": json.dumps(note or {})}))


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
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None


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
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None
    if "graftgan" not in metadata:
        raise CheckpointError(f"{path} carries no graftgan note; it was written by another program")
    try:
        note = json.loads(metadata["graftgan"])
    except ValueError as error:
        raise CheckpointError(f"the note of {path} is damaged: {error}") from None
    if not isinstance(note, dict):
        raise CheckpointError(f"the note of {path} is damaged: it is no JSON object")
    return cast("dict[str, object]", note)


def fingerprint(tensors: Tensors) -> str:
    """Return the sha256 of names, shapes, types and bytes, whatever order or file they came in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def as_stored(tensors: Tensors, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return ``tensors`` with every floating-point one in ``dtype``, but those that do not fit."""
    return {name: _converted(tensor, dtype) for name, tensor in tensors.items()}


def _converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    converted = tensor.to(dtype)
    # A value beyond the range of ``dtype`` would become infinite.
    return converted if torch.equal(converted.isfinite(), tensor.isfinite()) else tensor
