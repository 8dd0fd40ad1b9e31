"""How a command ends: signals become exceptions, printing never fails, errors become one line.

A command may run for days, and its terminal, its pipe or its disk may go away. That ends no
training; but a command whose output was lost does not exit with 0. Exceptions also let writers
remove what is half written.
"""

import errno
import io
import os
import platform
import shlex
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from graftgan.core.end_at_once import end_at_once
from graftgan.core.errors import shown
from graftgan.core.files import cache_home

_SIGNALS = (
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGXCPU",
)  # a system may lack some
_AGAIN_S = 0.05  # a library returns sooner
_GRACE_S = 3.0  # a second signal of these does not cut short what the first set off
_BROKEN_PIPE_CODE = 141  # 128 + SIGPIPE, as if it had ended the process
_PACKAGES = ("graftgan", "torch", "numpy", "pillow", "safetensors", "pydantic", "tyro", "rich")
_LONGEST_MESSAGE = 300  # characters
_NO_ACCESS = "see that you may read and write there, or choose another folder"
_BY_NUMBER = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some of your quota, or choose another folder",
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.EROFS: "that disk cannot be written; choose another folder",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.EIO: "that disk or terminal does not answer; look at it, and try again",
    errno.ELOOP: "links lead round in a circle there; remove one",
}


class Interrupted(KeyboardInterrupt):
    """A signal, with its ``number``, asks the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @classmethod
    def by(cls, name: str) -> "Interrupted":
        """Return the interruption by the signal ``name``, such as SIGTERM."""
        return cls(signal.Signals[name])


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return 128 and the number of the signal: 130 for Ctrl-C."""
    return 128 + int(_number_of(interrupt))


def stopped_code(name: str) -> int:
    """Return the exit code of a run that the signal ``name`` has stopped."""
    return 128 + int(signal.Signals[name])


def _number_of(interrupt: BaseException | None) -> int:
    return interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT


class Raiser:
    """Handles a signal: raises its exception, unless one is on its way already.

    Attributes:
        heard: The last signal; a C library may turn it into an error of its own.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self._last = -_GRACE_S
        self._is_program = signal.getsignal(signal.SIGINT) is end_at_once
        self._is_loading = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt for Ctrl-C, ``Interrupted`` for any other signal."""
        if self._is_program and self._is_loading:
            end_at_once(number, frame)
        self.heard = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self._last >= _GRACE_S:
            self._last = now
            raise Interrupted(number)

    @contextmanager
    def loading(self) -> Generator[None]:
        """Let a signal end the program at once inside the block, which imports and writes nothing.

        Where another program has called the command line, the exception is raised; if an import
        has swallowed it, it is raised again after the block.
        """
        self._is_loading = True
        try:
            yield
        finally:
            self._is_loading = False
        if self.heard is not None:
            raise KeyboardInterrupt if self.heard == signal.SIGINT else Interrupted(self.heard)

    def send_again(self, otherwise: Callable[[Any], None], lost: Any) -> None:
        """Send a signal again whose exception a C library has swallowed.

        Python would print a traceback for it, and the program would go on as if nothing happened.
        """
        if lost.exc_type is None or issubclass(lost.exc_type, Exception):
            otherwise(lost)
        elif issubclass(lost.exc_type, KeyboardInterrupt):
            self._last = -_GRACE_S
            number = _number_of(lost.exc_value)
            threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()


@contextmanager
def raised_as_exceptions() -> Generator[Raiser]:
    """Raise :class:`Interrupted` inside the block for a signal that would end the process.

    For Ctrl-C it is a plain ``KeyboardInterrupt``, as in Python. Ignored signals stay ignored, such
    as SIGHUP under ``nohup``; a handler that other code sets for a time, as training does, wins for
    that time. Outside the main thread nothing changes.
    """
    raiser, unraisable = Raiser(), sys.unraisablehook
    if threading.current_thread() is not threading.main_thread():
        yield raiser
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before: dict[int, Any] = {
        number: signal.signal(number, raiser)
        for number in numbers
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler, end_at_once}
    }
    sys.unraisablehook = partial(raiser.send_again, unraisable)
    try:
        yield raiser
    finally:
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler)


