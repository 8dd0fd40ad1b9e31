"""Named tensors: save and load as safetensors, fingerprint, copy into a module."""

import errno
import hashlib
import json
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, shown
from graftgan.core.files import parse_json, require_file
from graftgan.core.network_types import Tensors

_MOST_BAD, _MOST_PROBLEMS = 3, 6  # in one message
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
    """Write ``tensors`` to ``path`` as safetensors, with ``note`` as JSON in the header.

    Not atomic: write into a folder from ``files.written_whole``. The format is that of
    https://huggingface.co/docs/safetensors. The library is not used: it holds two copies of all
    tensors, or makes the file private to this user and raises errors that are not OSErrors.
    """
    header: dict[str, object] = {"__metadata__": {"graftgan": json.dumps(note or {})}}
    end = 0
    # The widest types first, so that each tensor is aligned to its element size.
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
    path.unlink(missing_ok=True)  # tensors may be mapped from the old file
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(words)) + words)
        for _, tensor in in_order:
            file.write(_bytes_of(tensor))


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        require_file(path)
        _require_header(path)
        yield
    except FileNotFoundError:
        raise CheckpointError(f"there is no weight file {path}") from None
    except (OSError, SafetensorError) as error:
        what = shown(getattr(error, "strerror", None) or error, 200)
        raise CheckpointError(f"{path} is not a whole safetensors file: {what}") from None


def _require_header(path: Path) -> None:
    """Raise OSError if the size of the header is impossible; the library maps the file first."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if not 0 < size <= path.stat().st_size - 8:
        raise OSError(errno.EINVAL, "it has no whole header")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file onto the CPU, or raise CheckpointError."""
    with _reading(path):
        return load_file(path)


def load_note(path: Path) -> dict[str, object]:
    """Read the JSON note from the header of a graftgan file, or raise CheckpointError."""
    with _reading(path), safe_open(path, framework="pt") as handle:
        metadata = handle.metadata() or {}
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
    """Return the sha256 of names, shapes, types and bytes, in any order."""
    return _digested(tensors, hashlib.sha256())


def checksum(tensors: Tensors) -> str:
    """Return the XXH3 (128 bits) of the same: ten times as fast, against damage, not forgery."""
    return _digested(tensors, xxhash.xxh3_128())


def _digested(tensors: Tensors, digest: Any) -> str:
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of ``tensor`` in its logical order, without a copy where possible."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def as_stored(tensors: Tensors, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return ``tensors`` with the floating-point ones in ``dtype``, unless a value overflows."""
    stored = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            converted = tensor.to(dtype)
            if torch.equal(converted.isfinite(), tensor.isfinite()):
                stored[name] = converted
    return stored


def require_finite(tensors: Tensors, *, what: str) -> None:
    """Raise CheckpointError for tensors with NaN or infinity, which would spoil any training."""
    bad = [(name, t) for name, t in tensors.items() if not t.isfinite().all()]
    if bad:
        found = [f"{shown(n)} ({int((~t.isfinite()).sum())} of {t.numel()})" for n, t in bad]
        more = f" and {len(bad) - _MOST_BAD} more" if len(bad) > _MOST_BAD else ""
        raise CheckpointError(
            f"{what} holds NaN or infinity in {', '.join(found[:_MOST_BAD])}{more}; its training "
            "diverged or the file is damaged: take an earlier checkpoint"
        )


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """What a load does with every tensor.

    Attributes:
        kept: Loaded.
        fresh: In the module but not in the file; the module's own values stay.
        unexpected: In the file but not in the module; not loaded.
        misfit: In both with different shapes, as ``name: file shape, module shape``; not loaded.
    """

    kept: tuple[str, ...]
    fresh: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfit: tuple[str, ...]

    def require_complete(self, *, what: str) -> None:
        """Raise CheckpointError, which lists the problems, unless every tensor was loaded."""
        problems = [
            *(f"{name} is missing" for name in self.fresh),
            *(f"{shown(name)} has no place" for name in self.unexpected),
            *self.misfit,
        ]
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            told = [*problems[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
            raise CheckpointError(
                f"{what} does not fit the network: {'; '.join(told)}; "
                "use the checkpoint of the same backbone, width and resolution"
            )

    def __str__(self) -> str:
        return (
            f"{len(self.kept)} kept, {len(self.fresh)} fresh, "
            f"{len(self.unexpected)} unexpected, {len(self.misfit)} of another shape"
        )


def match(module: nn.Module, tensors: Tensors) -> LoadReceipt:
    """Return what loading ``tensors`` into ``module`` would do."""
    own = module.state_dict()
    shared = [name for name in own if name in tensors]
    return LoadReceipt(
        kept=tuple(name for name in shared if own[name].shape == tensors[name].shape),
        fresh=tuple(name for name in own if name not in tensors),
        unexpected=tuple(name for name in tensors if name not in own),
        misfit=tuple(
            f"{name}: {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} expected"
            for name in shared
            if own[name].shape != tensors[name].shape
        ),
    )


@torch.no_grad()
def copy_matching(module: nn.Module, tensors: Tensors) -> LoadReceipt:
    """Copy tensors of equal name and shape into ``module``; report all."""
    receipt, own = match(module, tensors), module.state_dict()
    for name in receipt.kept:
        own[name].copy_(tensors[name])
    return receipt
