"""A watch for code that runs: an audit hook that stops what no reader has to do.

Python tells audit hooks of what matters before it happens (PEP 578). A hook cannot be removed, so
it is added in processes that end with their cases.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

_NEVER = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill",
    "os.startfile", "subprocess.Popen", "pty.spawn", "socket.connect", "socket.bind",
    "socket.getaddrinfo", "socket.sendto", "ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function",
    "pickle.find_class", "code.__new__", "webbrowser.open", "urllib.Request", "builtins.input",
    "shutil.unpack_archive", "sys.addaudithook", "sys.settrace",
)  # fmt: skip
_MAKES_CODE = ("exec", "compile", "marshal.load", "marshal.loads")
_CHANGES = {
    "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.truncate": (0,), "os.chmod": (0,),
    "os.chown": (0,), "os.utime": (0,), "os.rename": (0, 1), "os.link": (0, 1), "os.symlink": (1,),
    "shutil.rmtree": (0,), "shutil.move": (0, 1),
}  # fmt: skip
_FOLLOW_LINKS = {"os.truncate", "os.chmod", "os.chown", "os.utime"}  # the others change the link
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Who may turn text into code: the import system, and libraries that build classes and templates.
_BUILDERS = (
    "<frozen importlib", "/dataclasses.py", "/collections/__init__.py", "/typing.py", "/enum.py",
    "/functools.py", "/ast.py", "/jinja2/", "/pydantic/", "/tyro/", "/attr/",
    "/inspect.py", "/torch/",
)  # fmt: skip
# Training tells the memory allocator of the C library how to work.
_TUNERS = ("/graftgan/training/hardware.py",)
_NEAREST = 6  # callers
_HELPERS = frozenset({"encodings", "unicodedata", "PIL", "lzma", "bz2", "zipfile"})


class CodeRanError(BaseException):
    """What was about to happen, at the moment it was stopped; no reader catches it by accident."""


class Sentinel:
    """Notices, and stops, what a reader of files has no reason to do.

    Args:
        writable: Folders in which files may be written, moved and removed.
    """

    def __init__(self, writable: Iterable[Path]) -> None:
        self.noticed: list[str] = []
        self._armed = False
        self._here = threading.local()
        self._writable = [os.path.realpath(path) + os.sep for path in writable]
        self._known = {name.partition(".")[0] for name in sys.modules} | _HELPERS
        sys.addaudithook(self._hear)

    def __enter__(self) -> "Sentinel":
        self.noticed.clear()
        self._armed = True
        return self

    def __exit__(self, *_: object) -> None:
        self._armed = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed or getattr(self._here, "judges", False):
            return
        self._here.judges = True  # conditioned_on opens files and links itself
        try:
            told = self._judge(event, arguments)
        finally:
            self._here.judges = False
        if told:
            told = f"{told}, asked for by {_callers_in_words()}"
            self.noticed.append(told)
            raise CodeRanError(told)

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> str:
        """Return what is wrong with an event, or nothing."""
        if event in _NEVER:
            if event.startswith("ctypes.") and _is_caused_by(_TUNERS):
                return ""
            return f"{event} {_shown(arguments)}"
        if event in _CHANGES:
            return self._changes(event, arguments)
        if event == "open":
            return self._opens(*arguments)
        if event == "import":
            top = str(arguments[0]).partition(".")[0]
            allowed = top in self._known or _is_caused_by(_BUILDERS)
            return "" if allowed else f"import {arguments[0]}"
        if event in _MAKES_CODE:
            return "" if _is_caused_by(_BUILDERS) else f"{event} {_shown(arguments)}"
        return ""

    def _opens(self, path: Any, mode: Any, flags: Any) -> str:
        writes = bool(flags & _WRITES) if isinstance(flags, int) else False
        writes = writes or (isinstance(mode, str) and bool(set(mode) & set("wax+")))
        if not writes or isinstance(path, int) or self._is_writable(path):
            return ""
        return f"open for writing {_shown((path,))}"

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> str:
        if any(isinstance(a, int) and a > 0 for a in arguments[-2:]) and event != "os.mkdir":
            within = arguments[-1]  # relative to an open folder, as shutil.rmtree does it
            if isinstance(within, int) and within > 0:
                return ""
        if event == "os.mkdir" and Path(os.fsdecode(arguments[0])).is_dir():
            return ""  # which makes nothing
        follows = event in _FOLLOW_LINKS
        paths = [arguments[n] for n in _CHANGES[event]]
        wrong = [path for path in paths if not self._is_writable(path, follows=follows)]
        return f"{event} {_shown(wrong)}" if wrong else ""

    def _is_writable(self, path: Any, *, follows: bool = True) -> bool:
        if isinstance(path, int):
            return True
        name = Path(os.fsdecode(path)).absolute()
        place = str(name.resolve() if follows else name.parent.resolve() / name.name)
        allowed = any((place + os.sep).startswith(root) for root in self._writable)
        return allowed or place in (os.devnull, "/proc/self/clear_refs")


def _callers(count: int) -> Iterator[FrameType]:
    """Yield who caused an event, the nearest first; this file is left out."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and count:
        if frame.f_code.co_filename != __file__:
            count -= 1
            yield frame
        frame = frame.f_back


def _is_caused_by(files: Sequence[str]) -> bool:
    """Return whether one of the nearest callers of an event lies in some files."""
    names = [frame.f_code.co_filename for frame in _callers(_NEAREST)]
    return any(part in name for name in names for part in files)


def _callers_in_words() -> str:
    return " < ".join(
        f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
        for frame in _callers(2 * _NEAREST)
    )


def _shown(arguments: Iterable[Any]) -> str:
    return ", ".join(repr(argument)[:120] for argument in arguments)
