"""The one place where the rooms meet: an experiment becomes a run folder."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from graftgan.checkpoints import StateCard, checksum, save_tensors
from graftgan.core.errors import RunError
from graftgan.core.files import (
    refuse_unwritable_names,
    write_json,
    write_text,
    written_whole,
)
from graftgan.core.locks import held, refuse_busy
from graftgan.core.settings import to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_card import RunCard, RunState, Session
from graftgan.experiments.run_folder import RunFolder, versions
from graftgan.pictures import write_manifest
from graftgan.runs.build import build_training, prepare, remarks_on, with_procedure_cache
from graftgan.runs.initialisation import START, begin_with_decoder, start_in_words, vae_of
from graftgan.runs.prepared import Prepared
from graftgan.runs.recorder import Recorder
from graftgan.runs.resume import (
    PROCEDURE,
    REGULARIZERS,
    check_may_resume,
    clear_leftovers,
    damaged_scores,
    forget_what_is_done_again,
    keeping,
    lengthened,
    moved,
    newest_state,
    prepared_to_resume,
    reference_checksum_of,
    restore_state,
)
from graftgan.runs.session import Observer, train_to_the_end, write_cut_off
from graftgan.training import (
    Hardware,
    Processes,
    Training,
    choose_hardware,
    joined_processes,
    keep_freed_memory,
)

_TO_TAKE_ITS_LOCK_S = 0.5  # a process needs less, from its new folder to the lock of it
Place = tuple[Hardware, Processes]


def run(
    experiment: Experiment,
    destination: Path,
    *,
    device: str = "auto",
    observer: Observer | None = None,
) -> RunFolder:
    """Train an experiment into a new run folder.

    Args:
        experiment: What to do.
        destination: The run folder; must not exist, or be empty.
        device: auto, cpu, cuda, cuda:N or mps.
        observer: Shows what happens.

    Returns:
        The folder, with its report and, for a transfer, its adapter; also when the person stopped
        the run early.

    Raises:
        GraftganError: Something does not fit (nothing is written then), or training diverged (the
            last good checkpoint and the report are there).
    """
    refuse_unwritable_names(destination, experiment.pictures)
    refuse_full(destination)
    with _joined(device, experiment) as place:
        return _begin(RunFolder(destination), experiment, place, observer or Observer())


def resume(
    path: Path,
    *,
    iterations: int | None = None,
    seconds: float | None = None,
    pictures: Path | None = None,
    reference: Path | None = None,
    keep_pictures: bool | None = None,
    device: str = "auto",
    observer: Observer | None = None,
) -> RunFolder:
    """Continue a run exactly where its newest checkpoint stands.

    Without a checkpoint it starts over; either way the result equals that of a run that was never
    stopped, bit for bit on the same CPU. A run with a limit in seconds continues exactly too, but
    where it ends depends on the speed of the machine.

    Args:
        path: The run folder.
        iterations: A new end, which makes a finished run longer; what follows the share of the
            run done, such as the fading of the augmentation, then follows the new length.
        seconds: A new limit of the time in the training loop.
        pictures: Where its pictures lie now, if they were moved.
        reference: Where the pictures lie now that it is scored against.
        keep_pictures: Whether scored pictures are kept from here on; None: as before.
        device: auto, cpu, cuda, cuda:N or mps.
        observer: Shows what happens.

    Raises:
        RunError: ``path`` is no run folder, another process trains in it, or its pictures have
            changed.
        CheckpointError: The newest checkpoint is damaged.
    """
    refuse_unwritable_names(path, *(place for place in (pictures, reference) if place))
    folder = RunFolder(path)
    experiment = folder.experiment()
    with _joined(device, experiment) as place, _alone(folder, place):
        check_may_resume(folder, iterations, seconds)
        experiment = keeping(lengthened(experiment, iterations, seconds), keep_pictures)
        experiment = moved(experiment, pictures, reference)
        return _go_on(folder, experiment, place, observer or Observer())


def _begin(
    folder: RunFolder, experiment: Experiment, place: Place, observer: Observer
) -> RunFolder:
    """Train an experiment into a new folder, among the processes that have joined."""
    hardware, processes = place
    prepared = prepare(experiment, hardware, processes=processes, progress=observer.progress)
    prepared = with_procedure_cache(prepared, observer.progress)
    training = build_training(prepared, processes)
    recorder = _recorder(folder, prepared, training, observer)
    if processes.leads:
        _write_start(folder.path, prepared, processes)
    processes.wait()
    with _alone(folder, place):
        return _train(folder, prepared, training, recorder, observer)


def _go_on(
    folder: RunFolder, experiment: Experiment, place: Place, observer: Observer
) -> RunFolder:
    """Continue the run in ``folder``, among the processes that have joined; it is theirs alone."""
    hardware, processes = place
    if processes.leads:
        clear_leftovers(folder.path)
    processes.wait()
    state = newest_state(folder.path)
    prepared = prepared_to_resume(
        folder, experiment, hardware, processes, state, progress=observer.progress
    )
    training = build_training(prepared, processes)
    damaged = damaged_scores(folder.path)
    if state is not None:
        restore_state(folder.path, training, state)
    resumed = None if state is None else state.card
    if processes.leads:
        observer.say(_where(folder.card(), resumed))
        if damaged:
            observer.say(f"note: {damaged}")
    del state  # else all of it stays in memory while training
    recorder = _recorder(folder, prepared, training, observer, resumed=resumed)
    if processes.leads:
        forget_what_is_done_again(folder.path, prepared, resumed)
        write_text(folder.experiment_file, to_toml(prepared.experiment))
        folder.update_card(
            state=RunState.RUNNING,
            message="",
            remarks=folder.card().remarks + ((damaged,) if damaged else ()),
            settings_sha256=folder.settings_sha256(),
            session=_session(prepared, processes),
        )
    processes.wait()
    return _train(folder, prepared, training, recorder, observer)


def _where(card: RunCard, resumed: StateCard | None) -> str:
    """Return in words where a run continues."""
    if resumed is None:
        return "there is no checkpoint: it starts from the beginning"
    if card.state == RunState.FINISHED:
        return f"it was finished at iteration {resumed.iteration}"
    return f"it continues from iteration {resumed.iteration}"


def _train(
    folder: RunFolder,
    prepared: Prepared,
    training: Training,
    recorder: Recorder | None,
    observer: Observer,
) -> RunFolder:
    """Train to the end what stands in ``folder``, with what it begins with if it needs that."""
    try:
        if not _has_its_start(folder, prepared, training, observer):
            return folder
        return train_to_the_end(folder, prepared, training, recorder, observer)
    except KeyboardInterrupt as stop:
        if not training.processes.leads:
            raise
        stop.args = (f"stopped at once; {write_cut_off(folder)}",)
        raise


def _recorder(
    folder: RunFolder,
    prepared: Prepared,
    training: Training,
    observer: Observer,
    *,
    resumed: StateCard | None = None,
) -> Recorder | None:
    """Return what writes the folder, in the process that leads; nothing is written yet."""
    if not training.processes.leads:
        return None
    return Recorder(folder, prepared, training, resumed=resumed, scored=observer.scored)


@contextmanager
def _alone(folder: RunFolder, place: Place) -> Generator[None]:
    """Hold the folder, in the process that leads, so that no other run writes there.

    Raises:
        RunError: Another process trains in it.
    """
    with held(folder.path) if place[1].leads else nullcontext():
        yield


def _has_its_start(
    folder: RunFolder, prepared: Prepared, training: Training, observer: Observer
) -> bool:
    """Train the auto-encoder that the run begins with, if it asks for one, and take its decoder.

    Returns:
        False: the person stopped it, and the card says so.
    """
    if prepared.experiment.start == "fresh" or training.iteration > 0:
        return True
    place, vae = (prepared.hardware, training.processes), RunFolder(folder.path / START)
    observer.stopped_by = ""
    if not vae.experiment_file.is_file():
        _begin(vae, vae_of(prepared.experiment), place, observer)
    elif vae.card().state != RunState.FINISHED:
        asked = prepared.experiment
        known = keeping(vae.experiment(), asked.scoring.keep_pictures)
        with _alone(vae, place):
            _go_on(vae, moved(known, asked.pictures), place, observer)
    ended = vae.card()
    # A signal may come while the last of it is written: then it is finished, and no more begins.
    stops = training.processes.agree(bool(observer.stopped_by), prepared.hardware.device)
    is_over = ended.state == RunState.FINISHED and not stops
    entries: dict[str, Any]
    if is_over:
        start = begin_with_decoder(training, vae)
        entries = {"start": start, "remarks": (start_in_words(start),)}
    else:
        why = ended.message or f"stopped by {observer.stopped_by or 'a signal'}"
        message = f"{why} while what it begins with was trained"
        entries = {"state": RunState.INTERRUPTED, "message": message}
    if training.processes.leads:
        folder.update_card(**entries)
    return is_over


def refuse_full(destination: Path) -> None:
    """Check that a new run can be put at ``destination``.

    Raises:
        RunError: Something is there already.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        refuse_busy(destination)
        raise RunError(
            f"{destination} is not empty; choose another folder with --out, "
            f"or go on with --resume {destination}"
        )


