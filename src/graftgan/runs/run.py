"""Run an experiment into a new folder, or resume a run."""

import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from graftgan.checkpoints import checksum, list_checkpoints, save_tensors
from graftgan.core.errors import GraftganError, RunError, TrainingDiverged
from graftgan.core.files import (
    held,
    refuse_busy,
    refuse_unwritable_names,
    write_json,
    write_text,
    written_whole,
)
from graftgan.core.network_types import is_out_of_memory
from graftgan.core.settings import to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import RunCard, RunState, Session, write_run_card
from graftgan.experiments.run_folder import RunFolder, TrainedRun, load_run, versions
from graftgan.experiments.run_page import write_run_report
from graftgan.models.adapters.adapter import FILE_NAME, Adapter, adapter_of, save_adapter
from graftgan.runs.build import (
    Prepared,
    build_training,
    next_step,
    prepare,
    remarks_on,
    with_procedure_cache,
)
from graftgan.runs.recorder import Recorder
from graftgan.runs.resume import (
    PROCEDURE_CACHE,
    REGULARIZER_STATE,
    START,
    begin_with_decoder,
    check_may_resume,
    clear_leftovers,
    damaged_lines,
    forget_what_is_done_again,
    newest_state,
    prepared_to_resume,
    restore_state,
    start_in_words,
    vae_of,
    with_changes,
)
from graftgan.training import (
    DivergenceGuard,
    Hardware,
    Processes,
    ProgressBar,
    ProgressLines,
    StopOnSignal,
    Training,
    choose_hardware,
    joined_processes,
    keep_freed_memory,
)

_TO_TAKE_ITS_LOCK_S = 0.5  # a process needs less, from making its folder to locking it
_LOST_PROCESS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
Place = tuple[Hardware, Processes]


class Observer:
    """Shows progress while a run is prepared and trained; this one shows nothing.

    ``stopped_by`` is the signal that asked to stop, even if the run then ended as planned; a
    program with several runs should not begin another.
    """

    draws_bar = False
    stopped_by = ""

    def say(self, line: str) -> None:
        """Show a line of progress if no bar is drawn."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` of a preparing step is done."""

    def prepared(self, prepared: Prepared) -> None:
        """Show what is about to be trained, after all checks."""

    def stopping(self, signal: str, folder: Path) -> None:
        """Confirm a signal at once, in a separate thread; the run in ``folder`` will be saved."""

    def scored(self, iteration: int, value: float) -> str:
        """Take a deciding score; return why the run should end here, or an empty string.

        Such a run becomes ``pruned``: it keeps its checkpoint and can be resumed.
        """
        del iteration, value
        return ""


def run(
    experiment: Experiment,
    destination: Path,
    *,
    device: str = "auto",
    observer: Observer | None = None,
) -> RunFolder:
    """Train an experiment into a new or empty folder, with a report and an adapter of a transfer.

    The folder is returned even if a signal stopped the run early.

    Raises:
        GraftganError: Something does not fit (then nothing is written), or training diverged (then
            the last good checkpoint and the report are kept).
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
    """Resume a run from its newest checkpoint, or start it over if there is none.

    The result equals that of a run that was never stopped, bit for bit on the same CPU. Where a
    limit in seconds ends it depends on the speed of the machine.

    Args:
        path: The run folder.
        iterations: A new length, also of a finished run; schedules that depend on the share of the
            run done, such as the fading of the augmentation, follow it.
        seconds: A new limit of the time in the training loop.
        pictures: The new place of its pictures, if they were moved.
        reference: The new place of the pictures that it is scored against.
        keep_pictures: Whether scored pictures are kept from now on; None: as before.
        device: auto, cpu, cuda, cuda:N or mps.
        observer: Shows progress.

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
        experiment = with_changes(
            experiment,
            iterations=iterations,
            seconds=seconds,
            pictures=pictures,
            reference=reference,
            keep_pictures=keep_pictures,
        )
        return _go_on(folder, experiment, place, observer or Observer())


def refuse_full(destination: Path) -> None:
    """Raise RunError if ``destination`` exists, unless it is an empty folder."""
    if destination.is_symlink():
        raise RunError(
            f"{destination} is a link; give another place, or the folder itself, as --out"
        )
    if not destination.exists():
        return
    if not destination.is_dir():
        raise RunError(f"{destination} is a file, expected a folder; choose another with --out")
    if any(destination.iterdir()):
        refuse_busy(destination)
        raise RunError(
            f"{destination} is not empty; choose another folder with --out, "
            f"or resume it with --resume {destination}"
        )


