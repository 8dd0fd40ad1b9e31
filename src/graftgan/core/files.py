"""Atomic writes of files and folders, JSON and JSON lines, and locks between processes.

If something cannot be written, a ``RunError`` says why and what to do.
"""

import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from io import FileIO
from itertools import chain, count
from pathlib import Path
from typing import Any, cast

from graftgan.core.errors import GraftganError, RunError, shown

_LONGEST_NAME = 100  # bytes; the name of a partial file is longer, and file systems allow 255
_DAY_S = 86_400
_DEEPEST = 64  # levels of JSON or TOML
_CHECK = "line_check"  # the key of a line's checksum
_ASIDE = ".old"  # suffix of a folder that is about to be replaced
_HASHED = "sha256-"  # prefix of the short form of a long name
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space or choose another folder"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"
    ),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR), "a part of the path is a file; choose another folder"
    ),
    **dict.fromkeys((errno.ELOOP, errno.EINVAL), "remove it"),
    errno.EISDIR: "choose another name",
    errno.EFBIG: "the limit on the size of a file is reached; raise it or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "the folder was moved or deleted meanwhile, or never existed",
    errno.ENOTEMPTY: "another process has put something there meanwhile; choose another folder",
}
LARGEST_TEXT = 128 << 20
"""Bytes in a file of JSON, JSON lines, TOML or addresses; more than any of ours."""
LOCK = ".lock"
"""The lock file of a folder that only one process at a time may write."""


@contextmanager
def written_whole(path: Path, *, replace: bool = True) -> Generator[Path]:
    """Yield a temporary path beside ``path``; move it to ``path`` if the block succeeds.

    The block creates a file or a folder at the temporary path. After an error or a kill, ``path``
    is unchanged. The next process that writes there removes what a killed one left. Without
    ``replace``, a folder at ``path`` must be empty.
    """
    partial = _partial_of(path)
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            clear_killed(path.parent)
            _remove(partial)
            yield partial
            _flush_to_disk(partial)
            _put_in_place(partial, path, replace=replace)
    finally:
        _remove(partial)


@contextmanager
def _explained(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another folder")
        raise RunError(f"cannot write {path}: {error.strerror or error}; {advice}") from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with written_whole(path) as partial:
        partial.write_bytes(content)


def make_folder(path: Path) -> None:
    """Make a folder if there is none yet."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)


def append_text(path: Path, text: str) -> None:
    """Append ``text`` to ``path``, as :func:`append_bytes` does."""
    append_bytes(path, text.encode("utf-8"))


def append_bytes(path: Path, content: bytes) -> None:
    """Append all of ``content`` to ``path`` in one system call, or nothing."""
    with _explained(path), _opened_to_append(path) as handle:
        before = os.fstat(handle.fileno()).st_size
        try:
            if handle.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with suppress(OSError):
                handle.truncate(before)
            raise


def _opened_to_append(path: Path) -> FileIO:
    """Open our own file, or make it; OSError: it is a link or a pipe."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, which may lead anywhere")
    if path.is_fifo():
        raise OSError(errno.EINVAL, "it is a pipe, not a file")
    return path.open("ab+", buffering=0)


def require_file(path: Path, *, largest: int | None = None) -> None:
    """Raise OSError if ``path`` is no regular file, or one of more than ``largest`` bytes.

    A pipe makes its reader wait for ever, and a device may never end.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
    if largest is not None and status.st_size > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest >> 20} MB, as no such file is")


def content_of(path: Path, *, largest: int = LARGEST_TEXT) -> bytes:
    """Return what a file holds; OSError: it cannot be read, or :func:`require_file` refuses it."""
    require_file(path, largest=largest)
    return path.read_bytes()


def append_jsonl(path: Path, *lines: Mapping[str, Any]) -> None:
    """Append ``lines`` as JSON lines with checksums, all of them or none."""
    append_text(path, as_checked_jsonl(lines))


def as_checked_jsonl(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return ``lines`` as JSON lines, each with its checksum."""
    checked = ({**line, _CHECK: _seal(line)[:8]} for line in lines)
    return "".join(json.dumps(line) + "\n" for line in checked)


