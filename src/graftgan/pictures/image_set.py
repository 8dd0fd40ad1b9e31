"""The checked, hashed and split pictures of one run."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.core.files import write_json
from graftgan.core.provenance import Origin, origins_of
from graftgan.core.settings import to_plain
from graftgan.core.tensors import PictureBytes
from graftgan.core.untrusted import shown
from graftgan.pictures.classes import Labelling, label_pictures
from graftgan.pictures.containers import find_container
from graftgan.pictures.decode import Shape, decode_all
from graftgan.pictures.decoded_cache import CachedPicture, Entry, load_or_decode, select
from graftgan.pictures.folder import picture_file
from graftgan.pictures.members import Skipped
from graftgan.pictures.near_doubles import near_doubles
from graftgan.pictures.settings import DataSettings
from graftgan.pictures.split import SetSplit, Split, first_of_each, joined, split, split_again


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSet:
    """Pictures of one size, split into those to train on and those held out.

    Attributes:
        pictures: The training part, uint8 (n, c, h, w).
        held_out: The part kept out of training, uint8 (m, c, h, w).
        names: Where each training picture comes from, relative to the source.
        held_out_names: The same for the part kept out.
        skipped: What could not be used, and why.
        sha256: Of the pixels, names, order and split; equal hashes train on equal pictures.
        notes: Remarks for the person, such as that the cache could not be written.
        labelling: The classes of the pictures, if the settings ask for them.
        origins: Where pictures come from, by name, as far as a manifest beside them says.
        near_doubles: The first of its near-doubles, by the name of each later one.
    """

    pictures: PictureBytes
    held_out: PictureBytes
    names: tuple[str, ...]
    held_out_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    sha256: str
    notes: tuple[str, ...] = ()
    source: Path
    settings: DataSettings
    seed: int
    records: tuple[CachedPicture, ...] = field(repr=False)
    splits: tuple[Split, ...] = field(repr=False)
    labelling: Labelling = field(default_factory=Labelling, repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin], repr=False)
    near_doubles: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def resolution(self) -> int:
        """The side of a picture in pixels."""
        return self.pictures.shape[-1]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty: the pictures have no labels."""
        return self.labelling.classes

    @property
    def labels(self) -> Tensor | None:
        """The number of each training picture's class, int64 (n,); None without labels."""
        return self.labelling.labels

    def summary(self) -> str:
        """Return one line for the person who starts a run."""
        used = len(self.names) + len(self.held_out_names)
        of = f" of {len(self.records)}" if used < len(self.records) else ""
        line = f"{used}{of} picture{'s' * (used + len(of) != 1)} at {self.resolution} px"
        if self.held_out_names:
            line += f" ({len(self.names)} to train on, {len(self.held_out_names)} held out)"
        if self.skipped:
            reasons = _counted(self.skipped)
            line += f"; {len(self.skipped)} skipped: {reasons}, see manifest.json"
        return "; ".join((line, *self.notes))

    def manifest(self) -> dict[str, Any]:
        """Return plain data that says where every picture came from and what became of it."""
        first = _first_names(self.records)
        pictures = [
            {
                "name": record.name,
                "size": list(record.size),
                "mode": record.mode,
                "sha256": record.sha256,
                "split": side,
                **_double_of(record, first),
                **_entry("near_double_of", self.near_doubles.get(record.name)),
                **({"remarks": list(record.remarks)} if record.remarks else {}),
                **self.labelling.entry_of(record.name),
                **self.origins.get(record.name, Origin()).as_line(),
            }
            for record, side in zip(self.records, self.splits, strict=True)
        ]
        return {
            "source": str(self.source),
            "resolution": self.resolution,
            "sha256": self.sha256,
            "seed": self.seed,
            "settings": to_plain(self.settings),
            "notes": list(self.notes),
            **({"classes": list(self.classes)} if self.classes else {}),
            "pictures": pictures,
            "skipped": [{"name": s.name, "reason": s.reason} for s in self.skipped],
        }


