"""The one place where the rooms meet: an experiment becomes a run folder."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from graftgan.assembly import (
    build_training,
    prepare,
    prepare_again,
    remarks_on,
    with_game_memory,
)
from graftgan.checkpoints import (
    SavedState,
    list_checkpoints,
    load_state,
    load_tensors,
    save_tensors,
)
from graftgan.data import write_manifest
from graftgan.errors import CheckpointError, RunError
from graftgan.experiment import Experiment
from graftgan.files import remove_partial, write_json, write_text, written_whole
from graftgan.prepared import Prepared
from graftgan.progress import Progress
from graftgan.recorder import Recorder
from graftgan.run_folder import RunFolder, filters_of, versions
from graftgan.settings import to_toml
from graftgan.sitting import Watcher, train_to_the_end
from graftgan.starts import START, begin_with_decoder, in_words, vae_of
from graftgan.training import (
    Hardware,
    Processes,
    Training,
    choose_hardware,
    forget_after,
    joined_processes,
    keep_freed_memory,
    restore,
)
from graftgan.transfer import is_anchored

ANCHOR_FILE = "anchors.safetensors"
GAME_FILE = "game.safetensors"
Place = tuple[Hardware, Processes]


def run(
    experiment: Experiment,
    destination: Path,
    *,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> RunFolder:
    """Train an experiment into a new run folder.

    Args:
        experiment: What to do.
        destination: The run folder; must not exist, or be empty.
        device: auto, cpu, cuda, cuda:N or mps.
        watcher: Shows what happens.

    Returns:
        The folder, with its report and, for a transfer, its adapter; also when the person stopped
        the run early.

    Raises:
        GraftganError: Something does not fit (nothing is written then), or training diverged (the
            last good checkpoint and the report are there).
    """
    refuse_full(destination)
    with _joined(device, experiment) as place:
        return _begin(RunFolder(destination), experiment, place, watcher or Watcher())


def resume(
    path: Path,
    *,
    iterations: int | None = None,
    seconds: float | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> RunFolder:
    """Go on with a run exactly where its newest checkpoint stands.

    Without a checkpoint it starts over; either way the result equals that of a run that was never
    stopped, bit for bit on the same CPU. ``iterations`` and ``seconds`` make a finished run longer;
    what follows the share of the run done, such as the fading of the augmentation, then follows
    the new length. A run with a limit in seconds goes on exactly too, but where it ends depends on
    the speed of the machine.

    Raises:
        RunError: ``path`` is no run folder, or its pictures have changed.
        CheckpointError: The newest checkpoint is damaged.
    """
    folder = RunFolder(path)
    experiment, card = folder.experiment(), folder.card()
    _check_may_go_on(folder, card, iterations, seconds)
    experiment = _lengthened(experiment, iterations, seconds)
    with _joined(device, experiment) as place:
        return _go_on(folder, experiment, place, watcher or Watcher())


def _begin(folder: RunFolder, experiment: Experiment, place: Place, watcher: Watcher) -> RunFolder:
    """Train an experiment into a new folder, among the processes that have joined."""
    hardware, processes = place
    prepared = prepare(experiment, hardware, processes=processes, progress=watcher.progress)
    prepared = with_game_memory(prepared, watcher.progress)
    training = build_training(prepared, processes)
    recorder = _recorder(folder, prepared, training, watcher)
    if processes.leads:
        _write_start(folder.path, prepared, processes)
    processes.wait()
    if not _has_its_start(folder, prepared, training, watcher):
        return folder
    return train_to_the_end(folder, prepared, training, recorder, watcher)


def _go_on(folder: RunFolder, experiment: Experiment, place: Place, watcher: Watcher) -> RunFolder:
    """Go on with the run in ``folder``, among the processes that have joined."""
    hardware, processes = place
    state = _newest_state(folder.path)
    prepared = _prepared_to_go_on(
        folder, experiment, hardware, processes, state, progress=watcher.progress
    )
    training = build_training(prepared, processes)
    if state is not None:
        _restore(folder.path, training, state)
    del state  # else all of it stays in memory while training
    recorder = _recorder(folder, prepared, training, watcher)
    if processes.leads:
        _tidy(folder.path, training.iteration)
        write_text(folder.experiment_file, to_toml(prepared.experiment))
        folder.write_card(
            state="running",
            message="",
            settings_sha256=folder.settings_sha256(),
            **_sitting(prepared, processes),
        )
    processes.wait()
    if not _has_its_start(folder, prepared, training, watcher):
        return folder
    return train_to_the_end(folder, prepared, training, recorder, watcher)


def _has_its_start(
    folder: RunFolder, prepared: Prepared, training: Training, watcher: Watcher
) -> bool:
    """Train the auto-encoder that the run begins with, if it asks for one, and take its decoder.

    Returns:
        False: the person stopped it, and the card says so.
    """
    if prepared.experiment.start == "fresh" or training.iteration > 0:
        return True
    place, vae = (prepared.hardware, training.processes), RunFolder(folder.path / START)
    if not vae.experiment_file.is_file():
        _begin(vae, vae_of(prepared.experiment), place, watcher)
    elif vae.card()["state"] != "finished":
        _go_on(vae, vae.experiment(), place, watcher)
    ended = vae.card()
    finished = ended["state"] == "finished"
    if finished:
        start = begin_with_decoder(training, vae)
        entries = {"start": start, "remarks": [in_words(start)]}
    else:
        message = f"{ended['message']} while what it begins with was trained"
        entries = {"state": ended["state"], "message": message}
    if training.processes.leads:
        folder.write_card(**entries)
    return finished


def _lengthened(
    experiment: Experiment, iterations: int | None, seconds: float | None
) -> Experiment:
    """Return ``experiment`` with the new limits, where they are given."""
    limits = {"iterations": iterations, "seconds": seconds}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return replace(experiment, training=replace(experiment.training, **given))


def _prepared_to_go_on(
    folder: RunFolder,
    experiment: Experiment,
    hardware: Hardware,
    processes: Processes,
    state: SavedState | None,
    *,
    progress: Progress,
) -> Prepared:
    """Return the parts of a run that goes on from ``state``, or starts over without one.

    Raises:
        RunError: The source or the pictures are not those the run was started with.
    """
    card, game_file = folder.card(), folder.path / GAME_FILE
    memory = _remembered(folder.path, experiment)
    game_memory = load_tensors(game_file) if game_file.is_file() else {}
    if state is None:
        prepared = prepare(
            experiment, hardware, processes=processes, memory=memory, progress=progress
        )
        prepared = replace(prepared, game_memory=game_memory)
        if prepared.base != card["base"]:
            raise RunError(
                f"the source {experiment.source} is not the one this run was started with; "
                "start a new run"
            )
    else:
        prepared = prepare_again(
            experiment,
            hardware,
            card["base"],
            filters=filters_of(state),
            memory=memory,
            game_memory=game_memory,
            progress=progress,
        )
    if prepared.images.sha256 != card["pictures_sha256"]:
        raise RunError(
            f"the pictures in {experiment.pictures} are not those this run was started with; "
            "put them back, or start a new run"
        )
    return prepared


def _recorder(
    folder: RunFolder, prepared: Prepared, training: Training, watcher: Watcher
) -> Recorder | None:
    """Return what writes the folder, in the process that leads."""
    if not training.processes.leads:
        return None
    return Recorder(folder, prepared, training, scored=watcher.scored)


def _check_may_go_on(
    folder: RunFolder, card: dict[str, Any], iterations: int | None, seconds: float | None
) -> None:
    """Raise RunError if the run was changed, ended by its scores, or is longer than asked for."""
    if folder.settings_sha256() != card["settings_sha256"]:
        raise RunError(
            f"{folder.experiment_file} was changed since the run began; put it back, or start a "
            f"new run with --config {folder.experiment_file}"
        )
    if card["state"] == "stopped":
        raise RunError(
            f"{folder.path} was ended by its scores ({card['message']}); to train on from its best "
            f"checkpoint, start a new run with --source {folder.path}"
        )
    if iterations is not None and iterations < int(card["iteration"]):
        raise RunError(
            f"{folder.path} has done {card['iteration']} iterations, more than {iterations}"
        )
    if seconds is not None and seconds < float(card["seconds"]):
        raise RunError(
            f"{folder.path} has trained for {card['seconds']:.1f} seconds, more than {seconds:g}"
        )


def refuse_full(destination: Path) -> None:
    """Check that a new run can be put at ``destination``.

    Raises:
        RunError: Something is there already.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise RunError(
            f"{destination} is not empty; choose another folder with --out, "
            f"or go on with --resume {destination}"
        )


@contextmanager
def _joined(device: str, experiment: Experiment) -> Generator[Place]:
    """Join the other processes, if there are any, and choose the hardware of this one."""
    precision = experiment.training.precision
    kind = choose_hardware(device, precision).device.type
    if kind == "cpu":
        keep_freed_memory()
    with joined_processes(kind) as processes:
        yield choose_hardware(device, precision, rank=processes.rank), processes


def _write_start(destination: Path, prepared: Prepared, processes: Processes) -> None:
    """Write the folder with all that is known before the first iteration, whole."""
    with written_whole(destination.absolute()) as partial:
        partial.mkdir()
        folder = RunFolder(partial)
        write_text(folder.experiment_file, to_toml(prepared.experiment))
        write_json(partial / "plan.json", prepared.plan.report.as_dict())
        write_manifest(prepared.images, partial / "manifest.json")
        if prepared.memory:
            save_tensors(partial / ANCHOR_FILE, prepared.memory, note={"kind": "anchors"})
        if prepared.game_memory:
            save_tensors(partial / GAME_FILE, prepared.game_memory, note={"kind": "game"})
        folder.write_card(
            state="running",
            message="",
            iteration=0,
            iterations=prepared.experiment.training.iterations,
            base=prepared.base,
            pictures_sha256=prepared.images.sha256,
            settings_sha256=folder.settings_sha256(),
            seconds=0.0,
            best=None,
            warning=None,
            remarks=remarks_on(prepared),
            **_sitting(prepared, processes),
        )


