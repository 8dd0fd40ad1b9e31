"""Read what a run left on disk, whole or not; write files that appear whole."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file, oldest first.

    A killed run may leave a last line that is cut short; such a line is skipped. A missing file
    gives an empty list.
    """
    try:
        lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    entries = (_parsed(line) for line in lines)
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]


def read_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        ValueError: The file is not JSON, or holds something other than an object.
        OSError: The file is missing or unreadable.
    """
    data: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, not an object")
    return cast("dict[str, Any]", data)


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` is at every moment the old file or the whole new one.

    Folders on the way to it are made where they are missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        partial.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _umask() -> int:
    current = os.umask(0)  # the only way to read it is to set it
    os.umask(current)
    return current
