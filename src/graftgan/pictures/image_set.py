"""The checked, hashed and split image set of a run."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.core.errors import CountProgress, ImageSetError, shown
from graftgan.core.network_types import PictureBytes
from graftgan.core.provenance import Origin, origins_of
from graftgan.core.settings import to_plain
from graftgan.pictures.classes import Labelling, label_pictures
from graftgan.pictures.containers import find_container, picture_file
from graftgan.pictures.decode import Shape, decode_all
from graftgan.pictures.decoded_cache import CachedPicture, Entry, load_or_decode, select
from graftgan.pictures.members import Skipped
from graftgan.pictures.near_doubles import near_doubles
from graftgan.pictures.split import DataSettings, SplitName, joined, split, split_again

_NAMED = 3  # skipped files in a summary


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSet:
    """Pictures of one size, split into those to train on and those held out."""

    pictures: PictureBytes  # the training part, uint8 (n, c, h, w)
    held_out: PictureBytes  # the part kept out of training, uint8 (m, c, h, w)
    names: tuple[str, ...]  # of the training pictures, relative to the source
    held_out_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]  # unusable files, and why
    sha256: str  # of pixels, names, order and split; equal hashes train on equal pictures
    notes: tuple[str, ...] = ()  # for the user, such as that the cache could not be written
    source: Path
    settings: DataSettings
    seed: int
    records: tuple[CachedPicture, ...] = field(repr=False)
    splits: tuple[SplitName, ...] = field(repr=False)
    labelling: Labelling = field(default_factory=Labelling, repr=False)
    # By name: where a picture comes from, if a manifest says so; the first of its near-doubles.
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin], repr=False)
    near_doubles: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def resolution(self) -> int:
        """The side of a picture in pixels."""
        return self.pictures.shape[-1]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty without labels."""
        return self.labelling.classes

    @property
    def labels(self) -> Tensor | None:
        """The class index of each training picture, int64 (n,); None without labels."""
        return self.labelling.labels

    def summary(self) -> str:
        """Return one line about the set for the user."""
        used = len(self.names) + len(self.held_out_names)
        of = f" of {len(self.records)}" if used < len(self.records) else ""
        line = f"{used}{of} picture{'s' * (used + len(of) != 1)} at {self.resolution} px"
        if self.held_out_names:
            line += f" ({len(self.names)} to train on, {len(self.held_out_names)} held out)"
        if self.skipped:
            counts = Counter(s.reason for s in self.skipped).most_common()
            reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
            first = ", ".join(shown(s.name) for s in self.skipped[:_NAMED])
            more = ", ..." if len(self.skipped) > _NAMED else ""
            line += f"; {len(self.skipped)} skipped: {reasons} ({first}{more})"
        return "; ".join((line, *self.notes))

    def manifest(self) -> dict[str, Any]:
        """Return plain data on where every picture comes from and how it is used."""
        doubles = _doubles(self.records)
        pictures: list[dict[str, object]] = []
        for record, side in zip(self.records, self.splits, strict=True):
            name = record.name
            line: dict[str, object] = {"name": name, "size": list(record.size)}
            line |= {"mode": record.mode, "sha256": record.sha256, "split": side}
            optional = {
                "double_of": doubles.get(name),
                "near_double_of": self.near_doubles.get(name),
                "remarks": list(record.remarks),
                "class": self.labelling.class_of.get(name),
            }
            line |= {key: value for key, value in optional.items() if value}
            pictures.append(line | self.origins.get(name, Origin()).as_line())
        return {
            "source": str(self.source),
            "resolution": self.resolution,
            "sha256": self.sha256,
            "seed": self.seed,
            "settings": to_plain(self.settings),
            "notes": list(self.notes),
            **({"classes": list(self.classes)} if self.classes else {}),
            "pictures": pictures,
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }


