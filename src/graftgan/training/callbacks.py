"""Callbacks that write, draw, guard and listen to signals while a run trains."""

import io
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from graftgan.core.errors import TrainingDiverged
from graftgan.core.files import (
    append_bytes,
    append_jsonl,
    as_checked_jsonl,
    make_folder,
    read_jsonl,
    write_text,
)
from graftgan.core.network_types import Latents, PictureBytes
from graftgan.training.loop import Callback, Terms, Training, copied_state_of, restore

T = TypeVar("T")
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOPPING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Signals that ask a run to stop; Windows knows the first two."""
SLOW_S = 2.0
"""Iterations of at least so many seconds are cut short. Copying the state that undoes one takes
about a hundredth of that; faster iterations are not copied."""


class LogWriter(Callback):
    """Appends the terms of every ``every``-th iteration to a JSONL file, and to ``also``.

    ``terms`` are the last values of the terms of a resumed run; some are not computed each time.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: int,
        also: Callable[[dict[str, float]], None] | None = None,
        terms: Mapping[str, float] | None = None,
    ) -> None:
        self._path, self._every, self._also = path, every, also
        self._terms: dict[str, float | Tensor] = dict(terms or {})

    @property
    def terms(self) -> dict[str, float]:
        """The last value of each term; reading it waits for the device."""
        return {name: float(term) for name, term in self._terms.items()}

    def started(self, training: Training) -> None:
        """Drop lines of iterations that will be done again."""
        forget_after(self._path, training.iteration)

    def iterated(self, training: Training, terms: Terms) -> None:
        """Write a line if it is due, with the last value of every term."""
        self._terms |= terms
        if training.iteration % self._every and training.iteration != training.iterations:
            return
        seconds = max(training.seconds, 1e-9)
        line = {
            "iteration": training.iteration,
            "images": training.images_seen,
            "seconds": round(seconds, 3),
            "images_per_second": round(training.images_seen / seconds, 2),
            **self.terms,
        }
        append_jsonl(self._path, line)
        if self._also is not None:
            self._also(line)


class DivergenceGuard(Callback):
    """Stops a run whose losses are no longer finite."""

    def __init__(self, *, every: int) -> None:
        self._every = every

    def iterated(self, training: Training, terms: Terms) -> None:
        """Check the losses; raise TrainingDiverged if one is not finite."""
        if training.iteration % self._every == 0 or training.iteration == training.iterations:
            bad = [name for name, term in terms.items() if not torch.isfinite(term)]
            # All processes stop together: one alone would leave the others waiting for it.
            if training.processes.agree(bool(bad), training.hardware.device):
                what = ", ".join(bad) or "a loss of another process"
                raise TrainingDiverged(
                    f"{what} became not-a-number by iteration {training.iteration}; "
                    "lower the learning rates or take --precision float32"
                )


