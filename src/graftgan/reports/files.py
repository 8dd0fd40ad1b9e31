"""Read what a run left on disk, whole or not."""

import json
from pathlib import Path
from typing import Any, cast


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