@contextmanager
def new_folder(destination: Path) -> Generator[Path]:
    """Yield a temporary folder, which becomes ``destination`` when the block ends.

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
    """Join the other processes, if any, and choose the hardware of this one."""
    precision = experiment.training.precision
    kind = choose_hardware(device, precision).device.type
    if kind == "cpu":
        keep_freed_memory()
    with joined_processes(kind) as processes:
        yield choose_hardware(device, precision, rank=processes.rank), processes


def _alone(folder: RunFolder, place: Place) -> AbstractContextManager[None]:
    """Return the lock of the folder, which the leading process holds against other runs."""
    return held(folder.path) if place[1].leads else nullcontext()


def _begin(
    folder: RunFolder, experiment: Experiment, place: Place, observer: Observer
) -> RunFolder:
    """Train an experiment into a new folder, in the processes that have joined."""
    hardware, processes = place
    prepared = prepare(experiment, hardware, processes=processes, progress=observer.progress)
    prepared = with_procedure_cache(prepared, observer.progress)
    training = build_training(prepared, processes)
    recorder = None
    if processes.leads:
        recorder = Recorder(folder, prepared, training, scored=observer.scored)
        _write_start(folder.path, prepared, processes)
    processes.wait()
    with _alone(folder, place):
        return _train(folder, prepared, training, recorder, observer)


def _go_on(
    folder: RunFolder, experiment: Experiment, place: Place, observer: Observer
) -> RunFolder:
    """Continue the run in ``folder``, in the processes that have joined and hold its lock."""
    hardware, processes = place
    if processes.leads:
        clear_leftovers(folder.path)
    processes.wait()
    state = newest_state(folder.path)
    prepared = prepared_to_resume(
        folder, experiment, hardware, processes, state, progress=observer.progress
    )
    training = build_training(prepared, processes)
    notes = [note for note in (damaged_lines(folder.path), _elsewhere(folder, place)) if note]
    resumed = None if state is None else state.card
    if state is not None:
        restore_state(folder.path, training, state)
    del state  # else all of it stays in memory while training
    recorder = None
    if processes.leads:
        where = "there is no checkpoint: it starts from the beginning"
        if resumed is not None:
            is_finished = folder.card().state == RunState.FINISHED
            where = "it was finished at" if is_finished else "it continues from"
            where += f" iteration {resumed.iteration}"
            if is_finished and resumed.iteration >= experiment.training.iterations:
                where += f"; to train on, add --iterations {2 * resumed.iteration}"
        observer.say(where)
        for note in notes:
            observer.say(f"note: {note}")
        scored = observer.scored
        recorder = Recorder(folder, prepared, training, resumed=resumed, scored=scored)
        forget_what_is_done_again(folder.path, prepared, resumed)
        write_text(folder.experiment_file, to_toml(prepared.experiment))
        folder.update_card(
            state=RunState.RUNNING,
            message="",
            remarks=(*folder.card().remarks, *notes),
            settings_sha256=folder.settings_sha256(),
            session=_session(*place),
        )
    processes.wait()
    return _train(folder, prepared, training, recorder, observer)


def _write_start(destination: Path, prepared: Prepared, processes: Processes) -> None:
    """Write the folder with all that is known before the first iteration, atomically."""
    made = {
        REGULARIZER_STATE: prepared.regularizer_state,
        PROCEDURE_CACHE: prepared.procedure_cache,
    }
    with new_folder(destination) as partial:
        folder = RunFolder(partial)
        write_text(folder.experiment_file, to_toml(prepared.experiment))
        write_json(partial / "plan.json", prepared.plan.report.as_dict())
        write_json(partial / "manifest.json", prepared.images.manifest())
        for name, tensors in made.items():
            if tensors:
                save_tensors(partial / f"{name}.safetensors", tensors, note={"kind": name})
        card = RunCard(
            state=RunState.RUNNING,
            iterations=prepared.experiment.training.iterations,
            base=prepared.base,
            pictures_sha256=prepared.images.sha256,
            reference_checksum=prepared.reference_checksum,
            settings_sha256=folder.settings_sha256(),
            checksums={name: checksum(t) for name, t in made.items() if t},
            remarks=tuple(remarks_on(prepared)),
            session=_session(prepared.hardware, processes),
        )
        write_run_card(folder.card_file, card)


def _session(hardware: Hardware, processes: Processes) -> Session:
    return Session(
        command=" ".join(["graftgan", *sys.argv[1:]]),
        versions=versions(),
        device=str(hardware.device),
        hardware=hardware.describe(),
        processes=processes.count,
    )


def _elsewhere(folder: RunFolder, place: Place) -> str:
    """Return a note on what differs from the session before; empty: its numbers go on exactly."""
    before, now = folder.card().session, _session(*place)
    pairs = [
        (f"{name} {version}", f"{name} {now.versions.get(name)}")
        for name, version in before.versions.items()
        if version != now.versions.get(name)
    ]
    if before.hardware != now.hardware:
        pairs.append((before.hardware, now.hardware))
    if before.processes != now.processes:
        pairs.append((f"{before.processes} processes", f"{now.processes}"))
    if not pairs:
        return ""
    changes = "; ".join(f"{old}, now {new}" for old, new in pairs)
    return f"it goes on elsewhere ({changes}): an unbroken run could differ in the last digits"


def _train(
    folder: RunFolder,
    prepared: Prepared,
    training: Training,
    recorder: Recorder | None,
    observer: Observer,
) -> RunFolder:
    """Train the run in ``folder`` to its end, after the auto-encoder it begins with, if any."""
    try:
        if _has_its_start(folder, prepared, training, observer):
            _train_to_the_end(folder, prepared, training, recorder, observer)
    except KeyboardInterrupt as stop:
        if training.processes.leads:
            stop.args = (f"stopped at once; {_write_cut_off(folder)}",)
        raise
    return folder


def _has_its_start(
    folder: RunFolder, prepared: Prepared, training: Training, observer: Observer
) -> bool:
    """Train the auto-encoder that the run begins with, if any, and take its decoder.

    Return False if a signal stopped it, which is then on the card.
    """
    if prepared.experiment.start == "fresh" or training.iteration > 0:
        return True
    place, vae = (prepared.hardware, training.processes), RunFolder(folder.path / START)
    observer.stopped_by = ""
    if not vae.experiment_file.is_file():
        _begin(vae, vae_of(prepared.experiment), place, observer)
    elif vae.card().state != RunState.FINISHED:
        asked = prepared.experiment
        keeps = asked.scoring.keep_pictures
        known = with_changes(vae.experiment(), keep_pictures=keeps, pictures=asked.pictures)
        with _alone(vae, place):
            _go_on(vae, known, place, observer)
    ended = vae.card()
    # After a signal during its last writes it is finished, but the run must not begin.
    stops = training.processes.agree(bool(observer.stopped_by), prepared.hardware.device)
    if ended.state == RunState.FINISHED and not stops:
        start = begin_with_decoder(training, vae)
        if training.processes.leads:
            folder.update_card(start=start, remarks=(start_in_words(start),))
        return True
    if training.processes.leads:
        why = ended.message or f"stopped by {observer.stopped_by or 'a signal'}"
        message = f"{why} while its auto-encoder was trained"
        folder.update_card(state=RunState.INTERRUPTED, message=message)
    return False


def _train_to_the_end(
    folder: RunFolder,
    prepared: Prepared,
    training: Training,
    recorder: Recorder | None,
    observer: Observer,
) -> None:
    observer.prepared(prepared)
    stop = StopOnSignal(lambda signal: observer.stopping(signal, folder.path))
    bar = ProgressBar(str(folder.path)) if observer.draws_bar else None
    lines = ProgressLines(every=prepared.experiment.training.grid_every, say=observer.say)
    failure: Exception | None = None

    def run() -> None:
        guard = DivergenceGuard(every=prepared.experiment.training.log_every)
        training.callbacks = [stop, guard]
        if recorder is not None:
            training.callbacks += [*recorder.callbacks(stop), lines if bar is None else bar]
        training.run()

    try:
        run()
        while training.is_paused:
            recorder, prepared, training = _with_next_plan(
                folder, recorder, prepared, training, observer
            )
            run()
    except Exception as error:
        failure = _explained(error, folder.path)
    except BaseException:  # a second Ctrl-C, or another end of the process
        stop.close()
        raise
    finally:
        if bar is not None:
            bar.close()
    try:  # signals wait until the end is written
        if recorder is not None:
            state, message = _outcome(training, stop, recorder, failure)
            _write_end(folder, prepared, training, state, message)
    finally:
        stop.close()
        observer.stopped_by = stop.stopped_by or ""
    if failure is not None:
        # Without waiting: the other processes may not have failed.
        raise failure
    training.processes.wait()


def _with_next_plan(
    folder: RunFolder,
    recorder: Recorder | None,
    prepared: Prepared,
    training: Training,
    observer: Observer,
) -> tuple[Recorder | None, Prepared, Training]:
    """Return the run under the next plan of its schedule, as if it was resumed there."""
    reached = training.iteration
    prepared, training = next_step(prepared, training)
    if recorder is not None:
        resumed = recorder.state_card()
        recorder = Recorder(folder, prepared, training, resumed=resumed, scored=observer.scored)
        forget_what_is_done_again(folder.path, prepared, resumed)
        observer.say(f"iteration {reached}: the plan is now {prepared.plan.report.notation}")
    return recorder, prepared, training


def _outcome(
    training: Training, stop: StopOnSignal, recorder: Recorder, failure: Exception | None
) -> tuple[RunState, str]:
    if failure is not None:
        diverged = isinstance(failure, TrainingDiverged)
        return (RunState.DIVERGED if diverged else RunState.FAILED), str(failure)
    if recorder.stopped_because:
        return RunState.STOPPED, f"{recorder.stopped_because}; {recorder.roll_back()}"
    if recorder.pruned_because:
        return RunState.PRUNED, recorder.pruned_because
    is_over = training.iteration >= training.iterations or training.time_is_up
    if recorder.is_behind or not is_over:
        who = stop.stopped_by or "a signal to another process"
        return RunState.INTERRUPTED, f"stopped by {who}"
    if training.iteration < training.iterations:
        limit, done = training.seconds_limit, training.iteration
        return RunState.FINISHED, f"its {limit:g} seconds were up at iteration {done}"
    return RunState.FINISHED, ""


def _write_end(
    folder: RunFolder, prepared: Prepared, training: Training, state: RunState, message: str
) -> None:
    """Write adapter, page and, last, the card, so that a run with an end state is complete.

    After a failure, write as much as the disk allows.
    """
    card = replace(
        folder.card(),
        state=state,
        message=message,
        iteration=training.iteration,
        iterations=training.iterations,
        seconds=training.seconds,
    )
    has_failed = state in {RunState.DIVERGED, RunState.FAILED}
    if prepared.experiment.source is not None and not has_failed:
        save_adapter(_adapter(folder, prepared, training), folder.path / FILE_NAME)
    with suppress(GraftganError) if has_failed else nullcontext():
        write_run_report(folder.path, card=card)
    with suppress(GraftganError) if has_failed else nullcontext():
        write_run_card(folder.card_file, card)


def _adapter(folder: RunFolder, prepared: Prepared, training: Training) -> Adapter:
    """Return the adapter of the newest checkpoint, which is read only if it is not in memory."""
    if _newest(folder) != training.iteration or prepared.step:
        return adapter_of(load_run(folder.path), prepared.base)
    run = TrainedRun(
        experiment=prepared.experiment,
        pair=training.pair,
        applied=prepared.plan,
        iteration=training.iteration,
        images_seen=training.images_seen,
    )
    averaged = training.average and training.average.tensors()
    return adapter_of(run, prepared.base, averaged=averaged)


def _newest(folder: RunFolder) -> int:
    return max((int(path.name) for path in list_checkpoints(folder.path)), default=0)


def _write_cut_off(folder: RunFolder) -> str:
    """Set the card back to the newest checkpoint; return a sentence about it."""
    kept = _newest(folder)
    lost = f"what came after iteration {kept} is lost"
    with suppress(GraftganError):
        folder.update_card(
            state=RunState.INTERRUPTED, message=f"stopped at once; {lost}", iteration=kept
        )
    return f"{lost}; continue with graftgan transfer --resume {folder.path}"


def _explained(error: Exception, path: Path) -> Exception:
    """Return the error with what to do about it, as far as that is known."""
    if isinstance(error, TrainingDiverged):
        kept = list_checkpoints(path)
        last = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
        return TrainingDiverged(f"{error}; {last}")
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST_PROCESS):
        return RunError(
            "another process of this run has ended; see its message, then continue with "
            f"graftgan transfer --resume {path}, started as before ({error})"
        )
    if is_out_of_memory(error):
        return RunError(f"out of memory; lower --batch-size or --width ({error})")
    return error
