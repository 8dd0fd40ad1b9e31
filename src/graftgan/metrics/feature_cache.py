"""A cache of features and statistics on disk, so that a reference is measured only once.

An entry is a safetensors file named by the hash of everything that determines its content. It is
written atomically, recomputed if damaged, and deleted if it is the least recently used one beyond
the size limit. If the cache cannot be written, scores take longer but never fail.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from graftgan.core.errors import CountProgress, RunError
from graftgan.core.files import cache_home, written_whole
from graftgan.core.network_types import Tensors
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.metric import Features, KeyPart
from graftgan.metrics.pixels import check_measurable, pictures_sha256

_FORMAT = 4  # raise it when the same key would give other numbers


def features_of(
    pictures: Tensor,
    extractor: Extractor,
    *,
    device: torch.device | str,
    batch_size: int = 64,
    progress: CountProgress | None = None,
    store: "FeatureCache | None" = None,
) -> Features:
    """Return the features of ``pictures`` from the store, by default the cache, or extract them.

    The other arguments are those of ``Extractor.extract``. Raises ScoreError: the pictures cannot
    be measured, or the network fails.
    """
    check_measurable(pictures)

    def compute() -> dict[str, Tensor]:
        features = extractor.extract(
            pictures, device=device, batch_size=batch_size, progress=progress
        )
        rows = {name: getattr(features, name) for name in ("values", "logits", "detail")}
        return {name: tensor for name, tensor in rows.items() if tensor is not None}

    sha256 = pictures_sha256(pictures)
    key = features_key(sha256, extractor)
    tensors = (store or FeatureCache()).cached_tensors(("features", *key), compute)
    values, logits, detail = (tensors.get(name) for name in ("values", "logits", "detail"))
    assert values is not None
    return Features(values=values, logits=logits, detail=detail, sha256=sha256, key=key)


def cached_of(
    features: Features, key_parts: Sequence[KeyPart], compute: Callable[[], Tensors]
) -> Tensors:
    """Return the result of ``compute`` on ``features``, cached if the features themselves are."""
    if not features.key:
        return compute()
    return FeatureCache().cached_tensors((*key_parts, *features.key), compute)


def features_key(pictures_sha256: str, extractor: Extractor) -> tuple[KeyPart, ...]:
    """Return everything that determines the features of pictures with that hash."""
    resize, pixels = extractor.resize, extractor.pixels
    numbers = (*pixels.shift, *pixels.scale)
    weights = (extractor.name, extractor.weights_sha256)
    resized = (resize.name, extractor.side, pixels.name, *numbers)
    return (pictures_sha256, *weights, extractor.view.name, *resized)


class FeatureCache:
    """Tensors on disk by the hash of what they were computed from."""

    def __init__(self, folder: Path | None = None, *, limit_bytes: int = 2_000_000_000) -> None:
        """Keep at most ``limit_bytes`` in ``folder``; by default in ``<cache>/features``."""
        self._limit_bytes = limit_bytes
        self._folder = folder
        if folder is None:
            with suppress(RuntimeError):  # without a home folder nothing is cached
                self._folder = cache_home() / "features"

    def cached_tensors(
        self, key_parts: Sequence[KeyPart], compute: Callable[[], Tensors]
    ) -> dict[str, Tensor]:
        """Return the result of ``compute``, from the cache if it is there.

        ``key_parts`` are everything that determines the result, with its kind first.
        """
        if self._folder is None:
            return dict(compute())
        key = hashlib.sha256(json.dumps([_FORMAT, *key_parts]).encode()).hexdigest()
        path = self._folder / f"{key}.safetensors"
        found = _read(path)
        if found is not None:
            with suppress(OSError):
                os.utime(path)  # most recently used
            return found
        tensors = {name: rows.detach().cpu().contiguous() for name, rows in compute().items()}
        with suppress(RunError), written_whole(path) as partial:
            partial.write_bytes(save(tensors, metadata={"sha256": _sha256(tensors)}))
        self._shrink(self._folder)
        return tensors

    def _shrink(self, folder: Path) -> None:
        """Delete the least recently used files beyond the limit, including those of killed runs."""
        with suppress(OSError):
            files = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
            files.sort(key=lambda file: file[1].st_mtime_ns, reverse=True)
            total = 0
            for path, facts in files:
                total += facts.st_size
                if total > self._limit_bytes:
                    path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            whole = (file.metadata() or {}).get("sha256") == _sha256(tensors)
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError):  # missing or damaged
        return None
    return tensors if whole else None


def _sha256(tensors: Tensors) -> str:
    """Return the sha256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        rows = tensors[name]
        digest.update(f"{name}:{rows.dtype}:{tuple(rows.shape)};".encode())
        digest.update(rows.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