class ProgressBar(Callback):
    """A bar with speed and time left."""

    def __init__(self, description: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} iterations"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._description = description
        self._task: TaskID | None = None
        self._begin, self._images = 0.0, 0

    def started(self, training: Training) -> None:
        """Show the bar."""
        end, done = training.iterations, training.iteration
        if self._task is None:
            self._task = self._bar.add_task(self._description, total=end, completed=done, speed="")
        self._begin, self._images = time.perf_counter(), training.images_seen
        self._bar.start()

    def iterated(self, training: Training, terms: Terms) -> None:
        """Move the bar."""
        assert self._task is not None
        elapsed = time.perf_counter() - self._begin
        speed = (training.images_seen - self._images) / max(elapsed, 1e-9)
        self._bar.update(self._task, completed=training.iteration, speed=f"{speed:.0f} images/s")

    def ended(self, training: Training) -> None:
        """Leave the bar as it stands."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        self._bar.stop()


class ProgressLines(Callback):
    """Prints a line every ``every`` iterations, for log files and clusters."""

    def __init__(self, *, every: int, say: Callable[[str], None]) -> None:
        self._every, self._say = every, say
        self._seconds, self._iteration = 0.0, 0

    def started(self, training: Training) -> None:
        """Remember where this session begins."""
        self._seconds, self._iteration = training.seconds, training.iteration

    def iterated(self, training: Training, terms: Terms) -> None:
        """Print a line if it is due."""
        if training.iteration % self._every == 0:
            done = training.iteration - self._iteration
            pace = (training.seconds - self._seconds) / done
            left = pace * (training.iterations - training.iteration) / 60
            if training.seconds_limit is not None:
                left = min(left, (training.seconds_limit - training.seconds) / 60)
            self._say(
                f"iteration {training.iteration}/{training.iterations}, "
                f"{pace:.2f} s each, {_minutes(left)} left"
            )


def _minutes(count: float) -> str:
    if count < 1:
        return "less than a minute"
    return f"{count:.0f} minute{'s' * (round(count) != 1)}"


class Periodically(Callback):
    """Calls ``act`` every ``every`` iterations and at the end.

    ``is_done`` says for which iterations that was already done: a run may have been stopped between
    an iteration and what is due after it.
    """

    def __init__(
        self,
        *,
        every: int,
        act: Callable[[Training], None],
        at_start: bool = False,
        is_done: Callable[[int], bool] = lambda iteration: iteration > 0,
    ) -> None:
        self._every, self._act, self._at_start, self._is_done = every, act, at_start, is_done
        self._done_at = -1

    def started(self, training: Training) -> None:
        """Act at the start of a new run, if asked to, and make up for what a stopped run missed."""
        iteration = training.iteration
        if self._is_done(iteration):
            self._done_at = iteration
        elif self._at_start if iteration == 0 else iteration % self._every == 0:
            self._do(training)

    def iterated(self, training: Training, terms: Terms) -> None:
        """Act if it is due."""
        if training.iteration % self._every == 0:
            self._do(training)

    def ended(self, training: Training) -> None:
        """Act on the last state."""
        if self._done_at != training.iteration:
            self._do(training)

    def _do(self, training: Training) -> None:
        self._act(training)
        self._done_at = training.iteration


class Snapshots(Callback):
    """Draws pictures of fixed latents at the start, every ``every`` iterations and at the end.

    ``attempt`` draws, or gives up and returns None because the run must end at once; what was given
    up is drawn at the end.
    """

    def __init__(
        self,
        *,
        every: int,
        latents: Latents,
        sample: Callable[[Latents], PictureBytes],
        show: Callable[[int, PictureBytes], None],
        attempt: Callable[[Callable[[], PictureBytes]], PictureBytes | None] = lambda draw: draw(),
    ) -> None:
        self._every, self._show, self._attempt = every, show, attempt
        self._draw = partial(sample, latents)
        self._drawn_at = -1

    def started(self, training: Training) -> None:
        """Draw the start, and what is due when a run is resumed."""
        self.iterated(training, {})

    def iterated(self, training: Training, terms: Terms) -> None:
        """Draw if it is due."""
        if training.iteration % self._every == 0:
            pictures = self._attempt(self._draw)
            if pictures is not None:
                self._take(training.iteration, pictures)

    def ended(self, training: Training) -> None:
        """Draw the end if it was not drawn yet."""
        if self._drawn_at != training.iteration:
            self._take(training.iteration, self._draw())

    def _take(self, iteration: int, pictures: PictureBytes) -> None:
        self._show(iteration, pictures)
        self._drawn_at = iteration


def forget_after(path: Path, iteration: int) -> None:
    """Drop the lines of a JSONL file after ``iteration``, and damaged ones."""
    if path.exists():
        said = [(entry.get("iteration"), entry) for entry in read_jsonl(path)]
        kept = [entry for at, entry in said if isinstance(at, int) and at <= iteration]
        write_text(path, as_checked_jsonl(kept))


def event_writer(folder: Path, *, after: int) -> Callable[[Mapping[str, float]], None] | None:
    """Return a writer of log lines as events; None without the extra ``tensorboard``.

    torch's own writer uses a thread, which prints a traceback when the disk is full. TensorBoard
    hides the events that an earlier session wrote for iterations ``after`` this one.
    """
    try:
        protocol = import_module("tensorboard.compat.proto.event_pb2")
        summaries = import_module("tensorboard.compat.proto.summary_pb2")
        records = import_module("tensorboard.summary.writer.record_writer")
    except ImportError:
        return None
    now = time.time()
    path = folder / f"events.out.tfevents.{now:.0f}.{platform.node()}.{os.getpid()}.0"

    def append(*events: Any) -> None:
        buffer = io.BytesIO()
        writer = records.RecordWriter(buffer)
        for event in events:
            writer.write(event.SerializeToString())
        make_folder(folder)
        append_bytes(path, buffer.getvalue())

    session = protocol.SessionLog(status=protocol.SessionLog.START)
    begins = [
        protocol.Event(wall_time=now, file_version="brain.Event:2"),
        protocol.Event(wall_time=now, step=after + 1, session_log=session),
    ]

    def write(line: Mapping[str, float]) -> None:
        named = [(name, value) for name, value in line.items() if name != "iteration"]
        values = [summaries.Summary.Value(tag=name, simple_value=value) for name, value in named]
        summary = summaries.Summary(value=values)
        event = protocol.Event(wall_time=time.time(), step=int(line["iteration"]), summary=summary)
        append(*begins, event)
        begins.clear()

    return write


class Abandoned(BaseException):
    """A signal has cut short work that can be done later. Not an Exception: nothing catches it."""


def _follows_abandoned(error: BaseException | None) -> bool:
    """Return whether an error came up while ``Abandoned`` was on its way."""
    while error is not None and not isinstance(error, Abandoned):
        error = error.__context__
    return error is not None


class StopOnSignal(Callback):
    """Stops a training after the iteration in which the first signal comes.

    Work that a resumed run can do, such as scoring, is abandoned at once, and so is an iteration of
    several seconds on a CPU in one process: it is undone. A second Ctrl-C does not wait for
    anything; any other second signal is ignored, since a closed terminal or a cluster may send
    several. ``answer`` is called at once with the name of the first signal, in its own thread: the
    main thread may be busy for seconds.
    """

    def __init__(self, answer: Callable[[str], None] = lambda name: None) -> None:
        self.stopped_by: str | None = None
        self._ear = _Ear(answer)
        self._before: dict[int, Any] = {}
        self._training: Training | None = None
        self._attempts = False
        self._seconds = SLOW_S  # of the last iteration; unknown before the first

    def started(self, training: Training) -> None:
        """Watch for signals."""
        self._training = training
        training.stop_requested |= self.stopped_by is not None
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets only the main thread handle signals
        if training.processes.count == 1 and training.hardware.device.type == "cpu":
            training.attempt = self._attempt_iteration
        if self._before:
            return  # it watches already, and the training goes on under another plan
        self._ear.open()
        for number in STOPPING:
            # under nohup a closed terminal is ignored
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._request)

    def close(self) -> None:
        """Put the old handlers back; call it after the end of the run is written."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        self._ear.close()

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Return what ``work`` returns; None if a signal came before or meanwhile."""
        if self.stopped_by is None:
            try:
                self._attempts = True
                return work()
            except Abandoned:
                pass
            except Exception as error:  # a library may have made one of its own of it
                if not _follows_abandoned(error):
                    raise
            finally:
                self._attempts = False
        return None

    def _attempt_iteration(self, iterate: Callable[[], Terms]) -> Terms | None:
        begin = time.monotonic()
        terms = iterate() if self._seconds < SLOW_S else self._undoable(iterate)
        self._seconds = time.monotonic() - begin
        return terms

    def _undoable(self, iterate: Callable[[], Terms]) -> Terms | None:
        assert self._training is not None
        files, card = copied_state_of(self._training)
        terms = self.attempt(iterate)
        if terms is None:
            restore(self._training, files, card)
        return terms

    def _request(self, number: int, frame: FrameType | None) -> None:
        assert self._training is not None
        if self.stopped_by is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.stopped_by = signal.Signals(number).name
        self._training.stop_requested = True
        if self._attempts:
            raise Abandoned


class _Ear:
    """Hears signals while the main thread is busy, and answers the first."""

    def __init__(self, answer: Callable[[str], None]) -> None:
        self._answer = answer
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        self._heard, self._rings = socket.socketpair()
        self._rings.setblocking(False)  # as signal.set_wakeup_fd requires
        self._before = signal.set_wakeup_fd(self._rings.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, after an answer under way is finished."""
        if self._thread is not None:
            signal.set_wakeup_fd(self._before)
            self._rings.close()
            self._thread.join()
            self._heard.close()
            self._thread = None

    def _listen(self) -> None:
        has_answered = False
        while numbers := self._heard.recv(16):
            for number in numbers:
                if number in STOPPING and not has_answered:
                    has_answered = True
                    self._answer(signal.Signals(number).name)