class SturdyStream(io.TextIOBase):
    """A text stream that never fails to write; None: Python found it closed.

    Characters outside its encoding are escaped. After the first failure nothing more is written;
    ``lost`` is the reason.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost: OSError | ValueError | None = None

    def write(self, text: str, /) -> int:
        """Write ``text`` if that is possible."""
        if self._stream is None:
            self.lost = OSError(errno.EBADF, "it is closed")
        elif self.lost is None:
            with self._giving_up():
                self._stream.write(self._fitting(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None and self.lost is None:
            with self._giving_up():
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal that still exists."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self.lost is None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the number of the file below it; an OSError where there is none."""
        if self._stream is None:
            raise OSError(errno.EBADF, "it is closed")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream, or UTF-8."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        """Return another attribute of the stream, such as ``buffer``."""
        return getattr(self.__dict__.get("_stream"), name)

    def _fitting(self, text: str) -> str:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        return text

    @contextmanager
    def _giving_up(self) -> Generator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # a closed file raises ValueError
            self.lost = error
            with suppress(OSError, ValueError):  # else Python complains of what is still buffered
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)


@contextmanager
def sturdy_streams() -> Generator[Callable[[int], int]]:
    """Replace the standard streams by sturdy ones inside the block.

    Yields a function that returns the exit code: that of the command, but not 0 if output was lost.
    """
    for number in range(3):  # open what is closed, so that no checkpoint becomes one of them
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before = cast("TextIO | None", sys.stdout), cast("TextIO | None", sys.stderr)
    output, errors = map(SturdyStream, before)
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", errors)

    def code_after(code: int) -> int:
        output.flush()
        if output.lost is not None and code == 0:
            if isinstance(output.lost, BrokenPipeError):  # the reader stopped, such as `head`
                return _BROKEN_PIPE_CODE
            code, reason = 2, getattr(output.lost, "strerror", None) or str(output.lost)
            errors.write(
                f"graftgan: what it printed is lost, since standard output fails: {reason}; "
                "all else was done\n"
            )
        return code

    try:
        yield code_after
    finally:
        output.flush()
        errors.flush()
        sys.stdout = before[0] or cast("TextIO", output)
        sys.stderr = before[1] or cast("TextIO", errors)


def in_one_line(error: BaseException, arguments: Sequence[str]) -> str:
    """Return what happened, what to do, and the path of a report, which is written here."""
    kind = type(error).__name__
    said = shown(" ".join(str(error).split()), _LONGEST_MESSAGE)
    what = f"{kind}: {said}" if said else kind
    try:
        where = f"the whole report is in {_write(_report(error, arguments))}"
    except OSError as problem:
        where = f"no report of it could be written ({problem.strerror or problem})"
    return f"{what}; {_what_to_do(error)}; {where}"


def _what_to_do(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno]
    if isinstance(error, UnicodeError):
        return "a name or a file holds what is not UTF-8; rename it, or write it as UTF-8"
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "memory ran out; end other programs, or take a smaller --batch-size, --count or set"
    if isinstance(error, RecursionError):
        return "something given is nested too deeply; look at your files"
    if isinstance(error, ImportError):
        return "a package is missing or broken; install graftgan again"
    return "if it comes again, send in that file with what you did"


def _report(error: BaseException, arguments: Sequence[str]) -> str:
    parts = [
        f"command: graftgan {shlex.join(arguments)}",
        f"when: {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"python: {sys.version}",
        f"system: {platform.platform()}",
    ]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            parts.append(f"{package}: {version(package)}")
    return "\n".join([*parts, "", "".join(traceback.format_exception(error))])


def _write(report: str) -> Path:
    """Write a report into the cache, or if that fails into the folder for temporary files."""
    name = f"graftgan-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    content = report.encode("utf-8", errors="backslashreplace")
    with suppress(OSError, RuntimeError):  # there may be no home folder
        folder = cache_home() / "failures"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return folder / name
    path = Path(tempfile.gettempdir()) / name
    path.write_bytes(content)
    return path
