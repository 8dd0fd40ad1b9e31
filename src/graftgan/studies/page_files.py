"""Read what a run left on disk, whole or not."""

from pathlib import Path
from typing import Any, cast

from graftgan.core.errors import RunError
from graftgan.core.files import read_json
from graftgan.core.settings import parse

_VERBS = {"comparison": "compare", "search": "search"}


def read_for_page(folder: Path, name: str, schema: type, *, what: str) -> dict[str, Any]:
    """Return the object that a page is written from.

    Args:
        folder: Where it lies.
        name: Of its file.
        schema: What the page takes for granted in it.
        what: The folder holds, in words.

    Raises:
        RunError: It is not there, or damaged.
    """
    path = folder / name
    try:
        data = read_json(path, error=RunError)
        parse(schema, data, where=str(path), error=RunError)
    except RunError as problem:
        raise RunError(
            f"{folder} holds no {what} that can be read: {problem}; "
            f"`graftgan {_VERBS[what]} --resume {folder}` writes {name} again"
        ) from None
    return cast("dict[str, Any]", data)