def load_image_set(
    pictures: Path,
    settings: DataSettings,
    *,
    resolution: int,
    seed: int,
    splits: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Turn a folder, zip or npz of pictures into a checked, hashed and split image set.

    Any mix of sizes, modes and formats will do: a picture is cropped to its central square and
    resized with antialiasing. What cannot be read is skipped and listed.

    Args:
        pictures: The folder (with its subfolders), zip or npz.
        settings: What to do with the pictures.
        resolution: The side of a picture in the set, in pixels.
        seed: Chooses the pictures for ``limit`` and ``held_out``.
        splits: Where each picture of a run is that was begun before, by name, and stays; counts
            only where the names are those of the source.
        progress: Called with (pictures done, pictures in all) while decoding.

    Raises:
        ImageSetError: The source is missing or damaged, has no usable picture, or has fewer than
            ``settings.limit``; or labels are asked for and the folders do not give them.
    """
    if resolution < 1:
        raise ImageSetError(f"the resolution must be at least 1 px, got {resolution}")
    source = find_container(pictures)
    shape = Shape(resolution, settings.channels or 3, settings.minimum_side)
    memory_limit = settings.memory_limit_mb * 2**20
    entry = load_or_decode(source, shape, memory_limit=memory_limit, progress=progress)
    _check(pictures, entry, settings)
    parts = split_again([record.name for record in entry.records], splits or {})
    near: dict[str, str] = {}
    if parts is None:
        contents = [record.content for record in entry.records]
        if settings.held_out or settings.limit not in (None, len(contents)):
            contents = joined(contents, near_doubles(_tensor(entry.pictures)))
            near = _near_doubles(entry.records, contents)
        parts = split(contents, settings, seed)
    names = tuple(entry.records[i].name for i in parts.training)
    labelling = Labelling()
    if settings.labels is not None:
        # Skipped files are members of their folder too: a class without a usable picture is an
        # error, not a class that vanishes.
        everything = [thing.name for thing in (*entry.records, *entry.skipped)]
        labelling = label_pictures(everything, names, where=pictures)
    return ImageSet(
        pictures=_tensor(select(entry, parts.training, memory_limit=memory_limit)),
        held_out=_tensor(select(entry, parts.held_out, memory_limit=memory_limit)),
        names=names,
        held_out_names=tuple(entry.records[i].name for i in parts.held_out),
        skipped=entry.skipped,
        sha256=_set_sha256(entry, parts),
        notes=(
            *entry.notes,
            *_notes_on_doubles(entry.records, labelling),
            *_notes_on_near_doubles(near, len(entry.records)),
            *labelling.notes,
        ),
        source=pictures,
        settings=settings,
        seed=seed,
        records=entry.records,
        splits=parts.names(len(entry.records)),
        labelling=labelling,
        origins=origins_of(pictures),
        near_doubles=near,
    )


def load_picture(path: Path, *, resolution: int, channels: int) -> PictureBytes:
    """Return one picture file as pictures of a set are: cropped and resized, uint8 (1, c, h, w).

    Raises:
        ImageSetError: It cannot be read as a picture.
    """
    (outcome,) = decode_all([picture_file(path)], Shape(resolution, channels, minimum_side=1))
    if isinstance(outcome, Skipped):
        raise ImageSetError(f"{path} is no picture that can be used: {outcome.reason}")
    return _tensor(outcome.pixels[None])


def write_manifest(image_set: ImageSet, path: Path) -> None:
    """Write the manifest of ``image_set`` as JSON; the file appears whole.

    Raises:
        RunError: The file cannot be written.
    """
    write_json(path, image_set.manifest())


def _check(path: Path, entry: Entry, settings: DataSettings) -> None:
    if not entry.records:
        first = "; ".join(f"{shown(s.name)}: {s.reason}" for s in entry.skipped[:5])
        found = f"{len(entry.skipped)} skipped ({first})" if first else "no file that is a picture"
        raise ImageSetError(
            f"{path} has no usable picture: {found}; expected PNG, JPEG or other picture files"
        )
    if settings.limit is not None and settings.limit > len(entry.records):
        raise ImageSetError(
            f"limit is {settings.limit}, but {path} has {len(entry.records)} usable pictures "
            f"({len(entry.skipped)} skipped); lower limit or leave it out"
        )


def _tensor(pictures: NDArray[np.uint8]) -> PictureBytes:
    return torch.from_numpy(pictures)


def _first_names(records: Sequence[CachedPicture]) -> dict[str, str]:
    """Return the name of the first picture of each content."""
    firsts = first_of_each([record.content for record in records])
    return {records[i].content: records[i].name for i in firsts}


def _double_of(record: CachedPicture, first: Mapping[str, str]) -> dict[str, str]:
    """Return what a manifest says of a picture that is equal to an earlier one, or mirrored."""
    name = first[record.content]
    return _entry("double_of", None if name == record.name else name)


def _entry(key: str, name: str | None) -> dict[str, str]:
    return {} if name is None else {key: name}


def _near_doubles(records: Sequence[CachedPicture], contents: Sequence[str]) -> dict[str, str]:
    """Return the name of the first of each group of near-doubles, by the names of the others.

    ``contents`` are equal within a group. Pictures that are equal to its first one are left out.
    """
    first: dict[str, CachedPicture] = {}
    for record, content in zip(records, contents, strict=True):
        first.setdefault(content, record)
    return {
        record.name: first[content].name
        for record, content in zip(records, contents, strict=True)
        if record.content != first[content].content
    }


def _notes_on_near_doubles(near: Mapping[str, str], count: int) -> tuple[str, ...]:
    """Return what a person should know of near-doubles, in one line."""
    if not near:
        return ()
    return (
        f"{len(near)} of {count} pictures are near-doubles of others, such as compressed, cropped "
        f"or turned ({_some(near)}), and stay on one side of the split; manifest.json lists them",
    )


def _some(doubles: Mapping[str, str]) -> str:
    """Return the first few pictures that are doubles, and of which, in words."""
    words = "; ".join(f"{name} = {other}" for name, other in list(doubles.items())[:3])
    return words + ", ..." * (len(doubles) > 3)


def _notes_on_doubles(records: Sequence[CachedPicture], labelling: Labelling) -> tuple[str, ...]:
    """Return what a person should know of pictures that are in the set more than once."""
    first = _first_names(records)
    doubles = [record for record in records if first[record.content] != record.name]
    if not doubles:
        return ()
    some = _some({double.name: first[double.content] for double in doubles})
    notes = [
        f"{len(doubles)} of {len(records)} pictures are equal to others, or mirrored ({some}), and "
        "stay on one side of the split; manifest.json lists them"
    ]
    classes = labelling.class_of
    if classes and any(classes[d.name] != classes[first[d.content]] for d in doubles):
        notes.append("some of these equal pictures are in different classes")
    return tuple(notes)


def _set_sha256(entry: Entry, parts: SetSplit) -> str:
    digest = hashlib.sha256(repr(entry.pictures.shape[1:]).encode())
    for side, indices in (("training", parts.training), ("held_out", parts.held_out)):
        for record in (entry.records[i] for i in indices):
            digest.update(f"{side}\0{record.name}\0{record.pixels_sha256}\n".encode())
    return digest.hexdigest()


def _counted(skipped: tuple[Skipped, ...]) -> str:
    """Return the reasons with their counts, most frequent first."""
    counts = Counter(s.reason for s in skipped).most_common()
    return ", ".join(f"{count} {reason}" for reason, count in counts)
