"""Standard output and error that never raise: what cannot be written is told at the end.

A command may be at work for days, and its terminal, its pipe or its disk may go away. That ends no
training; but a command whose words were lost does not end as if all were well.
"""

import errno
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO, cast

_BROKEN_PIPE_CODE = 141  # 128 + SIGPIPE, as if it had ended the process


class SturdyStream(io.TextIOBase):
    """A text stream whose writing never fails.

    Letters that its encoding lacks are written as escapes. After the first failure nothing more is
    written, and ``lost`` says why.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to ``stream``; None: Python found it closed."""
        self._stream = stream
        self.lost: OSError | ValueError | None = None

    def write(self, text: str, /) -> int:
        """Write ``text`` as far as that is possible."""
        if self._stream is None:
            self.lost = OSError(errno.EBADF, "it is closed")
        elif self.lost is None:
            try:
                self._stream.write(self._fitting(text))
            except (OSError, ValueError) as error:  # a closed file raises ValueError
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None and self.lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Return whether it is a terminal that is still there."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self.lost is None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the number of the file below it.

        Raises:
            OSError: There is none.
        """
        if self._stream is None:
            raise OSError(errno.EBADF, "it is closed")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How letters become bytes."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        """Return what else the stream has, such as ``buffer``."""
        return getattr(self.__dict__.get("_stream"), name)

    def _fitting(self, text: str) -> str:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        return text

    def _give_up(self, error: OSError | ValueError) -> None:
        self.lost = error
        with suppress(OSError, ValueError):  # else Python complains of what is still buffered
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


@dataclass(frozen=True, slots=True)
class Streams:
    """What a command prints to."""

    output: SturdyStream
    errors: SturdyStream

    def code_after(self, code: int) -> int:
        """Return the exit code: that of the command, but never 0 where its words were lost."""
        self.output.flush()
        lost = self.output.lost
        if lost is not None and code == 0:
            if isinstance(lost, BrokenPipeError):  # who reads had enough, such as `head`
                code = _BROKEN_PIPE_CODE
            else:
                code = 2
                reason = getattr(lost, "strerror", None) or str(lost)
                self.errors.write(
                    f"graftgan: what it printed is lost, since standard output fails: {reason}; "
                    "all else was done\n"
                )
        self.errors.flush()
        return code


@contextmanager
def sturdy_streams() -> Generator[Streams]:
    """Let everything that is printed inside the block go to sturdy streams."""
    _occupy_closed()
    before = cast("TextIO | None", sys.stdout), cast("TextIO | None", sys.stderr)
    streams = Streams(SturdyStream(before[0]), SturdyStream(before[1]))
    sys.stdout, sys.stderr = cast("TextIO", streams.output), cast("TextIO", streams.errors)
    try:
        yield streams
    finally:
        streams.output.flush()
        streams.errors.flush()
        sys.stdout = before[0] or cast("TextIO", streams.output)
        sys.stderr = before[1] or cast("TextIO", streams.errors)


def _occupy_closed() -> None:
    """Open what is closed of the first three files, so that no checkpoint becomes one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
