"""A cache of decoded pictures on disk, so that the second start need not decode.

An entry is a folder ``<key>/`` with ``pictures.npy``, uint8 (n, c, h, w), and ``manifest.json``.
It appears whole, may be built by several processes at once, and is rebuilt if damaged. If the cache
cannot be written, pictures are decoded at each start.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graftgan.core.errors import CountProgress, ImageSetError
from graftgan.core.files import cache_home, clear_killed, partial_ending
from graftgan.pictures.decode import Decoded, Shape, decode_all
from graftgan.pictures.members import Container, Member, Skipped, readable_extras, sha256_of
from graftgan.pictures.pixel_values import FULL, agreed_bits

_FORMAT = 3  # increase it when the same file gives other pixels or the entry has another layout
_HEADER_BYTES = 128


@dataclass(frozen=True, slots=True)
class CachedPicture:
    """The record of one picture of the set."""

    name: str
    size: tuple[int, int]  # width, height in the file
    mode: str
    sha256: str  # of the file's bytes
    pixels_sha256: str  # of the pixels in the set
    mirrored_sha256: str  # of the same, mirrored
    remarks: tuple[str, ...] = ()  # on its conversion, for the user

    @property
    def content(self) -> str:
        """A hash that is the same for equal and for mirrored pictures."""
        return min(self.pixels_sha256, self.mirrored_sha256)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """All usable pictures of a source, and what was skipped."""

    pictures: NDArray[np.uint8]
    records: tuple[CachedPicture, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    folder: Path | None = None  # None: not in the cache


def load_or_decode(
    source: Container, shape: Shape, *, memory_limit: int, progress: CountProgress | None = None
) -> Entry:
    """Return the pictures of ``source`` in ``shape``, from the cache if they are there.

    A set of more than ``memory_limit`` bytes is mapped from the cache, not loaded. ``progress`` is
    called with (pictures done, pictures in all) while decoding.
    """
    try:
        sides = (shape.resolution, shape.channels, shape.minimum_side)
        parts = (_FORMAT, source.fingerprint, *sides, readable_extras())
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        folder = cache_home() / "image_sets" / key
        return _read(folder, memory_limit) or _write(folder, source, shape, memory_limit, progress)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        reason = getattr(error, "strerror", None) or str(error)
    buffer = io.BytesIO()
    entry = _decode_into(buffer, source, shape, progress)
    flat = np.frombuffer(buffer.getbuffer(), dtype=np.uint8, offset=_HEADER_BYTES)
    note = f"not cached ({reason}), so the next start decodes again"
    return replace(entry, pictures=flat.reshape(entry.pictures.shape), notes=(*entry.notes, note))


def select(entry: Entry, indices: NDArray[np.int64], *, memory_limit: int) -> NDArray[np.uint8]:
    """Return some pictures of ``entry``, in a mapped file if they exceed ``memory_limit`` bytes."""
    if np.array_equal(indices, np.arange(len(entry.pictures))):
        return entry.pictures
    size = len(indices) * entry.pictures[0].nbytes
    if entry.folder is None or size <= memory_limit:
        return np.array(entry.pictures[indices])  # a plain array, never a memory map
    path = entry.folder / f"selection-{hashlib.sha256(indices.tobytes()).hexdigest()[:16]}.npy"
    if not path.exists():
        clear_killed(path.parent)
        handle, partial = tempfile.mkstemp(partial_ending(), f".{path.name}-", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_header((len(indices), *entry.pictures.shape[1:])))
                for index in indices:
                    file.write(entry.pictures[index].tobytes())
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
    return np.load(path, mmap_mode="c")


def _read(folder: Path, memory_limit: int) -> Entry | None:
    """Return the entry, or None if it is not there or damaged."""
    try:
        plain = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        records = tuple(_record(r) for r in plain["pictures"])
        skipped = tuple(Skipped(**s) for s in plain["skipped"])
        notes = tuple(plain["notes"])
        path = folder / "pictures.npy"
        # Mode "c" is copy on write: nothing reaches the file, and torch gets writable memory.
        mapped = path.stat().st_size - _HEADER_BYTES > memory_limit
        pictures = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        if list(pictures.shape) != plain["shape"] or pictures.dtype != np.uint8:
            return None
        if not mapped and any(
            sha256_of(picture) != record.pixels_sha256
            for picture, record in zip(pictures, records, strict=True)
        ):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RecursionError):
        return None
    return Entry(pictures, records, skipped, notes, folder)


def _record(plain: dict[str, Any]) -> CachedPicture:
    width, height = plain.pop("size")
    return CachedPicture(size=(width, height), remarks=tuple(plain.pop("remarks")), **plain)


def _write(
    folder: Path, source: Container, shape: Shape, memory_limit: int, progress: CountProgress | None
) -> Entry:
    """Decode into a temporary folder and rename it; another process may do the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_killed(folder.parent)
    partial = Path(tempfile.mkdtemp(partial_ending(), f".{folder.name}-", folder.parent))
    try:
        with (partial / "pictures.npy").open("wb") as file:
            entry = _decode_into(file, source, shape, progress)
        plain = {
            "shape": list(entry.pictures.shape),
            "pictures": [asdict(record) for record in entry.records],
            "skipped": [asdict(skipped) for skipped in entry.skipped],
            "notes": list(entry.notes),
        }
        (partial / "manifest.json").write_text(json.dumps(plain), encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:  # another process was first, or a damaged entry is in the way
            if _read(folder, memory_limit) is None:
                damaged = partial.with_name(f".damaged-{partial.name[1:]}")
                folder.rename(damaged)
                shutil.rmtree(damaged, ignore_errors=True)
                partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    written = _read(folder, memory_limit)
    if written is None:
        raise OSError(f"the entry {folder} cannot be read back")
    return written


class _Written(NamedTuple):
    """A picture in the file, and what decoding it again with other bits takes."""

    record: CachedPicture
    member: Member
    needed_bits: int | None
    bits: int


def _decode_into(
    file: BinaryIO, source: Container, shape: Shape, progress: CountProgress | None
) -> Entry:
    """Write all pictures of ``source`` to ``file`` in npy format, one after another.

    The entry's pictures have the right shape but take no memory: they are in ``file``.
    """
    decoded: list[_Written] = []
    skipped: list[Skipped] = []
    file.write(bytes(_HEADER_BYTES))
    with warnings.catch_warnings(), source.open() as contents:
        # Pillow warns about files that it can read; others are listed with a reason.
        warnings.simplefilter("ignore")
        if contents.side is not None and contents.side < shape.minimum_side:
            raise ImageSetError(
                f"{source.path} has no usable picture: all {len(contents.members):,} are smaller "
                f"than {shape.minimum_side} px; lower --minimum-side, or give larger pictures"
            )
        with closing(decode_all(contents.members, shape, progress)) as outcomes:
            for member, outcome in zip(contents.members, outcomes, strict=True):
                if isinstance(outcome, Skipped):
                    skipped.append(outcome)
                else:
                    file.write(outcome.pixels.tobytes())
                    decoded.append(_written(member, outcome))
        _agree_on_bits(file, decoded, shape)
        notes = contents.notes
    records = tuple(written.record for written in decoded)
    counts = Counter(remark for record in records for remark in record.remarks)
    remarks = tuple(f"{count} {remark}" for remark, count in counts.most_common())
    full_shape = (len(records), shape.channels, shape.resolution, shape.resolution)
    file.seek(0)
    file.write(_header(full_shape))
    pictures = np.broadcast_to(np.zeros((), np.uint8), full_shape)
    return Entry(pictures, records, tuple(skipped), notes + remarks)


def _written(member: Member, decoded: Decoded) -> _Written:
    whole = decoded.whole
    record = CachedPicture(
        name=decoded.name,
        size=whole.size,
        mode=whole.mode,
        sha256=decoded.sha256,
        pixels_sha256=sha256_of(decoded.pixels),
        mirrored_sha256=sha256_of(decoded.pixels[..., ::-1]),
        remarks=whole.remarks,
    )
    return _Written(record, member, whole.needed_bits, whole.bits)


def _agree_on_bits(file: BinaryIO, written: list[_Written], shape: Shape) -> None:
    """Decode pictures of 16 bit again if the whole set shows that fewer bits are used."""
    deep = [i for i, one in enumerate(written) if one.needed_bits is not None]
    agreed = agreed_bits([written[i].needed_bits or FULL for i in deep])
    for bits in sorted(set(agreed)):
        again = [
            i for i, chosen in zip(deep, agreed, strict=True) if chosen == bits != written[i].bits
        ]
        outcomes = decode_all([written[i].member for i in again], shape, bits=bits)
        for index, outcome in zip(again, outcomes, strict=True):
            if isinstance(outcome, Skipped):  # it changed meanwhile; keep the first reading
                continue
            file.seek(_HEADER_BYTES + index * outcome.pixels.nbytes)
            file.write(outcome.pixels.tobytes())
            written[index] = _written(written[index].member, outcome)


def _header(shape: tuple[int, ...]) -> bytes:
    """Return an npy 1.0 header of fixed length, so that it can be written after the data."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    body = text.ljust(_HEADER_BYTES - 11).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body
