"""Training states on disk: everything a run needs to go on exactly."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from graftgan.checkpoints.tensors import load_note, load_tensors, save_tensors
from graftgan.errors import CheckpointError
from graftgan.files import remove_partial, write_json, written_whole

TensorFiles = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class SavedState:
    """A checkpoint read back: tensors by file name, and the plain numbers of its card."""

    files: Mapping[str, Mapping[str, Tensor]]
    card: Mapping[str, Any]


def save_state(folder: Path, files: TensorFiles, card: Mapping[str, Any]) -> None:
    """Write a checkpoint folder whole: one safetensors file for each of ``files``, and a card."""
    with written_whole(folder) as partial:
        partial.mkdir()
        for name, tensors in files.items():
            save_tensors(partial / f"{name}.safetensors", tensors, note=card)
        write_json(partial / "card.json", dict(card))


def load_state(folder: Path) -> SavedState:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise CheckpointError(f"there is no checkpoint in {folder}")
    return SavedState({p.stem: load_tensors(p) for p in paths}, load_note(paths[0]))


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first."""
    found = [p for p in (run / "checkpoints").glob("[0-9]*") if p.name.isdecimal() and p.is_dir()]
    return sorted(found, key=lambda folder: int(folder.name))


def prune_checkpoints(run: Path, *, keep: int, best: int | None, every: int | None) -> None:
    """Delete all checkpoints but some.

    Args:
        run: The run folder.
        keep: So many of the newest stay.
        best: That of this iteration stays.
        every: Those of its multiples stay.
    """
    for folder in list_checkpoints(run)[:-keep]:
        iteration = int(folder.name)
        stays = iteration == best or (every is not None and iteration % every == 0)
        if not stays:
            shutil.rmtree(folder)
    remove_partial(run / "checkpoints")
