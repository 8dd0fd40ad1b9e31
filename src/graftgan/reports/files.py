"""Read what a run left on disk, whole or not."""

import json
from pathlib import Path
from typing import Any, cast

from graftgan.errors import RunError


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


def read_for_page(folder: Path, name: str, *, what: str) -> dict[str, Any]:
    """Return the object that a page is written from.

    Args:
        folder: Where it lies.
        name: Of its file.
        what: The folder holds, in words.

    Raises:
        RunError: It is not there, or cannot be read.
    """
    try:
        return read_object(folder / name)
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} holds no {what} that can be read: {error}") from None
