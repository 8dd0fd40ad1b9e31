"""Signals that end a program become an exception, so that what is half written is removed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")  # a system may lack some
_AGAIN_S = 0.05  # a library returns sooner
_GRACE_S = 3.0  # a second signal of these does not cut short what the first set off


class Interrupted(KeyboardInterrupt):
    """A signal asks the program to end.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return 128 and the number of the signal: 130 for Ctrl-C."""
    number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
    return 128 + int(number)


def stopped_code(name: str) -> int:
    """Return the exit code of a run that the signal ``name`` has stopped."""
    return 128 + int(signal.Signals[name])


@contextmanager
def raised_as_exceptions() -> Generator["Raiser"]:
    """Raise :class:`Interrupted` inside the block for a signal that would end the process.

    For Ctrl-C that is a plain ``KeyboardInterrupt``, as Python does. A signal that is ignored stays
    so, as SIGHUP under ``nohup``; a handler that another part of the program sets for a time, as
    training does, wins for that time. Only the main thread can.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Raiser()
        return
    raise_it, unraisable = Raiser(), sys.unraisablehook
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before: dict[int, Any] = {
        number: signal.signal(number, raise_it)
        for number in numbers
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}
    }
    sys.unraisablehook = partial(_send_again, raise_it, unraisable)
    try:
        yield raise_it
    finally:
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler)


class Raiser:
    """Raises the exception of a signal, unless one is on its way already.

    Attributes:
        heard: The last signal; an error after it may be what a library in C made of it.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self._last = -_GRACE_S

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: Of Ctrl-C; ``Interrupted`` of any other.
        """
        del frame
        self.heard = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self._last >= _GRACE_S:
            self._last = now
            raise Interrupted(number)

    def forget(self) -> None:
        """Raise the next one whenever it comes."""
        self._last = -_GRACE_S


def _send_again(raise_it: Raiser, otherwise: Callable[[Any], None], lost: Any) -> None:
    """Send a signal again whose exception a library in C has swallowed.

    Python would print a traceback for it, and the program would go on as if nothing had come.
    """
    if lost.exc_type is None or issubclass(lost.exc_type, Exception):
        otherwise(lost)
    elif issubclass(lost.exc_type, KeyboardInterrupt):
        is_ours = isinstance(lost.exc_value, Interrupted)
        number = lost.exc_value.number if is_ours else signal.SIGINT
        raise_it.forget()
        threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