def load_image_set(
    pictures: Path,
    settings: DataSettings,
    *,
    resolution: int,
    seed: int,
    splits: Mapping[str, str] | None = None,
    progress: CountProgress | None = None,
) -> ImageSet:
    """Turn a folder, zip or npz of pictures into a checked, hashed and split image set.

    Pictures may have any size, mode and format: each is cropped to its central square and resized
    with antialiasing. Unreadable files are skipped and listed.

    Args:
        pictures: The folder (with its subfolders), zip or npz.
        settings: What to do with the pictures.
        resolution: The side of a picture in the set, in pixels.
        seed: Chooses the pictures for ``limit`` and ``held_out``.
        splits: The split of an earlier run by name, kept if its names are those of the source.
        progress: Called with (pictures done, pictures in all) while decoding.

    Raises:
        ImageSetError: The source is missing or damaged, has no usable picture, or has fewer than
            ``settings.limit``; or labels are requested and the folders do not give them.
    """
    if resolution < 1:
        raise ImageSetError(f"the resolution must be at least 1 px, got {resolution}")
    source = find_container(pictures)
    shape = Shape(resolution, settings.channels or 3, settings.minimum_side)
    memory_limit = settings.memory_limit_mb * 2**20
    entry = load_or_decode(source, shape, memory_limit=memory_limit, progress=progress)
    _check(pictures, entry, settings)
    records = entry.records
    parts = split_again([record.name for record in records], splits or {})
    near: dict[str, str] = {}
    if parts is None:
        contents = [record.content for record in records]
        if settings.held_out or settings.limit not in (None, len(contents)):
            contents = joined(contents, near_doubles(torch.from_numpy(entry.pictures)))
            firsts = _firsts(records, contents)
            near = {r.name: f.name for r, f in firsts if r.content != f.content}
        parts = split(contents, settings, seed)
    names, held_out_names = (
        tuple(records[i].name for i in part) for part in (parts.training, parts.held_out)
    )
    labelling = Labelling()
    if settings.labels is not None:
        # Include skipped files: a class without a usable picture is an error, it must not vanish.
        members = [member.name for member in (*records, *entry.skipped)]
        labelling = label_pictures(members, names, where=pictures)
    digest = hashlib.sha256(repr(entry.pictures.shape[1:]).encode())
    for side, indices in (("training", parts.training), ("held_out", parts.held_out)):
        for record in (records[i] for i in indices):
            digest.update(f"{side}\0{record.name}\0{record.pixels_sha256}\n".encode())
    return ImageSet(
        pictures=torch.from_numpy(select(entry, parts.training, memory_limit=memory_limit)),
        held_out=torch.from_numpy(select(entry, parts.held_out, memory_limit=memory_limit)),
        names=names,
        held_out_names=held_out_names,
        skipped=entry.skipped,
        sha256=digest.hexdigest(),
        notes=(*entry.notes, *_notes(records, near, labelling.class_of), *labelling.notes),
        source=pictures,
        settings=settings,
        seed=seed,
        records=records,
        splits=parts.names(len(records)),
        labelling=labelling,
        origins=origins_of(pictures),
        near_doubles=near,
    )


def load_picture(path: Path, *, resolution: int, channels: int) -> PictureBytes:
    """Return one picture file, cropped and resized as for a set, uint8 (1, c, h, w).

    Raises:
        ImageSetError: It cannot be read as a picture.
    """
    (outcome,) = decode_all([picture_file(path)], Shape(resolution, channels, minimum_side=1))
    if isinstance(outcome, Skipped):
        raise ImageSetError(f"{path} is not a usable picture: {outcome.reason}")
    return torch.from_numpy(outcome.pixels[None])


def _check(path: Path, entry: Entry, settings: DataSettings) -> None:
    if not entry.records:
        first = "; ".join(f"{shown(s.name)}: {s.reason}" for s in entry.skipped[:5])
        found = f"{len(entry.skipped)} skipped ({first})" if first else "it contains no pictures"
        raise ImageSetError(
            f"{path} has no usable picture: {found}; expected PNG, JPEG or other picture files"
        )
    if settings.limit is not None and settings.limit > len(entry.records):
        raise ImageSetError(
            f"limit is {settings.limit}, but {path} has {len(entry.records)} usable pictures "
            f"({len(entry.skipped)} skipped); lower limit or leave it out"
        )


def _firsts(
    records: Sequence[CachedPicture], contents: Sequence[str]
) -> list[tuple[CachedPicture, CachedPicture]]:
    """Return each record with the first one of the same content."""
    first: dict[str, CachedPicture] = {}
    pairs = zip(records, contents, strict=True)
    return [(record, first.setdefault(content, record)) for record, content in pairs]


def _doubles(records: Sequence[CachedPicture]) -> dict[str, str]:
    """Return the first equal or mirrored picture by the name of each later one."""
    firsts = _firsts(records, [record.content for record in records])
    return {record.name: first.name for record, first in firsts if record.name != first.name}


def _notes(
    records: Sequence[CachedPicture], near: Mapping[str, str], class_of: Mapping[str, str]
) -> list[str]:
    """Return notes for the user on pictures that are in the set more than once."""

    def note(found: Mapping[str, str], are: str) -> str:
        some = "; ".join(f"{name} = {other}" for name, other in list(found.items())[:3])
        some += ", ..." * (len(found) > 3)
        stay = "stay on one side of the split; manifest.json lists them"
        return f"{len(found)} of {len(records)} pictures are {are} ({some}), and {stay}"

    doubles = _doubles(records)
    notes = [note(doubles, "equal to others, or mirrored")] if doubles else []
    if class_of and any(class_of[name] != class_of[first] for name, first in doubles.items()):
        notes.append("some of these equal pictures are in different classes")
    if near:
        notes.append(note(near, "near-doubles of others, such as compressed, cropped or turned"))
    return notes
