"""Adapters on disk: one safetensors file each."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graftgan.checkpoints import checksum, load_note, load_tensors, save_tensors
from graftgan.core.errors import CheckpointError, RunError, SettingsError
from graftgan.core.files import written_whole
from graftgan.core.settings import parse, to_plain
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.models.adapters.adapter import Adapter, AdapterNote, adapter_of

FORMAT = 1
FILE_NAME = "adapter.safetensors"


def save_adapter(adapter: Adapter, path: Path) -> None:
    """Write an adapter as one safetensors file, whole."""
    plain = to_plain(adapter.note)
    note = {"kind": "adapter", "format": FORMAT, "checksum": checksum(adapter.tensors), **plain}
    with written_whole(path) as partial:
        save_tensors(partial, adapter.tensors, note=note)


def load_adapter(path: Path) -> Adapter:
    """Read an adapter file, or that of a run folder.

    Raises:
        CheckpointError: There is none, it is damaged, or of another kind or a newer format.
    """
    if path.is_dir():
        path = path / FILE_NAME
        if not path.is_file():
            raise CheckpointError(
                f"there is no {path}; a transfer writes it when it ends or is interrupted"
            )
    note: dict[str, Any] = load_note(path)
    if note.pop("kind", None) != "adapter" or note.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} is not an adapter of format {FORMAT}")
    tensors = load_tensors(path)
    if note.pop("checksum", None) != checksum(tensors):
        raise CheckpointError(
            f"the adapter {path} is damaged: its tensors are not as they were written; make it "
            "again from its run with `graftgan adapter save`"
        )
    try:
        return Adapter(parse(AdapterNote, note, where="its note"), tensors)
    except SettingsError as error:
        raise CheckpointError(f"the adapter {path} is damaged: {error}") from None


def save_adapter_of_run(
    run: Path, destination: Path, *, iteration: int | None = None, half: bool = False
) -> Adapter:
    """Write the adapter of a run's checkpoint, or an adapter file once more, as a file of its own.

    Args:
        run: The run folder, or an adapter file.
        destination: The new file.
        iteration: Of the checkpoint to take; the newest if not given.
        half: Store 16-bit floating point, half the size.

    Raises:
        SettingsError: ``destination`` is no .safetensors file.
        RunError: It exists, or the run started from fresh weights.
        CheckpointError: There is no such checkpoint, or the adapter is damaged.
    """
    if destination.suffix != ".safetensors":
        raise SettingsError(
            f"'{destination}' is no adapter file: its name must end in .safetensors"
        )
    if destination.exists():
        raise RunError(f"{destination} exists already; choose another name or remove it first")
    if not run.is_file():
        folder = RunFolder(run)
        trained = load_run(run, iteration=iteration)
        adapter = adapter_of(trained, folder.card().base)
    elif iteration is None:
        adapter = load_adapter(run)
    else:
        raise SettingsError(f"{run} is one adapter: give its run folder to choose an iteration")
    chosen = adapter.in_half() if half else adapter
    save_adapter(chosen, destination)
    return chosen


def adapter_files(folder: Path) -> Iterator[Path]:
    """Yield every adapter file below ``folder``, hidden folders left out.

    That is every ``adapter.safetensors``, whole or damaged, and what a note calls an adapter.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place) / name for name in sorted(files)):
            if path.name == FILE_NAME or (path.suffix == ".safetensors" and _says_adapter(path)):
                yield path


def _says_adapter(path: Path) -> bool:
    try:
        return load_note(path).get("kind") == "adapter"
    except CheckpointError:
        return False