def as_jsonl(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return ``lines`` as JSON lines; lone surrogates, which UTF-8 cannot encode, are escaped."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return text.encode("utf-8", errors="backslashreplace").decode()


def write_jsonl(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write ``lines`` to a JSON-lines file atomically."""
    write_text(path, as_jsonl(lines))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the undamaged objects of a JSON-lines file, oldest first."""
    return list(read_numbered_jsonl(path)[0].values())


def read_numbered_jsonl(path: Path) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Return the objects of a JSON-lines file by line number, and a message for each damaged line.

    A line is damaged if it is no JSON object or does not match its checksum. The last line of a
    killed run may be cut short. A missing file counts as empty. RunError: it cannot be read.
    """
    whole: dict[int, dict[str, Any]] = {}
    problems: list[str] = []
    try:
        text = content_of(path).decode("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return whole, problems
    except OSError as problem:
        raise RunError(f"cannot read {path}: {problem.strerror or problem}; restore it") from None
    for number, fields in _lines_of(text):
        if fields is None:
            problems.append(f"line {number} of {path.name}: it is cut short, or no JSON object")
        elif fields.pop(_CHECK, None) in (None, _seal(fields)[:8]):
            whole[number] = fields
        else:
            problems.append(f"line {number} of {path.name}: it does not match its checksum")
    return whole, problems


def parse_jsonl(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON lines; lines that are no valid JSON object are skipped."""
    return (entry for _, entry in _lines_of(text) if entry is not None)


def _lines_of(text: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the number and the object of each line that is not empty; None if it is no object."""
    # Split at line feeds only: JSON strings may hold the other line separators.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                entry = parse_json(line)
            except ValueError:
                entry = None
            yield number, cast("dict[str, Any]", entry) if isinstance(entry, dict) else None


def write_json(path: Path, data: Any) -> None:
    """Write plain ``data`` to ``path`` as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, *, error: type[GraftganError]) -> Any:
    """Return the data of a JSON file; raise ``error`` with a clear message if that fails."""
    try:
        return parse_json(content_of(path))
    except FileNotFoundError:
        raise error(f"there is no file {path}") from None
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise error(f"cannot read {path}: {problem}; restore it, or make it again") from None


def parse_json(text: str | bytes) -> Any:
    """Return the data of JSON from an untrusted source.

    Raises ValueError: it is not JSON, has a key twice, is nested too deeply, or holds an integer of
    thousands of digits.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        data = json.loads(text, object_pairs_hook=_without_doubles)
        refuse_deep(data)
        return data
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as problem:
        raise ValueError(f"it is not JSON: {problem}") from None
    except UnicodeDecodeError as problem:
        raise ValueError(f"it is not UTF-8 text: {problem.reason}") from None


def refuse_deep(data: object) -> None:
    """Raise RecursionError if plain data is nested more deeply than any file of ours."""
    level: list[Any] = [data] if isinstance(data, dict | list) else []
    for _ in range(_DEEPEST):
        inner = [
            part
            for value in level
            for part in (value.values() if isinstance(value, dict) else value)
            if isinstance(part, dict | list)
        ]
        if not inner:
            return
        level = inner
    raise RecursionError("nested too deeply")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has the key '{shown(name)}' twice")
    return data


def write_sealed(path: Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` as JSON with its sha256, atomically."""
    write_json(path, sealed(data))


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``data`` with its sha256."""
    return {**data, "sha256": _seal(data)}


def read_sealed(path: Path, *, error: type[GraftganError], advice: str) -> dict[str, Any]:
    """Return what :func:`write_sealed` wrote; raise ``error`` with ``advice`` if it is damaged."""
    data = read_json(path, error=error)
    try:
        return unsealed(data)
    except ValueError as problem:
        raise error(f"{path} is damaged: {problem}; {advice}") from None


def unsealed(data: object) -> dict[str, Any]:
    """Return the argument of :func:`sealed`; raise ValueError if it was changed since."""
    if not isinstance(data, dict):
        raise ValueError("it holds no JSON object")
    fields = dict(cast("dict[str, Any]", data))
    if fields.pop("sha256", None) != _seal(fields):
        raise ValueError("its content does not match its sha256")
    return fields


def _seal(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def refuse_existing(path: Path) -> None:
    """Raise RunError if there is something at ``path``."""
    if os.path.lexists(path):  # a link may lead nowhere
        raise RunError(f"{path} exists already; choose another name or remove it first")


def refuse_unwritable_names(*paths: Path) -> None:
    """Raise RunError for paths that are not UTF-8, which cards and settings could not record."""
    for path in paths:
        try:
            str(path.absolute()).encode()
        except UnicodeEncodeError:
            raise RunError(
                f"'{shown(path.absolute(), 300)}' is not a name in UTF-8, and could not be "
                "written down or read back; rename it, or choose another"
            ) from None


def is_there(path: Path) -> bool:
    """Return whether ``path`` exists; a name that the file system refuses does not."""
    with suppress(OSError):
        return path.exists()
    return False


def cache_home() -> Path:
    """Return ``$GRAFTGAN_CACHE`` or ``~/.cache/graftgan``; RuntimeError: no home folder."""
    return Path(os.environ.get("GRAFTGAN_CACHE") or Path("~/.cache/graftgan").expanduser())


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_archive_ending(name: str) -> str:
    """Return the name of a set of pictures without ``.zip`` or ``.npz``."""
    return name.removesuffix(".zip").removesuffix(".npz")


def distinct_name(plain: str, is_taken: Callable[[str], bool]) -> str:
    """Return ``plain``, or ``plain_2``, ``plain_3`` and so on: the first that is not taken."""
    numbered = (f"{plain}_{number}" for number in count(2))
    return next(name for name in chain([plain], numbered) if not is_taken(name))


def remove_whole(path: Path) -> None:
    """Remove a folder atomically: after a kill it is either complete or gone."""
    leftover = _partial_of(path)
    _remove(leftover)
    with _explained(path):
        path.rename(leftover)
    _remove(leftover)


def remove_partial(folder: Path, name: str | None = None) -> None:
    """Delete partial files in ``folder``: those of ``name``, or all of them.

    Only call it while no other process writes there: its partial files would be deleted too. A
    folder that was set aside but not replaced is restored.
    """
    pattern = ".*" if name is None else glob.escape(f".{_short(name)}")
    for leftover in folder.glob(f"{pattern}.partial-*"):
        _clear(leftover)


def clear_killed(folder: Path) -> None:
    """Delete what killed processes of this machine left in ``folder``, once per process."""
    _clear_dead(folder, os.getpid())


@cache
def _clear_dead(folder: Path, own: int) -> None:
    """Do the work of ``clear_killed``; ``own`` separates forked processes, which share a cache."""
    for leftover in folder.glob(f".*.partial-{_machine()}-*"):
        number = leftover.name.rpartition("-")[2].removesuffix(_ASIDE)
        if number.isdecimal() and int(number) != own and not _is_alive(int(number), leftover):
            _clear(leftover)


def _clear(leftover: Path) -> None:
    """Remove ``leftover``, or restore it if it is the only copy of a folder."""
    if leftover.name.endswith(_ASIDE):
        name = leftover.name[1:].rpartition(".partial-")[0]
        if name.startswith(_HASHED):
            return  # its original name is unknown
        original = leftover.with_name(name)
        if not original.exists():
            with suppress(OSError):
                leftover.replace(original)
            return
    _remove(leftover)


def _is_alive(process: int, leftover: Path) -> bool:
    """Return whether ``process`` of this machine still runs."""
    if sys.platform == "win32":  # os.kill would end the process there
        with suppress(OSError):
            return time.time() - leftover.stat().st_mtime < _DAY_S
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        pass
    return True


def _partial_of(path: Path) -> Path:
    return path.with_name(f".{_short(path.name)}{partial_ending()}")


def partial_ending() -> str:
    """Return the suffix of the partial files of this process."""
    return f".partial-{_machine()}-{os.getpid()}"


def _short(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST_NAME:
        return name
    return _HASHED + hashlib.sha256(encoded).hexdigest()[:32]


@cache
def _machine() -> str:
    """Return the machine's name; on a shared disk, processes of other machines are left alone."""
    return "".join(c for c in platform.node() if c.isalnum())[:40] or "machine"


def _put_in_place(partial: Path, path: Path, *, replace: bool) -> None:
    if path.is_dir() and not partial.is_dir():
        raise IsADirectoryError(errno.EISDIR, "there is a folder of this name")
    if not path.is_dir():
        partial.replace(path)
        return
    if not replace:
        path.rmdir()  # raises OSError if it is not empty
        partial.rename(path)
        return
    # A rename cannot replace a folder that is not empty: set the old one aside first.
    old = partial.with_name(partial.name + _ASIDE)
    _remove(old)
    path.replace(old)
    try:
        partial.replace(path)
    except OSError:
        old.replace(path)
        raise
    _remove(old)


def _flush_to_disk(path: Path) -> None:
    for member in (path, *path.rglob("*")):
        if member.is_file():
            with member.open("rb") as handle:
                os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # it or its folder does not exist
            path.unlink()


class FileLock:
    """A lock between processes of one machine, on a file that names the holder.

    It ends with its process. On a file system without locks, every process gets the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock, waiting for it if ``wait``; return whether it was taken."""
        file = _opened_to_append(self.path)
        try:
            _lock(file, wait=wait)
        except OSError as error:
            if error.errno in _BUSY:
                file.close()
                return False
        self._file = file
        with suppress(OSError):  # on a full disk the holder stays unnamed
            holder = {
                "pid": os.getpid(),
                "machine": platform.node(),
                "since": datetime.now().isoformat(sep=" ", timespec="seconds"),
                "command": " ".join(["graftgan", *sys.argv[1:]]),
            }
            file.truncate(0)
            file.write(json.dumps(holder).encode())
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def holder(self) -> str:
        """Return which process holds the lock, in words for a message."""
        try:
            found = parse_json(content_of(self.path))
            words = f"process {int(found['pid'])} on {found['machine']}, since {found['since']}"
            return f"{words}: {found['command']}"
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return "another process"

    def __enter__(self) -> "FileLock":
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Hold the lock of ``folder``; RunError: a process, named in the message, holds it already."""
    lock = FileLock(folder / LOCK)
    try:
        free = lock.acquire(wait=False)
    except OSError as error:
        raise RunError(f"cannot lock {lock.path}: {error.strerror or error}") from None
    if not free:
        raise RunError(
            f"{folder} is in use by {lock.holder()}; wait until that process has ended, or stop it"
        )
    try:
        yield
    finally:
        lock.release()


def refuse_busy(folder: Path) -> None:
    """Raise RunError if a process holds the lock of ``folder``."""
    if (folder / LOCK).is_file():
        with held(folder):
            pass


if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 30  # a locked byte cannot be read there, so lock one beyond the end

    def _lock(file: FileIO, *, wait: bool) -> None:
        while True:
            file.seek(_BEYOND)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    raise
                time.sleep(0.05)
            else:
                return

else:
    import fcntl

    def _lock(file: FileIO, *, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
