"""Signals become an orderly stop: Ctrl-C, a closed terminal, a cluster's warning."""

import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from graftgan.training.callbacks import SilentCallback
from graftgan.training.loop import Training
from graftgan.training.state import copied_state_of, restore
from graftgan.training.updates import Terms

T = TypeVar("T")

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOPPING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What asks a run to stop; Windows knows the first two."""


SLOW_S = 2.0
"""An iteration of so many seconds is not waited for. Copying the state that it is undone with takes
about a hundredth of that, so faster iterations go without."""


class Abandoned(BaseException):
    """A signal has cut short what may be done later. No error: nothing should catch it as one."""


class StopOnSignal(SilentCallback):
    """Stops a training after the iteration in which the first signal comes.

    Work that a resumed run can do as well, such as scoring, is abandoned at once, and so is an
    iteration of several seconds on a CPU in one process: it is undone, and the training stands
    where it began. A second Ctrl-C does not wait for anything; any other second signal changes
    nothing, since a closed terminal or a cluster may send several.

    Args:
        answer: Called at once with the name of the first signal, in a thread of its own: the main
            one may be within a computation that takes seconds.
    """

    def __init__(self, answer: Callable[[str], None] = lambda name: None) -> None:
        self.stopped_by: str | None = None
        self._ear = _Ear(answer)
        self._before: dict[int, Any] = {}
        self._training: Training | None = None
        self._attempts = False
        self._seconds = SLOW_S  # of the last iteration; of the first nobody knows

    def started(self, training: Training) -> None:
        """Watch for signals."""
        self._training = training
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets only the main thread handle signals
        if training.processes.count == 1 and training.hardware.device.type == "cpu":
            training.attempt = self._attempt_iteration
        self._ear.open()
        for number in STOPPING:
            # nohup lets a closed terminal be ignored, and so do we
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._request)

    def close(self) -> None:
        """Put the old handlers back, once the end of the run is written too."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        self._ear.close()

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Return what ``work`` returns; None where a signal came before or meanwhile."""
        if self.stopped_by is not None:
            return None
        try:
            try:
                self._attempts = True
                return work()
            finally:
                self._attempts = False
        except Abandoned:
            return None

    def _attempt_iteration(self, iterate: Callable[[], Terms]) -> Terms | None:
        begin = time.perf_counter()
        terms = iterate() if self._seconds < SLOW_S else self._undoable(iterate)
        self._seconds = time.perf_counter() - begin
        return terms

    def _undoable(self, iterate: Callable[[], Terms]) -> Terms | None:
        assert self._training is not None
        files, counters = copied_state_of(self._training)
        terms = self.attempt(iterate)
        if terms is None:
            restore(self._training, files, counters)
        return terms

    def _request(self, number: int, frame: FrameType | None) -> None:
        del frame
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
        self._before = -1
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Listen until ``close``."""
        self._heard, self._rings = socket.socketpair()
        self._rings.setblocking(False)  # as signal.set_wakeup_fd wants it
        self._before = signal.set_wakeup_fd(self._rings.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop to listen; an answer that is under way is finished."""
        if self._thread is None:
            return
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
