"""Real commands in processes of their own, forked from one that has imported everything."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Literal

from storm.events import Trap, Watch

Program = Literal["fork", "python", "torchrun"]
_POLL_S = 0.004
_STARTERS: dict[Program, list[str]] = {
    "python": ["-m", "graftgan"],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                 "-m", "graftgan"],
}  # fmt: skip


@dataclass(slots=True)
class Child:
    """A command at work.

    Attributes:
        pid: Of its process, which leads a process group.
        screen: The file that gets what it says.
        code: Its exit code once it is over, negative for the signal that ended it.
    """

    pid: int
    screen: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None: it is at work."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, or None if it is still at work after ``seconds``."""
        limit = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < limit:
            time.sleep(_POLL_S)
        return self.code

    def send(self, number: int) -> bool:
        """Send a signal; return whether the process was alive."""
        if self.poll() is not None:
            return False
        os.kill(self.pid, number)
        return True

    def said(self) -> str:
        """Return what stands on its screen."""
        return self.screen.read_text(encoding="utf-8", errors="replace")

    def descendants(self) -> list[int]:
        """Return the processes that it and its own children started, in no order."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                words = stat.read_text().rpartition(")")[2].split()
                parents[int(stat.parent.name)] = int(words[1])
        found, front = list[int](), [self.pid]
        while front:
            front = [pid for pid, parent in parents.items() if parent in front]
            found += front
        return found

    def end(self) -> None:
        """Kill it and whatever it started."""
        pids = self.descendants() if self.poll() is None else []
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait(30)


def start(
    words: Sequence[str],
    *,
    root: Path,
    screen: Path,
    program: Program = "fork",
    trap: Trap | None = None,
    before: Callable[[], None] | None = None,
) -> Child:
    """Start ``graftgan`` with ``words`` in the folder ``root``.

    Of a forked command alone: its file events meet ``trap``, and are counted beside ``screen``;
    ``before`` is called in its process.
    """

    def work() -> int:
        from graftgan import cli

        if program != "fork":
            os.execv(sys.executable, [sys.executable, *_STARTERS[program], *words])
        sys.argv = ["graftgan", *words]
        if before is not None:
            before()
        watch = None if trap is None else Watch(root, trap)
        try:
            return cli.main(words)
        finally:
            if watch is not None:
                count_file(screen).write_text(json.dumps(watch.names))

    return fork(work, root=root, screen=screen)


def count_file(screen: Path) -> Path:
    """Return the file with how many file events each name had, as JSON."""
    return screen.with_suffix(".events.json")


def fork(work: Callable[[], int], *, root: Path, screen: Path) -> Child:
    """Do ``work`` in a process of its own, with caches and sources below ``root``."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        with suppress(OSError):  # both set it, so that it is set for both
            os.setpgid(pid, pid)
        return Child(pid, screen)
    code = 70
    try:
        _settle(root, screen)
        code = work()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except KeyboardInterrupt:  # before the command was there to hear it
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 71
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def _settle(root: Path, screen: Path) -> None:
    """Make this forked process look like one that a shell has started in ``root``."""
    with suppress(OSError):
        os.setpgid(0, 0)
    os.chdir(root)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    shown = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor, number in ((nowhere, 0), (shown, 1), (shown, 2)):
        os.dup2(descriptor, number)
    sys.stdout = TextIOWrapper(BufferedWriter(FileIO(1, "w")), encoding="utf-8")
    sys.stderr = TextIOWrapper(
        BufferedWriter(FileIO(2, "w")), encoding="utf-8", line_buffering=True
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(
        GRAFTGAN_CACHE=str(root / "cache"),
        GRAFTGAN_SOURCES=str(root / "sources"),
        COLUMNS="200",
        OMP_NUM_THREADS="1",
    )
