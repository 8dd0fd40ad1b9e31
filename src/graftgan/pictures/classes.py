"""Which class a picture belongs to: the folder it lies in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.pictures.containers import find_container
from graftgan.pictures.stated_labels import LABELS_FILE, stated_labels

_LEAST = 2  # pictures of a class to train on: with one there is nothing to learn but a copy
_FEW = 10  # below this the person is told


@dataclass(frozen=True, slots=True, eq=False)
class Labelling:
    """Which class each picture of a set belongs to; this one, as it is made, says of none.

    Attributes:
        classes: Their names, in alphabetical order.
        labels: The number of the class of each picture to train on, int64 (n,).
        class_of: The class by the name of the picture, for all pictures.
        notes: How many there are of each.
    """

    classes: tuple[str, ...] = ()
    labels: Tensor | None = None
    class_of: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()

    def entry_of(self, name: str) -> dict[str, str]:
        """Return what a manifest says of the picture ``name``; nothing without classes."""
        return {"class": self.class_of[name]} if self.classes else {}


def find_classes(pictures: Path) -> tuple[str, ...]:
    """Return the classes of a folder or zip in alphabetical order, without decoding a picture.

    Raises:
        ImageSetError: There are no pictures, or they do not lie in folders.
    """
    with find_container(pictures).open() as contents:
        names = [member.name for member in contents.members]
    return tuple(sorted(set(classes_by_name(names, where=pictures).values())))


def classes_by_name(names: Sequence[str], *, where: Path) -> dict[str, str]:
    """Return the class of each picture: the first of its folders that not all pictures share.

    Where the source has a ``dataset.json``, as NVIDIA's sets do, its labels are the classes: their
    folders are only parts of the set.

    Raises:
        ImageSetError: A picture lies in no such folder, or the file has no label for it.
    """
    return _classes(names, stated_labels(where, names), where)


def _classes(names: Sequence[str], stated: Mapping[str, int] | None, where: Path) -> dict[str, str]:
    if stated is not None:
        return _as_stated(names, stated, where)
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    depth = _shared_depth(list(folders.values()))
    loose = [name for name, parts in folders.items() if len(parts) <= depth]
    if loose or not names:
        shown = ", ".join(loose[:3]) + ", ..." * (len(loose) > 3)
        some = f"{len(loose)} of its {len(names)} pictures lie in no folder of a class ({shown})"
        wrong = some if len(loose) < len(names) else "its pictures do not lie in several folders"
        raise ImageSetError(
            f"{where} has no labels: {wrong}; put the pictures of each class into a folder of "
            "its own, or leave --labels out"
        )
    return {name: parts[depth] for name, parts in folders.items()}


def label_pictures(names: Sequence[str], training: Sequence[str], *, where: Path) -> Labelling:
    """Return the labels of the pictures to train on.

    A label comes from the picture's own name, so it follows the picture through cache and split.

    Args:
        names: Every picture of the source.
        training: Those to train on, in their order.
        where: The source, for messages.

    Raises:
        ImageSetError: The folders give no classes, or a class has too few pictures to train on.
    """
    stated = stated_labels(where, names)
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
    by = f" (by {LABELS_FILE})" if stated is not None else ""
    notes = (f"classes{by}: {in_all}", f"fewer than {_FEW} pictures of {few}" if few else "")
    labels = torch.tensor([classes.index(name) for name in found])
    return Labelling(classes, labels, class_of, tuple(note for note in notes if note))


def _as_stated(names: Sequence[str], stated: Mapping[str, int], where: Path) -> dict[str, str]:
    without = [name for name in names if name not in stated]
    if without or not names:
        shown = ", ".join(without[:3]) + ", ..." * (len(without) > 3)
        raise ImageSetError(
            f"{where} has no labels for {len(without)} of its {len(names)} pictures ({shown}), "
            f"which {LABELS_FILE} does not name; complete it, or remove it to take the folders"
        )
    digits = len(str(max(stated.values())))  # names then sort as the numbers do
    return {name: f"{stated[name]:0{digits}d}" for name in names}


def _shared_depth(folders: Sequence[tuple[str, ...]]) -> int:
    """Return how many of their outermost folders all pictures share."""
    levels = zip(*folders, strict=False)
    return next((i for i, level in enumerate(levels) if len(set(level)) > 1), _shortest(folders))


def _shortest(folders: Sequence[tuple[str, ...]]) -> int:
    return min(map(len, folders), default=0)
