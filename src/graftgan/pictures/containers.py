"""Find the pictures in a folder, a zip or an npz, without decoding any.

Hidden files, ``__MACOSX`` and files that are no pictures by name and by their first bytes are
ignored. Everything else becomes a member, so that what turns out unusable is listed, not dropped.
"""

import stat
import zipfile
from functools import partial
from pathlib import Path

from graftgan.core.errors import ImageSetError
from graftgan.pictures.archive import open_zip
from graftgan.pictures.arrays import open_npz
from graftgan.pictures.folder import digest, folder_source, stamp_of
from graftgan.pictures.members import Container


def find_container(path: Path) -> Container:
    """Look at ``path`` and say how to read it.

    Raises:
        ImageSetError: Nothing is there, or it is not a folder, zip or npz that can be opened.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return folder_source(path)
        if not stat.S_ISREG(status.st_mode) or not _is_zip(path):
            raise ImageSetError(
                f"{path} is not a folder, zip or npz of pictures (or the file is damaged); "
                "give the folder that holds the pictures"
            )
    except FileNotFoundError:
        raise ImageSetError(f"there is no {path}; give a folder, zip or npz of pictures") from None
    except OSError as error:
        raise ImageSetError(f"cannot read {path}: {error.strerror or error}") from None
    stamp = stamp_of(status)
    is_npz = path.suffix.lower() == ".npz"
    if is_npz != _holds_arrays(path, otherwise=is_npz):
        what, ending = ("zip", ".zip") if is_npz else ("npz", ".npz")
        raise ImageSetError(f"{path} is in truth a whole {what}; rename it to end in {ending}")
    opener = partial(open_npz, stamp=stamp) if is_npz else open_zip
    return Container(path, digest([f"{path.resolve()}\0{stamp}"]), partial(opener, path))


def _holds_arrays(path: Path, *, otherwise: bool) -> bool:
    """Return whether all files in a zip are arrays; ``otherwise`` where that cannot be told."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except Exception:  # zipfile raises many kinds for damaged files; opening it says so
        return otherwise
    arrays = sum(name.endswith(".npy") for name in names)
    return otherwise if 0 < arrays < len(names) or not names else arrays > 0


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # a zip whose end is damaged; opening it says so
        return True
