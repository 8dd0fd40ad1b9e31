"""Weights and cards on disk: safetensors and JSON, whole or not at all, bound by hash.

Files of other programs are read by ``official_pickle`` and ``torch_file``, which run nothing in
them.
"""

from graftgan.checkpoints.official_pickle import StoredNetwork as StoredNetwork
from graftgan.checkpoints.official_pickle import read_official as read_official
from graftgan.checkpoints.tensor_file import as_stored as as_stored
from graftgan.checkpoints.tensor_file import checksum as checksum
from graftgan.checkpoints.tensor_file import copy_matching as copy_matching
from graftgan.checkpoints.tensor_file import fingerprint as fingerprint
from graftgan.checkpoints.tensor_file import load_note as load_note
from graftgan.checkpoints.tensor_file import load_tensors as load_tensors
from graftgan.checkpoints.tensor_file import match as match
from graftgan.checkpoints.tensor_file import require_finite as require_finite
from graftgan.checkpoints.tensor_file import save_tensors as save_tensors
from graftgan.checkpoints.tensor_folders import SavedState as SavedState
from graftgan.checkpoints.tensor_folders import SourceCard as SourceCard
from graftgan.checkpoints.tensor_folders import SourceModel as SourceModel
from graftgan.checkpoints.tensor_folders import StateCard as StateCard
from graftgan.checkpoints.tensor_folders import list_checkpoints as list_checkpoints
from graftgan.checkpoints.tensor_folders import load_source as load_source
from graftgan.checkpoints.tensor_folders import load_state as load_state
from graftgan.checkpoints.tensor_folders import prune_checkpoints as prune_checkpoints
from graftgan.checkpoints.tensor_folders import read_card as read_card
from graftgan.checkpoints.tensor_folders import save_source as save_source
from graftgan.checkpoints.tensor_folders import save_state as save_state
from graftgan.checkpoints.torch_file import is_torch_file as is_torch_file
from graftgan.checkpoints.torch_file import read_torch_file as read_torch_file
from graftgan.checkpoints.torch_file import tensors_in as tensors_in
