"""Read what a run left on disk, whole or not."""

import json
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


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
