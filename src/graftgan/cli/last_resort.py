"""What nobody foresaw: one line for the person, and a file with the rest."""

import errno
import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from graftgan.core.files import cache_home
from graftgan.core.untrusted import shown

_PACKAGES = ("graftgan", "torch", "numpy", "pillow", "safetensors", "pydantic", "tyro", "rich")
_LONGEST_MESSAGE = 300  # characters
_BY_NUMBER = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some of your quota, or choose another folder",
    errno.EACCES: "see that you may read and write there, or choose another folder",
    errno.EPERM: "see that you may read and write there, or choose another folder",
    errno.EROFS: "that disk cannot be written; choose another folder",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.EIO: "that disk or terminal does not answer; look at it, and try again",
    errno.ELOOP: "links lead round in a circle there; remove one",
}
_REPORT_IT = "if it comes again, send in that file with what you did"


def in_one_line(error: BaseException, arguments: Sequence[str]) -> str:
    """Return what happened, what to do, and where the report of it lies, which is written here."""
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
    return _REPORT_IT


def _report(error: BaseException, arguments: Sequence[str]) -> str:
    parts = [
        f"command: graftgan {shlex.join(arguments)}",
        f"when: {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"python: {sys.version}",
        f"system: {platform.platform()}",
        *(f"{package}: {found}" for package, found in _versions()),
        "",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(parts)


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield package, version(package)


def _write(report: str) -> Path:
    """Write a report into the cache, or where that fails into the folder for temporary files.

    Raises:
        OSError: Neither can be written.
    """
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
