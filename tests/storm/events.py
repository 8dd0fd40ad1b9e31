"""File events of a process: counted, or the moment for a kill or a full disk."""

import errno
import os
import re
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_CHANGES = frozenset(
    {
        "os.rename",
        "os.mkdir",
        "os.remove",
        "os.rmdir",
        "os.truncate",
        "os.link",
        "os.symlink",
        "shutil.rmtree",
        "shutil.copyfile",
        "sqlite3.connect",
    }
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NEEDS_SPACE = frozenset({"open", "os.mkdir"})


@dataclass(frozen=True, slots=True)
class Trap:
    """What happens at the file events of a process.

    Attributes:
        act: ``count``: nothing. ``kill``: SIGKILL just before event ``at``. ``full``: from event
            ``at`` on, whatever needs space fails with ENOSPC: all but locks that are there.
        at: Number of the event; the first is 1.
        name: Count the events of this name alone, see :func:`plain_name`; empty: all.
    """

    act: Literal["count", "kill", "full"] = "count"
    at: int = 0
    name: str = ""


class Watch:
    """Watches the writes of this process below ``root``, from now until it ends."""

    def __init__(self, root: Path, trap: Trap) -> None:
        self.names: Counter[str] = Counter()
        self._root, self._trap = root, trap
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if len(arguments) < 3 or not (arguments[2] or 0) & _WRITES:
                return
        elif event not in _CHANGES:
            return
        if not self._is_inside(arguments[0]):
            return
        name, trap = plain_name(arguments[0]), self._trap
        self.names[name] += 1
        count = self.names[trap.name] if trap.name else self.names.total()
        if trap.act == "kill" and count == trap.at and trap.name in {"", name}:
            os.kill(os.getpid(), signal.SIGKILL)
        if trap.act == "full" and count >= trap.at and _needs_space(event, arguments[0]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    def _is_inside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a descriptor, or SQLite's connection
        return Path(os.fsdecode(path)).absolute().is_relative_to(self._root)


def _needs_space(event: str, path: Any) -> bool:
    name = Path(os.fsdecode(path))
    return event in _NEEDS_SPACE and not (name.name.endswith("lock") and name.exists())


def plain_name(path: Any) -> str:
    """Return the name that a file will have, with one # for each number in it."""
    name = Path(os.fsdecode(path)).name
    while found := re.fullmatch(r"\.(.+)\.partial-.*", name):
        name = found[1]
    return re.sub(r"\d+", "#", name)
