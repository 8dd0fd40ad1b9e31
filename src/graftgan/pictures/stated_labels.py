"""The labels in ``dataset.json``, which NVIDIA's tools write beside the pictures of a set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

from graftgan.core.errors import ImageSetError
from graftgan.core.files import parse_json
from graftgan.core.untrusted import shown
from graftgan.pictures.archive import read_entry, tidy_name

LABELS_FILE = "dataset.json"
_LARGEST = 40 * 2**20  # bytes; JSON takes up to 25 times as much memory
_LARGEST_IN_SMALL = 8 * 2**20  # bytes in a zip that has fewer itself


def stated_labels(pictures: Path, names: Sequence[str]) -> Mapping[str, int] | None:
    """Return the label of each picture by its name; None: the source has no such file.

    The file lies where the set begins, which may be below a folder that holds the whole set.

    Args:
        pictures: The source.
        names: Of its pictures.

    Raises:
        ImageSetError: The file cannot be read, has no labels, other ones than numbers, or two
            of one picture.
    """
    for folder in _common_folders(names):
        content = _content(pictures, folder + LABELS_FILE)
        if content is not None:
            place = f"{folder}{LABELS_FILE} of {pictures}"
            return {folder + name: label for name, label in _labels(content, place).items()}
    return None


def _common_folders(names: Sequence[str]) -> Iterator[str]:
    """Yield the folders that hold all of ``names``, outermost first, as ``""`` or ``"a/b/"``."""
    yield ""
    folder = ""
    for level in zip(*(PurePosixPath(name).parts[:-1] for name in names), strict=False):
        if len(set(level)) > 1:
            return
        folder += f"{level[0]}/"
        yield folder


def _content(pictures: Path, name: str) -> bytes | None:
    """Return what is in the file of that name; None: there is none.

    Raises:
        ImageSetError: It is there and cannot be read.
    """
    if pictures.is_file():
        own = max(_LARGEST_IN_SMALL, pictures.stat().st_size)
        return read_entry(pictures, name, largest=min(_LARGEST, own))
    file = pictures / name
    try:
        if file.stat().st_size > _LARGEST:
            raise ImageSetError(f"{file} is larger than {_LARGEST >> 20} MB; repair or remove it")
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ImageSetError(f"cannot read {file}: {reason}; repair or remove it") from None


def _labels(content: bytes, place: str) -> dict[str, int]:
    labels: dict[str, int] = {}
    for name, label in _pairs(content, place):
        if labels.setdefault(name, label) != label:
            raise ImageSetError(
                f"{place} gives {shown(name)} two labels, {labels[name]} and {label}; repair it"
            )
    return labels


def _pairs(content: bytes, place: str) -> Iterator[tuple[str, int]]:
    try:
        data = cast("object", parse_json(content))
    except ValueError as problem:
        raise ImageSetError(f"{place} cannot be used: {problem}; repair or remove it") from None
    labels = cast("dict[str, object]", data).get("labels") if isinstance(data, dict) else None
    if not isinstance(labels, list) or not labels:
        raise ImageSetError(
            f"{place} has no labels; leave --labels out, or remove the file to take folders as "
            "classes"
        )
    for entry in cast("list[object]", labels):
        yield _pair(entry, place)


def _pair(entry: object, place: str) -> tuple[str, int]:
    match entry:
        case [str(name), int(label)] if label >= 0 and not isinstance(label, bool):
            return tidy_name(name), label
        case _:
            raise ImageSetError(
                f"{place}: expected a name and a class number, such as ['00000/img.png', 3], "
                f"found {str(entry)[:80]}"
            )
