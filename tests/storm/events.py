"""File events of a process: counted, or the moment for a kill or a full disk."""

import errno
import os
import signal
import sys
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
            ``at`` on, whatever needs space fails with ENOSPC.
        at: Number of the event; the first is 1.
    """

    act: Literal["count", "kill", "full"] = "count"
    at: int = 0


class Watch:
    """Watches the writes of this process below ``root``, from now until it ends."""

    def __init__(self, root: Path, trap: Trap) -> None:
        self.count = 0
        self._root, self._trap = str(root), trap
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if len(arguments) < 3 or not (arguments[2] or 0) & _WRITES:
                return
        elif event not in _CHANGES:
            return
        if not self._is_inside(arguments[0]):
            return
        self.count += 1
        if self._trap.act == "kill" and self.count == self._trap.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._trap.act == "full" and self.count >= self._trap.at and event in _NEEDS_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    def _is_inside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a descriptor, or SQLite's connection
        return os.path.abspath(os.fsdecode(path)).startswith(self._root)
