"""Weights and cards on disk: safetensors and JSON, whole or not at all, bound by hash.

Files of others are read by :mod:`official` and :mod:`state_dicts`, which run nothing in them.
"""

from graftgan.checkpoints.checkpoint import (
    SavedState,
    StateCard,
    list_checkpoints,
    load_state,
    prune_checkpoints,
    save_state,
)
from graftgan.checkpoints.finite import require_finite
from graftgan.checkpoints.official_pickle import StoredLayer, StoredNetwork, read_official
from graftgan.checkpoints.receipt import LoadReceipt, copy_matching, match
from graftgan.checkpoints.source_folder import (
    SourceCard,
    SourceModel,
    load_source,
    read_card,
    save_source,
)
from graftgan.checkpoints.state_dict import is_torch_file, read_torch_file, tensors_in
from graftgan.checkpoints.tensor_file import (
    as_stored,
    checksum,
    fingerprint,
    load_note,
    load_tensors,
    save_tensors,
)

__all__ = [
    "LoadReceipt",
    "SavedState",
    "SourceCard",
    "SourceModel",
    "StateCard",
    "StoredLayer",
    "StoredNetwork",
    "as_stored",
    "checksum",
    "copy_matching",
    "fingerprint",
    "is_torch_file",
    "list_checkpoints",
    "load_note",
    "load_source",
    "load_state",
    "load_tensors",
    "match",
    "prune_checkpoints",
    "read_card",
    "read_official",
    "read_torch_file",
    "require_finite",
    "save_source",
    "save_state",
    "save_tensors",
    "tensors_in",
]
