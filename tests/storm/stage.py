"""One disturbed command: its folder, its processes, and what a person does afterwards."""

import json
import random
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storm.children import Child, fork, start
from storm.contents import Contents, differences, leftovers, names_of
from storm.events import Trap
from storm.scenarios import OUT, Scenario

PATIENCE_S = 120.0  # that one command may take before it counts as hanging
_MOST_ROUNDS = 7  # commands until a disturbed one is done
_AGAIN_SHARE = 0.25  # of the resumes, in which the person types the first command again

_DAMAGED = re.compile(r"remove the folder (\S+) to go on")


class FaultError(Exception):
    """What was found wrong, in words; the case ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The unbroken command.

    Attributes:
        contents: What it left.
        seconds: It took.
        events: Its file events, by name; empty: not counted.
        size: Bytes in its folder.
    """

    contents: Contents
    seconds: float
    events: Mapping[str, int]
    size: int


@dataclass(slots=True, kw_only=True)
class Stage:
    """Where one case takes place.

    Attributes:
        scenario: The command.
        home: The materials.
        folder: Of the case: screens, and ``root``, in which the command works.
        twin: What an unbroken command leaves.
        rng: Draws whatever is random.
        plant: Puts a fault into each command; None: they are as they are.
        faults: What was found wrong, in words.
        kills: So often a process was ended or disturbed.
        refusals: So often a command was refused with advice that was then followed.
        compares: Whether the end must be that of the twin.
        first_word: Seconds from a signal to the first word on the screen, the longest.
        to_checkpoint: Seconds from a signal to a new checkpoint, the longest.
    """

    scenario: Scenario
    home: Path
    folder: Path
    twin: Twin
    rng: random.Random
    plant: Callable[[], None] | None = None
    faults: list[str] = field(default_factory=list[str])
    kills: int = 0
    refusals: int = 0
    compares: bool = True
    first_word: float | None = None
    to_checkpoint: float | None = None
    _children: list[Child] = field(default_factory=list[Child])
    _mounted: bool = False

    @property
    def root(self) -> Path:
        """The folder in which the command works."""
        return self.folder / "root"

    @property
    def out(self) -> Path:
        """The folder that the command writes."""
        return self.root / OUT

    def start(self, words: Sequence[str] | None = None, trap: Trap | None = None) -> Child:
        """Start a command; without ``words``, what comes next."""
        self.root.mkdir(parents=True, exist_ok=True)
        screen = self.folder / f"screen-{len(self._children)}.txt"
        given = list(self.next_words() if words is None else words)
        child = start(
            given,
            root=self.root,
            screen=screen,
            program=self.scenario.program,
            trap=trap,
            before=self.plant,
        )
        self._children.append(child)
        return child

    def wait(self, child: Child, seconds: float = PATIENCE_S) -> int:
        """Return the exit code of a command.

        Raises:
            FaultError: It does not end.
        """
        code = child.wait(seconds)
        if code is None:
            child.end()
            raise FaultError(f"it hangs: not over after {seconds:g} s; {_tail(child.said())}")
        said = child.said()
        ours = self.scenario.program != "torchrun" or "graftgan/cli" in said  # it shows its own
        if "Traceback" in said and ours:
            self.faults.append(f"a traceback on the screen: {_tail(said)}")
        return code

    def next_words(self) -> list[str]:
        """Return the words that a person types now: from the start, or to go on."""
        marker = self.scenario.marker
        if marker is None or not (self.out / marker).is_file():
            return self.scenario.command(self.home)
        if self.rng.random() < _AGAIN_SHARE:
            return self.scenario.command(self.home)
        return self.scenario.resume(self.home)

    def finish(self) -> None:
        """Type what a person would until the command is done, and follow advice.

        Raises:
            FaultError: It cannot be finished.
        """
        words = self.next_words()
        for _ in range(_MOST_ROUNDS):
            child = self.start(words)
            code = self.wait(child)
            said = child.said()
            if (code == 0 and not _DAMAGED.search(said)) or _is_done(said):
                return
            words = self._advised(code, said, words)
        raise FaultError(
            f"not done after {_MOST_ROUNDS} commands; {_tail(self._children[-1].said())}"
        )

    def look(self) -> None:
        """Check that every run folder can be read as it stands, on a copy."""
        copy = self.folder / "look"
        shutil.rmtree(copy, ignore_errors=True)
        if not self.scenario.runs(self.root):
            return
        shutil.copytree(self.root, copy)
        child = fork(lambda: _read(self.scenario, copy), root=copy, screen=self.folder / "look.txt")
        if child.wait(PATIENCE_S) != 0:
            self.faults.append(f"the folder cannot be read: {_tail(child.said())}")
        child.end()
        shutil.rmtree(copy, ignore_errors=True)

    def compare(self) -> None:
        """Compare what is there with the twin."""
        left = leftovers(self.root)
        if left:
            self.faults.append(f"left behind: {names_of(left)}")
        if self.compares:
            words = differences(self.scenario.contents(self.out), self.twin.contents)
            self.faults += [names_of(words)] if words else []

    def mount(self, size: int) -> bool:
        """Put the command's folder onto a disk of ``size`` bytes; return whether that works."""
        self.root.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "storm", str(self.root)]
        self._mounted = sys.platform == "linux" and _succeeds(words)
        return self._mounted

    def free_space(self) -> None:
        """Give the mounted disk space."""
        if not _succeeds(["mount", "-o", "remount,size=1g", str(self.root)]):
            raise FaultError("the harness cannot enlarge the disk")

    def close(self, *, keep: bool) -> None:
        """End every process, and remove the folder unless it is to be kept."""
        for child in self._children:
            child.end()
        if self._mounted:
            if keep:
                shutil.copytree(self.root, self.folder / "root-of-the-full-disk")
            _succeeds(["umount", "-l", str(self.root)])
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _advised(self, code: int, said: str, words: list[str]) -> list[str]:
        """Follow the advice on a screen; return the next command.

        Raises:
            FaultError: There is none.
        """
        self.refusals += code == 2
        damaged = _DAMAGED.search(said)
        if damaged:
            folder = (self.root / damaged[1]).resolve()
            if not folder.is_dir() or not folder.is_relative_to(self.root.resolve()):
                raise FaultError(f"advice that leads nowhere: {_tail(said)}")
            self.refusals += code != 2
            self.compares &= not self.scenario.learns  # the trial has ended after later ones
            shutil.rmtree(folder)
            return words
        resumed = re.search(r"--resume (\S*\w)", said)
        if resumed:
            return [words[0], "--resume", resumed[1]]
        raise FaultError(f"refused without advice (exit code {code}): {_tail(said)}")


def checkpoints_of(run: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    found = [path for path in (run / "checkpoints").glob("[0-9]*") if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def state_of(run: Path) -> str:
    """Return the state on the card of a run; empty: it has no readable card."""
    with suppress(OSError, ValueError, KeyError):
        return str(json.loads((run / "card.json").read_text())["state"])
    return ""


def has_begun(run: Path) -> bool:
    """Return whether a run has done an iteration."""
    with suppress(OSError):
        return (run / "log.jsonl").stat().st_size > 0
    return False


def _is_done(said: str) -> bool:
    """Return whether a refusal says that nothing is left to do."""
    return "was ended by its scores" in said or "exists already" in said


def _read(scenario: Scenario, root: Path) -> int:
    """Load every run of a folder and write its page; return an exit code."""
    from graftgan import cli
    from graftgan.experiments.run_folder import load_run

    code = 0
    for run in scenario.runs(root):
        try:
            if checkpoints_of(run):
                load_run(run)
            code |= cli.main(["report", str(run)])
        except Exception:
            traceback.print_exc()
            code = 1
    return code


def _succeeds(words: list[str]) -> bool:
    with suppress(OSError):
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    return False


def _tail(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-2:])[-400:] or "nothing on the screen"