def _remembered(path: Path, experiment: Experiment) -> dict[str, Tensor]:
    """Return what the anchors of a run took from its source when it began."""
    if not is_anchored(experiment.anchors):
        return {}
    try:
        return load_tensors(path / ANCHOR_FILE)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; it holds what the anchors took from the source, without which the run "
            "cannot go on: put it back, or start a new run"
        ) from None


def _sitting(prepared: Prepared, processes: Processes) -> dict[str, Any]:
    """Return what belongs to this sitting of a run: a later one may be on another machine."""
    return {
        "command": " ".join(["graftgan", *sys.argv[1:]]),
        "versions": versions(),
        "device": str(prepared.hardware.device),
        "hardware": prepared.hardware.describe(),
        "processes": processes.count,
    }


def _tidy(path: Path, iteration: int) -> None:
    """Remove what killed writers left, and lines of iterations that will be done again."""
    for place in (path, path / "checkpoints", path / "samples", path / "reconstructions"):
        remove_partial(place)
    forget_after(path / "metrics.jsonl", iteration)


def _newest_state(path: Path) -> SavedState | None:
    checkpoints = list_checkpoints(path)
    if not checkpoints:
        return None
    with _blaming(checkpoints[-1]):
        return load_state(checkpoints[-1])


def _restore(path: Path, training: Training, state: SavedState) -> None:
    with _blaming(list_checkpoints(path)[-1]):
        restore(training, state.files, state.card)


@contextmanager
def _blaming(checkpoint: Path) -> Generator[None]:
    """Say in an error what to do about a checkpoint that cannot be used."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; remove the folder {checkpoint} to go on from the checkpoint before it"
        ) from None
