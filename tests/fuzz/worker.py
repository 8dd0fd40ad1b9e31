"""Run cases in a process of their own, under limits, and say what became of each."""

import contextlib
import ctypes
import faulthandler
import io
import json
import os
import re
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO

from graftgan.core.errors import GraftganError

from .cases import Case, Kind, write_case
from .commands import CONTROL, Step, as_step
from .outcomes import WrongError
from .sentinel import CodeRanError, Sentinel

Verdict = Literal[
    "accepted", "refused", "error", "message", "code", "memory", "left over", "wrong", "crash",
    "hang",
]  # fmt: skip
GOOD: frozenset[str] = frozenset({"accepted", "refused"})
WAS_RUN = "was_run"
"""A file that payloads in the inputs would make."""
LONGEST_MESSAGE = 2_000  # letters
_GIGABYTE = 2**30
_MOST_SECONDS = 1_800  # of a whole process: none hangs for ever if its parent was killed
_NO_MEMORY = re.compile(r"MemoryError|too large for the memory|allocate memory|enough memory")
_ORDER: tuple[Verdict, ...] = (
    "code", "memory", "error", "wrong", "message", "left over", "refused"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a case may cost.

    Attributes:
        seconds: Of the processor, for each call, as it stands for a command that a person gives; of
            the wall clock, six times as many, for a busy machine.
        memory: Bytes beyond what the process had before the case.
    """

    seconds: float = 10.0
    memory: int = _GIGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case.

    Attributes:
        where: The entry point, and the last place in graftgan.
        text: The message, or the traceback.
        seconds: Of the slowest call, by the wall clock.
    """

    verdict: Verdict
    where: str = ""
    text: str = ""
    seconds: float = 0.0
    peak: int = 0

    @property
    def signature(self) -> str:
        """Findings of one signature are taken for one fault."""
        return f"{self.verdict} at {self.where}"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of a worker.

    Attributes:
        template: Valid files of the kind.
        work: Where cases are written, and all that may be written to.
    """

    template: Path
    work: Path


class Runner:
    """Runs cases in this process; to be used in one that ends afterwards."""

    def __init__(self, kind: Kind, place: Place, limits: Limits, log: TextIO) -> None:
        self._kind, self._place, self._limits, self._log = kind, place, limits, log
        home = place.work / "home"
        home.mkdir(parents=True, exist_ok=True)
        for name in ("HOME", "TMPDIR", "GRAFTGAN_CACHE", "GRAFTGAN_SOURCES"):
            os.environ[name] = str(home)
        _limit_memory(limits.memory)
        faulthandler.enable(log)
        self._sentinel = Sentinel([place.work, home])
        self._began_with = _address_space()

    @property
    def is_worn(self) -> bool:
        """Whether cases have left so much in memory that it would be laid to the next."""
        return _address_space() - self._began_with > self._limits.memory // 4

    def run(self, case: Case, begins: Callable[[], None]) -> Outcome:
        """Return what became of a case; a crash and a hang are for the parent to tell.

        ``begins`` is called before each call that is timed.
        """
        folder = self._place.work / f"case-{case.number}"
        write_case(case.files, self._place.template, folder, case.odd)
        steps = dict(self._kind.steps)
        if case.through_command and self._kind.commands:
            commands = self._kind.commands
            steps["command"] = as_step(commands[case.number // 7 % len(commands)])
        os.chdir(folder)
        _forget_peak()
        before, outcomes, seconds = _peak(), [], 0.0
        for name, step in steps.items():
            begins()
            dump_after = 0.9 * self._limits.seconds
            faulthandler.dump_traceback_later(dump_after, repeat=True, file=self._log)
            begin = time.perf_counter()
            outcomes.append(self._call(name, step, folder))
            seconds = max(seconds, time.perf_counter() - begin)
            faulthandler.cancel_dump_traceback_later()
        peak = max(0, _peak() - before)
        worst = self._worst(outcomes, folder, peak)
        os.chdir(self._place.work)
        shutil.rmtree(folder, ignore_errors=True)
        return replace(worst, seconds=seconds, peak=peak)

    def _call(self, name: str, step: Step, folder: Path) -> Outcome:
        """Call one entry point."""
        said = io.StringIO()
        try:
            with (
                self._sentinel,
                warnings.catch_warnings(),
                contextlib.redirect_stdout(said),
                contextlib.redirect_stderr(said),
            ):
                warnings.simplefilter("ignore")
                step(folder)
            outcome = Outcome(verdict="accepted", where=name)
        except GraftganError as error:
            outcome = _refusal(name, error)
        except WrongError as error:
            outcome = Outcome(verdict="wrong", where=f"{name}, {error.what}", text=str(error))
        except CodeRanError as error:
            outcome = Outcome(verdict="code", where=name, text=str(error))
        except BaseException as error:
            outcome = _error(name, error)
        if self._sentinel.noticed and outcome.verdict != "code":  # somebody caught it
            outcome = Outcome(verdict="code", where=name, text="; ".join(self._sentinel.noticed))
        return outcome

    def _worst(self, outcomes: list[Outcome], folder: Path, peak: int) -> Outcome:
        names = [outcome.where for outcome in outcomes]
        if (folder / WAS_RUN).exists():
            outcomes.append(Outcome(verdict="code", where="payload", text="its payload was run"))
        if peak > self._limits.memory:
            text = f"{peak / 2**20:.0f} MB beyond what there was"
            outcomes.append(Outcome(verdict="memory", where=" or ".join(names), text=text))
        partial = sorted(str(p.relative_to(folder)) for p in folder.rglob(".*.partial-*"))
        if partial:
            outcomes.append(Outcome(verdict="left over", where=names[0], text=", ".join(partial)))
        for verdict in _ORDER:
            for outcome in outcomes:
                if outcome.verdict == verdict:
                    return outcome
        return outcomes[0]


def _refusal(name: str, error: GraftganError) -> Outcome:
    """Return the outcome of a refusal: good, if its message is one line that can be shown."""
    said = str(error)
    where = f"{name}, {type(error).__name__} {_last_place(error)}"
    if _NO_MEMORY.search(said):
        return Outcome(verdict="memory", where=where, text=said[:LONGEST_MESSAGE])
    if not said.strip():
        return Outcome(verdict="message", where=where, text="the message is empty")
    if len(said) >= LONGEST_MESSAGE:  # a longer one was cut to it, with the advice at its end
        text = f"{len(said)} letters: {said[:200]!r}"
        return Outcome(verdict="message", where=f"{where}, too long", text=text)
    if "\n" in said or CONTROL.search(said):
        text = f"more than a line of plain text: {said!r}"
        return Outcome(verdict="message", where=f"{where}, control characters", text=text)
    return Outcome(verdict="refused", where=where, text=said)


def _error(name: str, error: BaseException) -> Outcome:
    kind = type(error).__name__
    where = f"{name}, {kind} {_last_place(error)}"
    lines = "".join(traceback.format_exception(error, limit=-8))[-4_000:]
    no_memory = isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)[:LONGEST_MESSAGE])
    return Outcome(verdict="memory" if no_memory else "error", where=where, text=lines)


def _last_place(error: BaseException) -> str:
    """Return the last function of graftgan that an error passed."""
    place = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if "/graftgan/" in file:
            place = f"{file.rpartition('/graftgan/')[2]}:{frame.f_code.co_name}"
    return place


def run_batch(runner: Runner, cases: Sequence[Case], pipe: int) -> None:
    """Run cases one after the other and tell the parent of each, as lines of JSON.

    A process that keeps memory of its cases ends early, and says that some are left.
    """
    for place, case in enumerate(cases, start=1):
        begins = partial(_tell, pipe, {"begins": case.number})
        begins()
        _tell(pipe, {"number": case.number, **asdict(runner.run(case, begins))})
        if runner.is_worn and place < len(cases):
            _tell(pipe, {"left": True})  # what follows gets a process with all its memory
            return


def _tell(pipe: int, line: Mapping[str, Any]) -> None:
    left = json.dumps(line).encode() + b"\n"
    while left:
        left = left[os.write(pipe, left) :]


def _limit_memory(memory: int) -> None:
    """Let allocations far beyond the limit fail, so that the machine does not suffer."""
    most = _address_space() + memory + memory // 2
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))


def _address_space() -> int:
    """Return how much memory this process has asked for, in bytes."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0


def _forget_peak() -> None:
    """Let the peak begin anew, where the system can.

    Freed memory that the allocator keeps goes back first: what a case takes of it would not show.
    """
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the most memory so far, in bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    factor = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor
