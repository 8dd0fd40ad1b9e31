"""The pictures in a zip, read in place, whatever made it."""

import zipfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from graftgan.core.errors import ImageSetError
from graftgan.core.untrusted import shown
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
        ImageSetError: It is damaged.
    """
    with opened_zip(path) as archive:
        entries = [entry for entry in archive.infolist() if _is_picture(archive, entry)]
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
        yield Contents(sorted(members, key=lambda member: member.name), notes)


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
        with archive.open(entry) as file:
            return looks_like_picture(file.read(16))
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
    if entry.file_size > LARGEST_FILE:
        raise Unusable(too_large_file())
    try:
        return archive.read(entry)
    except (NotImplementedError, RuntimeError):  # this Python was built without the compression
        raise Unusable(_not_readable(entry.compress_type)) from None
    except MemoryError:
        raise Unusable("too large for the memory") from None
    except Exception:  # zipfile raises many kinds for damaged members
        raise Unusable("damaged in the zip") from None


def _not_readable(method: int) -> str:
    name = _METHODS.get(method, f"method {method}")
    return f"compressed as {name}, which cannot be read; make the zip again with Deflate"
