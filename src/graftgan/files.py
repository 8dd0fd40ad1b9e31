"""Files and folders that appear whole or not at all."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from graftgan.errors import GraftganError, RunError
from graftgan.untrusted import shown


@contextmanager
def written_whole(path: Path) -> Generator[Path]:
    """Yield a temporary path beside ``path``; move it there when the block ends well.

    The block creates a file or a folder at the temporary path. A folder that stands at ``path``
    already is replaced. On any error, and after a kill, ``path`` is as it was; only a kill between
    the two renames that replace a folder leaves none.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        yield partial
        _flush_to_disk(partial)
        _put_in_place(partial, path)
    except OSError as error:
        raise RunError(_explain(error, path)) from error
    finally:
        _remove(partial)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def append_text(path: Path, text: str) -> None:
    """Append ``text`` to ``path``; a kill may cut it short.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        raise RunError(_explain(error, path)) from error


def append_jsonl(path: Path, data: dict[str, Any]) -> None:
    """Append ``data`` as one line of JSON.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    append_text(path, json.dumps(data) + "\n")


def as_jsonl(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return each of ``lines`` as one line of JSON, all of it text that UTF-8 can hold."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return text.encode("utf-8", errors="backslashreplace").decode()  # half a pair is no letter


def write_jsonl(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write each of ``lines`` as one line of JSON, the file whole.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    write_text(path, as_jsonl(lines))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file, oldest first.

    A killed run may leave a last line that is cut short; such a line is skipped. A missing file
    gives an empty list.
    """
    try:
        return parse_jsonl(path.read_bytes().decode("utf-8", errors="replace"))
    except OSError:
        return []


def parse_jsonl(text: str) -> list[dict[str, Any]]:
    """Return the objects of JSON lines; a line that is none, or a hostile one, is skipped."""
    # Only a line feed ends a line: JSON may hold the other characters that end one of text.
    entries = (_parsed(line) for line in text.split("\n"))
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole."""
    with written_whole(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, data: Any) -> None:
    """Write plain ``data`` as indented JSON to ``path``, whole."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, *, error: type[GraftganError]) -> Any:
    """Return the data of a JSON file; raise ``error`` with a clear message where that fails."""
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError:
        raise error(f"there is no file {path}") from None
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise error(f"cannot read {path}: {problem}; restore it, or make it again") from None


def parse_json(text: str | bytes) -> Any:
    """Return the data that ``text`` is JSON of, which may come from anywhere.

    Raises:
        ValueError: It is no JSON, names a key twice, is nested too deeply, or holds a whole number
            of thousands of digits.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise ValueError("it is nested too deeply to be ours") from None
    except json.JSONDecodeError as problem:
        raise ValueError(f"it is not JSON: {problem}") from None
    except UnicodeDecodeError as problem:
        raise ValueError(f"it is not UTF-8 text: {problem.reason}") from None


def cache_home() -> Path:
    """Return where caches lie: ``$GRAFTGAN_CACHE`` or ``~/.cache/graftgan``.

    Raises:
        RuntimeError: There is no home folder.
    """
    root = os.environ.get("GRAFTGAN_CACHE")
    return Path(root) if root else Path("~/.cache/graftgan").expanduser()


def without_archive_ending(name: str) -> str:
    """Return the name of a set of pictures without ``.zip`` or ``.npz``."""
    return name.removesuffix(".zip").removesuffix(".npz")


def remove_partial(folder: Path, name: str = "*") -> None:
    """Delete what killed writers of ``name``, or of anything, left behind in ``folder``."""
    for leftover in folder.glob(f".{name}.partial-*"):
        _remove(leftover)


def _parsed(line: str) -> object:
    try:
        return parse_json(line)
    except ValueError:
        return None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has the key '{shown(name)}' twice")
    return data


def _put_in_place(partial: Path, path: Path) -> None:
    if not path.is_dir():
        partial.replace(path)
        return
    # A rename cannot put a folder over one that holds files: step the old one aside first.
    old = path.with_name(f".{path.name}.partial-{os.getpid()}-old")
    _remove(old)
    path.replace(old)
    try:
        partial.replace(path)
    except OSError:
        old.replace(path)
        raise
    _remove(old)


def _flush_to_disk(path: Path) -> None:
    members = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for member in members:
        with member.open("rb") as handle:
            os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # not there, or its folder is not
            path.unlink()


def _explain(error: OSError, path: Path) -> str:
    reason = error.strerror or str(error)
    return f"cannot write {path}: {reason}; free some space or choose another folder"
