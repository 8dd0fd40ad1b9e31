"""One session of a run: train until it ends, and write how it ended."""

from contextlib import suppress
from pathlib import Path

from graftgan.checkpoints import list_checkpoints
from graftgan.core.errors import GraftganError, RunError, TrainingDiverged
from graftgan.core.tensors import is_out_of_memory
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_folder import RunFolder, TrainedRun, load_run
from graftgan.experiments.run_page import write_run_report
from graftgan.models.adapters import FILE_NAME, Adapter, adapter_of, save_adapter
from graftgan.runs.prepared import Prepared
from graftgan.runs.recorder import Recorder
from graftgan.training import DivergenceGuard, ProgressBar, ProgressLines, StopOnSignal, Training

_LOST_PROCESS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")


class Observer:
    """What a person sees while a run is prepared and trained. This one shows nothing.

    Attributes:
        draws_bar: Whether a bar is drawn.
        stopped_by: The signal that asked to stop, also when the run then ended as planned; empty:
            none did. Who runs several should not begin another.
    """

    draws_bar = False
    stopped_by = ""

    def say(self, line: str) -> None:
        """Show a line of progress, where no bar is drawn."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` of a work before the first iteration is done."""

    def prepared(self, prepared: Prepared) -> None:
        """Show what is about to be trained; everything has been checked by now."""

    def stopping(self, signal: str, folder: Path) -> None:
        """Answer a signal at once; called in a thread of its own.

        Args:
            signal: Its name.
            folder: Of the run, which is about to be saved.
        """

    def scored(self, iteration: int, value: float) -> str:
        """Take note of the score that decides; return why the run should end here, or nothing.

        A run that is ended so is ``pruned``: it keeps its checkpoint and can be gone on with.
        """
        del iteration, value
        return ""


def train_to_the_end(
    folder: RunFolder,
    prepared: Prepared,
    training: Training,
    recorder: Recorder | None,
    observer: Observer,
) -> RunFolder:
    """Train until the run ends, for whatever reason, and write how it ended.

    Args:
        folder: Of the run; what is known at its start is written.
        prepared: The run's parts.
        training: Where it stands.
        recorder: Writes what happens; None in a process that does not lead.
        observer: Shows what happens.

    Raises:
        GraftganError: Training diverged, or the end cannot be written.
    """
    observer.prepared(prepared)
    stop = StopOnSignal(lambda signal: observer.stopping(signal, folder.path))
    bar = ProgressBar(str(folder.path)) if observer.draws_bar else None
    training.callbacks = [stop, DivergenceGuard(every=prepared.experiment.training.log_every)]
    if recorder is not None:
        training.callbacks += recorder.callbacks(stop)
        lines = ProgressLines(every=prepared.experiment.training.grid_every, say=observer.say)
        training.callbacks.append(lines if bar is None else bar)
    failure: Exception | None = None
    try:
        training.run()
    except Exception as error:
        failure = _explained(error, folder.path)
    except BaseException:  # the second Ctrl-C, or whatever ends the process
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
        # Without waiting for the others: what the leader alone sees stops the leader alone.
        raise failure
    training.processes.wait()
    return folder


def _outcome(
    training: Training, stop: StopOnSignal, recorder: Recorder, failure: Exception | None
) -> tuple[RunState, str]:
    """Return how a run ended, and why."""
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
    """Write adapter, page and, last of all, the card: a run counts as done when all is there.

    After a failure, as far as the disk allows.
    """
    card = folder.card().changed(
        state=state,
        message=message,
        iteration=training.iteration,
        iterations=training.iterations,
        seconds=training.seconds,
    )
    if state not in {RunState.DIVERGED, RunState.FAILED}:
        if prepared.experiment.source is not None:
            save_adapter(_adapter(folder, prepared, training), folder.path / FILE_NAME)
        write_run_report(folder.path, card=card)
        folder.write_card(card)
        return
    with suppress(GraftganError):
        write_run_report(folder.path, card=card)
    with suppress(GraftganError):
        folder.write_card(card)


def _adapter(folder: RunFolder, prepared: Prepared, training: Training) -> Adapter:
    """Return the adapter of the newest checkpoint, which is read only where it is not at hand."""
    newest = max((int(path.name) for path in list_checkpoints(folder.path)), default=0)
    if newest != training.iteration:
        return adapter_of(load_run(folder.path), prepared.base)
    run = TrainedRun(
        experiment=prepared.experiment,
        pair=training.pair,
        applied=prepared.plan,
        iteration=training.iteration,
        images_seen=training.images_seen,
    )
    average = training.average
    averaged = None if average is None else average.tensors()
    return adapter_of(run, prepared.base, averaged=averaged)


def write_cut_off(folder: RunFolder) -> str:
    """Note on the card that a run continues from its newest checkpoint; return that in words."""
    kept = max((int(path.name) for path in list_checkpoints(folder.path)), default=0)
    lost = f"what came after iteration {kept} is lost"
    message = f"stopped at once; {lost}"
    with suppress(GraftganError):
        folder.update_card(state=RunState.INTERRUPTED, message=message, iteration=kept)
    return f"{lost}; continue with graftgan transfer --resume {folder.path}"


def _explained(error: Exception, path: Path) -> Exception:
    """Return what the person should read: where the last good state is, what to do about memory."""
    if isinstance(error, TrainingDiverged):
        kept = list_checkpoints(path)
        last = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
        return TrainingDiverged(f"{error}; {last}")
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST_PROCESS):
        return RunError(
            "another process of this run has ended; see what it said, then continue with "
            f"graftgan transfer --resume {path}, started as before ({error})"
        )
    if is_out_of_memory(error):
        return RunError(
            f"the machine has not enough memory; lower --batch-size or --width ({error})"
        )
    return error
