"""The folder that pictures are collected into: whole files, a line for each, nothing twice.

A line of the manifest is written before its picture gets its name. A kill between the two leaves a
line without a picture, which counts as nothing; a picture without a line, which only a lost
manifest leaves, gets one again.
"""

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from graftgan.core.errors import CollectError
from graftgan.core.files import read_jsonl, remove_partial, write_jsonl, written_whole
from graftgan.core.locks import FileLock
from graftgan.core.provenance import MANIFEST, Origin, origin_of
from graftgan.pictures.collecting.addresses import LONGEST
from graftgan.pictures.collecting.candidates import FoundPicture, text_of
from graftgan.pictures.collecting.examine import ENDINGS, Examined, examine
from graftgan.pictures.collecting.line_log import Journal, is_torn
from graftgan.pictures.collecting.reasons import Refusal

PICTURES = "pictures"
REFUSED = "refused.jsonl"
_INCOMING, _LOCK = ".incoming", ".collect.lock"
_LONGEST_TEXT = 300  # characters of an author or a title
_OUR_NAME = re.compile(r"[0-9a-f]{20}(\.\w+)")


class RawSet:
    """The pictures in ``folder``, for one process and its threads; close it when done.

    Raises:
        CollectError: The folder cannot be written, another process collects into it, or one of its
            parts is a link that leads elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._held = _entered(folder)
        try:
            self._lines = self._read_lines()
            self._refused = self._read_refused()
            self._by_sha = {line["sha256"]: name for name, line in self._lines.items()}
            self._by_address = dict(self._addresses())
            self._adopt_pictures_without_line()
            self._write_tidy()
            self._manifest = Journal(folder / MANIFEST)
            self._refusals = Journal(folder / REFUSED)
        except BaseException:
            self._held.release()
            raise

    def close(self) -> None:
        """Leave one line for each picture and each refused address, and let others in."""
        with self._lock:
            self._manifest.close()
            self._refusals.close()
            self._write_tidy()
            with suppress(OSError):
                (self.folder / _INCOMING).rmdir()
            self._held.release()

    @property
    def origins(self) -> list[Origin]:
        """The origin of every picture."""
        with self._lock:
            return [origin_of(line) for line in self._lines.values()]

    def name_at(self, address: str) -> str | None:
        """Return the name of the picture that ``address`` gave; None: it gave none yet."""
        with self._lock:
            return self._by_address.get(address)

    def is_refused(self, address: str, *, for_good: bool) -> bool:
        """Return whether ``address`` was refused, or with ``for_good`` whether nothing helps."""
        with self._lock:
            line = self._refused.get(address)
            return line is not None and not (for_good and line.get("again") is True)

    def incoming(self) -> IO[bytes]:
        """Return an empty temporary file of ours, which is gone when it is closed."""
        return tempfile.TemporaryFile(dir=self.folder / _INCOMING)

    def keep(self, candidate: FoundPicture, content: bytes, examined: Examined) -> tuple[str, bool]:
        """Store a picture, unless its bytes are there; return its name and whether it is new.

        Raises:
            CollectError: The disk is full, or the place cannot be written.
            RunError: The same.
        """
        with self._lock:
            self._refused.pop(candidate.address, None)
            name = self._by_sha.get(examined.sha256)
            if name is not None:
                self._learn(name, candidate)
                return name, False
            name = f"{PICTURES}/{examined.file_name}"
            line = _line(name, examined, candidate.origin)
            if not candidate.is_local:
                line["address"] = candidate.address
            self._manifest.append(line)
            with written_whole(self.folder / name) as partial:
                partial.write_bytes(content)
            self._remember(line)
            return name, True

    def refuse(self, candidate: FoundPicture, refusal: Refusal) -> bool:
        """Write down why there is no picture; return whether that is news."""
        line = {
            "address": candidate.address,
            "reason": refusal.reason.value,
            "detail": text_of(refusal.detail, longest=_LONGEST_TEXT) or "",
            "again": refusal.reason.again,
            "source": candidate.origin.source,
            "refused": _now(),
        }
        with self._lock:
            known = self._refused.get(candidate.address)
            if known is not None and known.get("reason") == line["reason"]:
                return False
            self._refused[candidate.address] = line
            self._refusals.append(line)
            return True

    def worth_trying_again(self) -> int:
        """Return the number of refused addresses that another day or other settings may bring."""
        with self._lock:
            return sum(line.get("again") is True for line in self._refused.values())

    def _read_lines(self) -> dict[str, dict[str, Any]]:
        """Return the newest line of each picture that is there and has the length it says."""
        lines: dict[str, dict[str, Any]] = {}
        for line in read_jsonl(self.folder / MANIFEST):
            name = line.get("name")
            if (
                isinstance(name, str)
                and _is_ours(name)
                and _length(self.folder / name) == line.get("bytes")
            ):
                lines[name] = line
        return {n: line for n, line in lines.items() if _is_named_after(n, line.get("sha256"))}

    def _read_refused(self) -> dict[str, dict[str, Any]]:
        lines = read_jsonl(self.folder / REFUSED)
        return {line["address"]: line for line in lines if isinstance(line.get("address"), str)}

    def _addresses(self) -> Iterator[tuple[str, str]]:
        for name, line in self._lines.items():
            for address in _addresses_of(line):
                self._refused.pop(address, None)
                yield address, name

    def _adopt_pictures_without_line(self) -> None:
        for path in sorted((self.folder / PICTURES).iterdir()):
            name = f"{PICTURES}/{path.name}"
            if name in self._lines or not _is_ours(name) or _length(path) is None:
                continue
            with suppress(Refusal, OSError):
                examined = examine(path.read_bytes())
                if examined.file_name == path.name and examined.sha256 not in self._by_sha:
                    self._remember(_line(name, examined, Origin()))

    def _learn(self, name: str, candidate: FoundPicture) -> None:
        """Note another address of a picture, and its origin where none was known."""
        known = self._lines[name]
        line = dict(known)
        if not candidate.is_local and candidate.address not in _addresses_of(known):
            line["also"] = [*_further_addresses(known), candidate.address]
        if not _says_more_than_title(known) and candidate.origin.as_line():
            line |= _tidy_lines(candidate.origin)
        if line != known:
            self._manifest.append(line)
            self._remember(line)

    def _remember(self, line: dict[str, Any]) -> None:
        name = line["name"]
        self._lines[name] = line
        self._by_sha[line["sha256"]] = name
        for address in _addresses_of(line):
            self._by_address[address] = name

    def _write_tidy(self) -> None:
        for name, lines in ((MANIFEST, self._lines), (REFUSED, self._refused)):
            path = self.folder / name
            # What a kill cut short must not swallow the next line.
            if is_torn(path) or read_jsonl(path) != list(lines.values()):
                write_jsonl(path, lines.values())


def _entered(folder: Path) -> FileLock:
    """Make the folder and its parts, and take the lock."""
    parts = [folder / name for name in (PICTURES, _INCOMING, MANIFEST, REFUSED, _LOCK)]
    for part in parts:
        if part.is_symlink():
            raise CollectError(f"{part} is a link, and may lead anywhere; remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / _LOCK)
        if not held.acquire(wait=False):
            raise CollectError(f"{folder} is in use by {held.holder()}; wait for it or stop it")
        for name in (PICTURES, _INCOMING):
            (folder / name).mkdir(exist_ok=True)
        remove_partial(folder / PICTURES)
    except OSError as error:
        raise CollectError(f"cannot write into {folder}: {error.strerror or error}") from None
    return held


def _line(name: str, examined: Examined, origin: Origin) -> dict[str, Any]:
    width, height = examined.size
    return {
        "name": name,
        "sha256": examined.sha256,
        "bytes": examined.length,
        "width": width,
        "height": height,
        "collected": _now(),
        **_tidy_lines(origin),
    }


def _tidy_lines(origin: Origin) -> dict[str, str]:
    """Return what is known, each in one printable line; only addresses may be long."""
    longest = {"url": LONGEST, "page": LONGEST, "licence_url": LONGEST}
    tidied = {
        name: text_of(value, longest=longest.get(name, _LONGEST_TEXT))
        for name, value in origin.as_line().items()
    }
    return {name: value for name, value in tidied.items() if value is not None}


def _says_more_than_title(line: dict[str, Any]) -> bool:
    origin = origin_of(line)
    return any((origin.url, origin.page, origin.author, origin.licence))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _addresses_of(line: dict[str, Any]) -> list[str]:
    first = line.get("address")
    return [*([first] if isinstance(first, str) else []), *_further_addresses(line)]


def _further_addresses(line: dict[str, Any]) -> list[str]:
    also = line.get("also")
    return [one for one in (also if isinstance(also, list) else []) if isinstance(one, str)]


def _is_ours(name: str) -> bool:
    if not name.startswith(f"{PICTURES}/"):
        return False
    match = _OUR_NAME.fullmatch(name.removeprefix(f"{PICTURES}/"))
    return match is not None and match[1] in ENDINGS


def _is_named_after(name: str, sha256: object) -> bool:
    return isinstance(sha256, str) and Path(name).stem == sha256[:20]


def _length(path: Path) -> int | None:
    """Return the bytes of a file; None: there is none, or it is a link."""
    with suppress(OSError):
        if path.is_file() and not path.is_symlink():
            return path.stat().st_size
    return None
