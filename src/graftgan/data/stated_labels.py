"""The labels in ``dataset.json``, which NVIDIA's tools write beside the pictures of a set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from graftgan.data.archive import read_text_entry, tidy_name
from graftgan.errors import ImageSetError

LABELS_FILE = "dataset.json"
_LARGEST = 256 * 2**20  # bytes


def stated_labels(pictures: Path) -> Mapping[str, int] | None:
    """Return the label of each picture by its name; None: the source has no such file.

    Raises:
        ImageSetError: The file cannot be read, has no labels, or other ones than numbers.
    """
    text = _text(pictures)
    if text is None:
        return None
    place = f"{LABELS_FILE} of {pictures}"
    try:
        data = cast("object", json.loads(text))
    except (ValueError, RecursionError) as problem:
        raise ImageSetError(f"{place} is no JSON: {problem}; repair or remove it") from None
    labels = cast("dict[str, object]", data).get("labels") if isinstance(data, dict) else None
    if not isinstance(labels, list) or not labels:
        raise ImageSetError(
            f"{place} has no labels; leave --labels out, or remove the file to take folders as "
            "classes"
        )
    return dict(_pair(entry, place) for entry in cast("list[object]", labels))


def _text(pictures: Path) -> str | None:
    if pictures.is_file():
        return read_text_entry(pictures, LABELS_FILE, largest=_LARGEST)
    try:
        file = pictures / LABELS_FILE
        return file.read_text(encoding="utf-8") if file.stat().st_size <= _LARGEST else None
    except (OSError, ValueError):
        return None


def _pair(entry: object, place: str) -> tuple[str, int]:
    match entry:
        case [str(name), int(label)] if label >= 0 and not isinstance(label, bool):
            return tidy_name(name), label
        case _:
            raise ImageSetError(
                f"{place}: expected a name and a class number, such as ['00000/img.png', 3], "
                f"found {str(entry)[:80]}"
            )
