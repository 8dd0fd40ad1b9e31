"""The pictures in a zip, read in place, whatever made it."""

import zipfile
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from graftgan.core.errors import ImageSetError
from graftgan.core.untrusted import shown
from graftgan.core.zip_members import LARGEST_TIGHT, first_bytes, is_tight, unpacked
from graftgan.pictures.file_kinds import looks_like_picture
from graftgan.pictures.members import (
    LARGEST_FILE,
    Contents,
    Member,
    Unusable,
    has_picture_suffix,
    is_hidden,
    printable_name,
    too_large_file,
)

_ENCRYPTED = 0x1  # the bit of a member's flags
_READABLE = frozenset(
    (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
)
_AES = 99
_MOST_UNPACKED = 2**30  # bytes of all members together, where the zip is small
_MOST_TIMES = 250  # the same as a multiple of the zip's size; pictures hardly pack at all
_MOST_LOOKS = 256  # at members that bzip2 or LZMA packed: each costs a block of up to 900 kB
_BLOCK = 2**20  # bytes that a member packed with bzip2 costs at least, whatever it states
# The numbers of the zip specification (APPNOTE, section 4.4.5).
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}


@contextmanager
def opened_zip(path: Path, what: str = "zip") -> Generator[zipfile.ZipFile]:
    """Open a zip; whatever its damage makes ``zipfile`` raise, here or in the block, is one error.

    Raises:
        ImageSetError: It is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:
        raise damaged(path, what, error) from None
    with archive:
        yield archive


def damaged(path: Path, what: str, error: Exception) -> ImageSetError:
    """Return the error for a damaged ``what`` at ``path``."""
    reason = shown(error, 200) or type(error).__name__
    return ImageSetError(f"{path} is a damaged {what}: {reason}; make or fetch it again")


@contextmanager
def open_zip(path: Path) -> Generator[Contents]:
    """Yield the pictures in a zip.

    Raises:
        ImageSetError: It is damaged, or unpacks to far more than a zip of its size should.
    """
    with opened_zip(path) as archive:
        tight = [entry for entry in archive.infolist() if is_tight(entry)]
        nameless = [entry for entry in tight if not has_picture_suffix(entry.filename)]
        unseen = set(nameless[_MOST_LOOKS:])
        found = [entry for entry in archive.infolist() if entry not in unseen]
        entries = [entry for entry in found if _is_picture(archive, entry)]
        _check_sizes(path, entries)
        names, notes = _different([tidy_name(entry.filename) for entry in entries])
        members = [
            Member(
                name,
                partial(_read_entry, archive, entry),
                f"{entry.file_size}:{entry.CRC}",
                entry.file_size,
            )
            for name, entry in zip(names, entries, strict=True)
        ]
        if unseen:
            why = "packed with bzip2 or LZMA and without a picture's name: too many to look into"
            notes += (f"left out {len(unseen)} {why}",)
        yield Contents(sorted(members, key=lambda member: member.name), notes)


def _check_sizes(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a bomb by the sizes that it states, which no member exceeds when it is unpacked."""
    sizes = (max(entry.file_size, _BLOCK * is_tight(entry)) for entry in entries)
    total = sum(size for size in sizes if size <= LARGEST_FILE)  # a larger one is skipped
    packed = path.stat().st_size
    if total > max(_MOST_UNPACKED, _MOST_TIMES * packed):
        raise ImageSetError(
            f"{path} has {packed / 1e6:.1f} MB, and its pictures unpack to {total / 1e9:.1f} GB, "
            f"more than {_MOST_TIMES} times as much; unpack it yourself and give the folder"
        )


def tidy_name(name: str) -> str:
    r"""Return a member's name with ``/`` between folders and no way out of the archive.

    Windows PowerShell 5 writes ``\`` instead, which the specification forbids.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return printable_name("/".join(part for part in parts if part not in ("/", "..")))


def read_entry(path: Path, name: str, *, largest: int) -> bytes | None:
    """Return what is in the member of a zip with that tidy name; None: there is none.

    Raises:
        ImageSetError: It is there and cannot be read, or has more than ``largest`` bytes.
    """
    with opened_zip(path) as archive:
        named = [entry for entry in archive.infolist() if tidy_name(entry.filename) == name]
        if not named:
            return None
        try:
            if named[-1].file_size > largest:
                raise Unusable(f"larger than {largest >> 20} MB")
            return _read_entry(archive, named[-1])
        except Unusable as reason:
            raise ImageSetError(
                f"{name} of {path} cannot be read: {reason}; make the zip again"
            ) from None


def _is_picture(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    name = tidy_name(entry.filename)
    is_folder = entry.filename.endswith(("/", "\\"))
    if is_folder or not name or any(is_hidden(part) for part in name.split("/")):
        return False
    if has_picture_suffix(name):
        return True
    try:
        return looks_like_picture(first_bytes(archive, entry, 16))
    except Exception:  # a damaged or encrypted member that does not even claim to be a picture
        return False


def _different(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names with a number where one stands twice, and a remark on how many do."""
    twice = {name for name, count in Counter(names).items() if count > 1}
    if not twice:
        return names, ()
    taken, different = set(names) - twice, list[str]()
    for name in names:
        path, number = PurePosixPath(name), 1
        new = name
        while name in twice and new in taken:
            number += 1
            new = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
        taken.add(new)
        different.append(new)
    some = ", ".join(map(shown, sorted(twice)[:3])) + ", ..." * (len(twice) > 3)
    many = "names stand" if len(twice) > 1 else "name stands"
    return different, (f"{len(twice)} {many} more than once in the zip ({some}); all are used",)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & _ENCRYPTED or entry.compress_type == _AES:
        raise Unusable("encrypted in the zip")
    if entry.compress_type not in _READABLE:
        raise Unusable(_not_readable(entry.compress_type))
    largest = LARGEST_TIGHT if is_tight(entry) else LARGEST_FILE
    if entry.file_size > largest:
        raise Unusable(too_large_file(largest))
    try:
        return unpacked(archive, entry)
    except (NotImplementedError, RuntimeError):  # this Python was built without the compression
        raise Unusable(_not_readable(entry.compress_type)) from None
    except MemoryError:
        raise Unusable("too large for the memory") from None
    except Exception:  # zipfile raises many kinds for damaged members
        raise Unusable("damaged in the zip") from None


def _not_readable(method: int) -> str:
    name = _METHODS.get(method, f"method {method}")
    return f"compressed as {name}, which cannot be read; make the zip again with Deflate"
