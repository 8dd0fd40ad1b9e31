"""The class of a picture: its folder, or its label in the ``dataset.json`` of NVIDIA's tools."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from pathlib import Path, PurePosixPath
from typing import cast

import torch
from torch import Tensor

from graftgan.core.errors import ImageSetError, shown
from graftgan.core.files import parse_json
from graftgan.pictures.archives import read_entry, tidy_name
from graftgan.pictures.containers import find_container

_LEAST = 2  # pictures of a class to train on: from one there is nothing to learn but a copy
_FEW = 10  # training pictures of a class below which a note says so
_LABELS_FILE = "dataset.json"
_LARGEST = 40 * 2**20  # bytes; JSON takes up to 25 times as much memory
_LARGEST_IN_SMALL = 8 * 2**20  # bytes in a zip that has fewer itself


@dataclass(frozen=True, slots=True, eq=False)
class Labelling:
    """The class of each picture of a set; by default there are none."""

    classes: tuple[str, ...] = ()  # names in alphabetical order
    labels: Tensor | None = None  # the class index of each training picture, int64 (n,)
    class_of: Mapping[str, str] = field(default_factory=dict[str, str])  # by name, of all pictures
    notes: tuple[str, ...] = ()  # the number of pictures of each class


def find_classes(pictures: Path) -> tuple[str, ...]:
    """Return the classes of a folder or zip in alphabetical order, without decoding a picture.

    Raises:
        ImageSetError: There are no pictures, or they are not in folders.
    """
    with find_container(pictures).open() as contents:
        names = [member.name for member in contents.members]
    return tuple(sorted(set(_classes(names, _stated_labels(pictures, names), pictures).values())))


def label_pictures(names: Sequence[str], training: Sequence[str], *, where: Path) -> Labelling:
    """Return the labels of the ``training`` pictures, in their order.

    A label comes from the picture's name, so it follows the picture through cache and split.
    ``names`` are those of all pictures of the source ``where``.

    Raises:
        ImageSetError: The folders give no classes, or a class has too few pictures to train on.
    """
    stated = _stated_labels(where, names)
    class_of = _classes(names, stated, where)
    classes = tuple(sorted(set(class_of.values())))
    found = [class_of[name] for name in training]
    counts = Counter(found)
    short = [f"'{name}' has {counts[name]}" for name in classes if counts[name] < _LEAST]
    if short:
        raise ImageSetError(
            f"{where}: each class needs at least {_LEAST} usable pictures to train on, and "
            f"{', '.join(short)}; add pictures, remove the folder, or raise --limit"
        )
    in_all = ", ".join(f"{name} {counts[name]}" for name in classes)
    few = ", ".join(name for name in classes if counts[name] < _FEW)
    by = f" (by {_LABELS_FILE})" if stated is not None else ""
    notes = (f"classes{by}: {in_all}", f"fewer than {_FEW} pictures of {few}" if few else "")
    labels = torch.tensor([classes.index(name) for name in found])
    return Labelling(classes, labels, class_of, tuple(note for note in notes if note))


def _classes(names: Sequence[str], stated: Mapping[str, int] | None, where: Path) -> dict[str, str]:
    """Return the class of each picture: its label, or the first folder that differs among them."""
    if stated is not None:
        without = [name for name in names if name not in stated]
        if without or not names:
            raise ImageSetError(
                f"{where} has no labels for {len(without)} of its {len(names)} pictures "
                f"({_first(without)}), which {_LABELS_FILE} does not name; complete it, or remove "
                "it to take the folders"
            )
        digits = len(str(max(stated.values())))  # so that names sort as numbers
        return {name: f"{stated[name]:0{digits}d}" for name in names}
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    levels = zip(*folders.values(), strict=False)
    shortest = min(map(len, folders.values()), default=0)
    depth = next((i for i, level in enumerate(levels) if len(set(level)) > 1), shortest)
    loose = [name for name, parts in folders.items() if len(parts) <= depth]
    if loose or not names:
        wrong = f"{len(loose)} of its {len(names)} pictures are not in the folder of a class "
        wrong += f"({_first(loose)})"
        if len(loose) == len(names):
            wrong = "its pictures are not in several folders"
        raise ImageSetError(
            f"{where} has no labels: {wrong}; put the pictures of each class into a folder of "
            "its own, or leave --labels out"
        )
    return {name: parts[depth] for name, parts in folders.items()}


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def _stated_labels(pictures: Path, names: Sequence[str]) -> Mapping[str, int] | None:
    """Return the label of each picture by name; None: the source has no file of labels.

    The file lies at the root of the set, which may be below a folder that holds the whole set.
    """
    for folder in _common_folders(names):
        content = _content(pictures, folder + _LABELS_FILE)
        if content is not None:
            place = f"{folder}{_LABELS_FILE} of {pictures}"
            return {folder + name: label for name, label in _labels(content, place).items()}
    return None


def _common_folders(names: Sequence[str]) -> list[str]:
    """Return the folders that contain all ``names``, outermost first, as ``""`` or ``"a/b/"``."""
    levels = zip(*(PurePosixPath(name).parts[:-1] for name in names), strict=False)
    shared = takewhile(lambda level: len(set(level)) == 1, levels)
    return ["", *accumulate(f"{level[0]}/" for level in shared)]


def _content(pictures: Path, name: str) -> bytes | None:
    """Return the content of the file ``name`` of the source; None: there is no such file."""
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
    try:
        data = cast("object", parse_json(content))
    except ValueError as problem:
        raise ImageSetError(f"{place} cannot be used: {problem}; repair or remove it") from None
    entries = cast("dict[str, object]", data).get("labels") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ImageSetError(
            f"{place} has no labels; leave --labels out, or remove the file to take folders as "
            "classes"
        )
    labels: dict[str, int] = {}
    for entry in cast("list[object]", entries):
        match entry:
            case [str(name), int(label)] if label >= 0 and not isinstance(label, bool):
                name = tidy_name(name)
            case _:
                raise ImageSetError(
                    f"{place}: expected a name and a class number, such as ['00000/img.png', 3], "
                    f"found {str(entry)[:80]}"
                )
        if labels.setdefault(name, label) != label:
            raise ImageSetError(
                f"{place} gives {shown(name)} two labels, {labels[name]} and {label}; repair it"
            )
    return labels