@contextmanager
def new_folder(destination: Path) -> Generator[Path]:
    """Yield a place for the files of a new folder; put them at ``destination`` when all is there.

    Raises:
        RunError: Another process was quicker, or the folder cannot be written.
    """
    try:
        with written_whole(destination.absolute(), replace=False) as partial:
            partial.mkdir()
            yield partial
    except RunError:
        if destination.is_dir():
            time.sleep(_TO_TAKE_ITS_LOCK_S)
            refuse_full(destination)  # names the process
        raise


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
    """Write the folder with all that is known before the first iteration, whole.

    Raises:
        RunError: The place is taken by now, or cannot be written.
    """
    made = {REGULARIZERS: prepared.regularizer_state, PROCEDURE: prepared.procedure_cache}
    with new_folder(destination) as partial:
        folder = RunFolder(partial)
        write_text(folder.experiment_file, to_toml(prepared.experiment))
        write_json(partial / "plan.json", prepared.plan.report.as_dict())
        write_manifest(prepared.images, partial / "manifest.json")
        for name, tensors in made.items():
            if tensors:
                save_tensors(partial / f"{name}.safetensors", tensors, note={"kind": name})
        card = RunCard(
            state=RunState.RUNNING,
            iterations=prepared.experiment.training.iterations,
            base=prepared.base,
            pictures_sha256=prepared.images.sha256,
            reference_checksum=reference_checksum_of(prepared),
            settings_sha256=folder.settings_sha256(),
            checksums={name: checksum(t) for name, t in made.items() if t},
            remarks=tuple(remarks_on(prepared)),
            session=_session(prepared, processes),
        )
        folder.write_card(card)


def _session(prepared: Prepared, processes: Processes) -> Session:
    return Session(
        command=" ".join(["graftgan", *sys.argv[1:]]),
        versions=versions(),
        device=str(prepared.hardware.device),
        hardware=prepared.hardware.describe(),
        processes=processes.count,
    )
