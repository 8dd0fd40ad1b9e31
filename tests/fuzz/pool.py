"""Hand out cases to forked processes; tell which case crashed or hung."""

import gc
import json
import os
import selectors
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cases import Case, Kind
from .worker import Limits, Outcome, Place, Runner, run_batch

_TICK = 0.2  # seconds
_WALL = 6  # times as many seconds of the wall clock as of the processor: the machine may be busy
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
Make = Callable[[], Sequence[Case]]
"""Makes the cases of a task; called in the process that runs them."""


@dataclass(slots=True)
class Task:
    """Cases of one kind for one process.

    Attributes:
        first: Cases with smaller numbers are done.
    """

    kind: Kind
    make: Make
    first: int = 0


@dataclass(slots=True)
class _Child:
    """A process at work."""

    task: Task
    pid: int
    pipe: int
    log: Path
    heard: bytes = b""
    running: int | None = None
    is_left: bool = False
    began: float = 0.0
    processor: float = 0.0
    outcomes: list[tuple[int, Outcome]] = field(default_factory=list[tuple[int, Outcome]])


class Pool:
    """Processes that run cases.

    Args:
        templates: Where the valid files of each kind lie, in folders of its name.
        work: An empty folder for all that is written.
        limits: Of each case.
        jobs: Processes at once.
    """

    def __init__(self, templates: Path, work: Path, limits: Limits, *, jobs: int) -> None:
        self._templates, self._work, self._limits, self._jobs = templates, work, limits, jobs
        self._selector = selectors.DefaultSelector()
        self._started = 0

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Kind, int, Outcome]]:
        """Yield kind, number and outcome of every case, as they come."""
        children: list[_Child] = []
        waiting: list[Task] = []
        gc.collect()  # a process that frees our garbage would hide as much that its cases take
        try:
            while True:
                self._refill(children, waiting, tasks)
                if not children:
                    return
                for key, _ in self._selector.select(_TICK):
                    self._hear(key.data)
                for child in list(children):
                    ended = self._look_after(child, children)
                    for number, outcome in child.outcomes:
                        yield child.task.kind, number, outcome
                    child.outcomes.clear()
                    if ended:
                        children.remove(child)
                    if ended == "again":
                        waiting.append(child.task)
        finally:
            for child in children:
                self._end(child)

    def _refill(self, children: list[_Child], waiting: list[Task], tasks: Iterator[Task]) -> None:
        """Start processes, first with what is left of other tasks."""
        while len(children) < self._jobs:
            task = waiting.pop() if waiting else next(tasks, None)
            if task is None:
                return
            children.append(self._start(task))

    def _start(self, task: Task) -> _Child:
        self._started += 1
        work = self._work / f"worker-{self._started}"
        work.mkdir(parents=True)
        log = work / "log.txt"
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            self._be_child(task, Place(self._templates / task.kind.name, work), log, writes)
        os.close(writes)
        child = _Child(task, pid, reads, log)
        self._selector.register(reads, selectors.EVENT_READ, child)
        return child

    def _be_child(self, task: Task, place: Place, log: Path, pipe: int) -> None:
        """Run the cases and end the process, whatever happens."""
        code = 1
        try:
            # Out of reach of whatever the parent has open, and of its terminal.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with log.open("w") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                cases = [case for case in task.make() if case.number >= task.first]
                run_batch(Runner(task.kind, place, self._limits, said), cases, pipe)
            code = 0
        except BaseException as error:
            with suppress(OSError), log.open("a") as said:
                said.write(f"\nthe harness failed: {error!r}\n")
        finally:
            os._exit(code)

    def _hear(self, child: _Child) -> None:
        data = os.read(child.pipe, 1 << 20)
        if not data:
            return
        *lines, child.heard = (child.heard + data).split(b"\n")
        for line in lines:
            told: dict[str, Any] = json.loads(line)
            if "begins" in told:
                child.running, child.began = told["begins"], time.monotonic()
                child.processor = _processor_seconds(child.pid)
            elif "left" in told:
                child.is_left = True
            else:
                number = told.pop("number")
                child.outcomes.append((number, Outcome(**told)))
                child.running, child.task.first = None, number + 1

    def _look_after(self, child: _Child, children: list[_Child]) -> str:
        """Return ``ended``, or ``again`` where cases are left; nothing while it works."""
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid == 0 and not self._hangs(child):
            return ""
        if pid == 0:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        self._drain(child)
        again = child.running is not None or child.is_left
        if child.running is not None:
            self._note_end(child, "hang" if pid == 0 else _words_of(status))
        failure = "" if again or not status else f"{_words_of(status)}: {_tail(child.log)}"
        self._end(child, reaped=True)
        if failure:
            children.remove(child)
            raise RuntimeError(f"a worker failed, {failure}")
        return "again" if again else "ended"

    def _note_end(self, child: _Child, words: str) -> None:
        """Lay the end of a process to the case that ran."""
        assert child.running is not None
        said = _tail(child.log)
        verdict = "hang" if words == "hang" else "crash"
        outcome = Outcome(
            verdict=verdict,
            where=_place_in(said) if verdict == "hang" else f"{words} {_place_in(said)}",
            text=f"{words}\n{said}",
            seconds=time.monotonic() - child.began,
        )
        child.outcomes.append((child.running, outcome))
        child.task.first, child.running = child.running + 1, None

    def _hangs(self, child: _Child) -> bool:
        if child.running is None:
            return False
        limit = self._limits.seconds
        spent = _processor_seconds(child.pid) - child.processor
        return spent > limit or time.monotonic() - child.began > _WALL * limit

    def _drain(self, child: _Child) -> None:
        os.set_blocking(child.pipe, False)
        with suppress(BlockingIOError):
            while True:
                before = len(child.outcomes), child.heard
                self._hear(child)
                if (len(child.outcomes), child.heard) == before:
                    return

    def _end(self, child: _Child, *, reaped: bool = False) -> None:
        if not reaped:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        shutil.rmtree(child.log.parent, ignore_errors=True)


def in_another_process(call: Callable[[], object]) -> None:
    """Call something in a forked process, and wait for it.

    Raises:
        RuntimeError: It failed; the reason stands on the screen.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            call()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the valid files cannot be made; see above")


def _processor_seconds(pid: int) -> float:
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
    return 0.0


def _words_of(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _tail(log: Path) -> str:
    with suppress(OSError):
        return log.read_text(errors="replace")[-6_000:]
    return ""


def _place_in(said: str) -> str:
    """Return the innermost function of graftgan in what ``faulthandler`` wrote last."""
    for line in said.rpartition("Timeout (")[2].splitlines():
        file, _, rest = line.strip().removeprefix('File "').partition('"')
        if "/graftgan/" in file:
            return f"{file.rpartition('/graftgan/')[2]}:{rest.rpartition(' in ')[2]}"
    return ""
