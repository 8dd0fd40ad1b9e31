"""The folder that pictures are collected into: whole files, a line for each, and no duplicates.

A line of the manifest is written before its picture gets its name. A kill between the two leaves a
line without a picture, which is ignored. A picture without a line, which only a lost manifest can
leave, gets a new one.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from graftgan.core.errors import CollectError
from graftgan.core.files import FileLock, read_jsonl, remove_partial, write_jsonl, written_whole
from graftgan.core.provenance import MANIFEST, Origin, origin_of
from graftgan.pictures.collecting.addresses import LONGEST_ADDRESS
from graftgan.pictures.collecting.candidates import FoundPicture, text_of
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from graftgan.pictures.decode import decode_whole, reasons_for_failure
from graftgan.pictures.members import SIGNATURES, Unusable, is_jpeg_xl, sha256_of

PICTURES = "pictures"
REFUSED = "refused.jsonl"
_INCOMING, _LOCK = ".incoming", ".collect.lock"
_LONGEST_TEXT = 300  # characters of an author or a title
_OUR_NAME = re.compile(rf"{PICTURES}/([0-9a-f]{{20}})(\.\w+)")
_LEAST = 256  # pixels of detail: enough to know that the whole picture can be decoded
_ENDINGS: dict[str, Callable[[bytes], bool]] = {
    **SIGNATURES,
    ".bmp": lambda start: start.startswith(b"BM") and start[6:10] == b"\0\0\0\0",
    ".jp2": lambda start: start.startswith(b"\0\0\0\x0cjP  \r\n\x87\n"),
}
_OTHERS: dict[str, Callable[[bytes], bool]] = {
    "empty": lambda start: not start,
    "HTML, SVG or the like": lambda start: start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"),
    "JSON": lambda start: start.lstrip().startswith((b"{", b"[")),
    "a document": lambda start: start.startswith(b"%PDF"),
    "an archive": lambda start: start.startswith((b"PK\3\4", b"\x1f\x8b", b"7z", b"Rar!")),
    "JPEG XL, which cannot be read": is_jpeg_xl,
    "a video": lambda start: start[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the bytes of a picture tell."""

    sha256: str
    ending: str  # of the file's name, by its actual format
    size: tuple[int, int]  # width and height in the file
    length: int  # in bytes

    @property
    def file_name(self) -> str:
        """The name of a picture with these bytes."""
        return self.sha256[:20] + self.ending


def ending_of(start: bytes) -> str:
    """Return the ending for a file with these first bytes; Refusal: it is not a usable picture."""
    for ending, is_so in _ENDINGS.items():
        if is_so(start):
            return ending
    what = next((name for name, is_so in _OTHERS.items() if is_so(start)), None)
    raise Refusal(RefusalReason.NOT_A_PICTURE, what or "of an unknown format")


def examine(content: bytes) -> Examined:
    """Decode a whole picture and return what it is; Refusal: it is unusable."""
    ending = ending_of(content[:64])
    try:
        with reasons_for_failure():
            size = decode_whole(content, least=_LEAST).size
    except Unusable as problem:
        reason = RefusalReason.UNUSABLE
        if str(problem).startswith("more than"):
            reason = RefusalReason.TOO_MANY_PIXELS
        elif str(problem).startswith("damaged"):
            reason = RefusalReason.DAMAGED
        raise Refusal(reason, str(problem)) from None
    return Examined(sha256=sha256_of(content), ending=ending, size=size, length=len(content))


class _Journal:
    """JSON lines appended to ``path``, each flushed to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._explained(error) from None

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line, which then survives a kill or a power cut."""
        try:
            left = json.dumps(line).encode() + b"\n"
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._explained(error) from None

    def close(self) -> None:
        self._file.close()

    def _explained(self, error: OSError) -> CollectError:
        reason = error.strerror or str(error)
        return CollectError(
            f"cannot write {self._path}: {reason}; free some space or choose another folder"
        )


class RawSet:
    """The pictures in ``folder``, for one process whose threads take turns; close it when done.

    Raises:
        CollectError: The folder cannot be written, is in use by another process, or has links in
            place of its parts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = _entered(folder)
        try:
            self._lines: dict[str, dict[str, Any]] = {}
            self._by_sha: dict[str, str] = {}
            self._by_address: dict[str, str] = {}
            for line in self._read_lines():
                self._remember(line)
            refused = [r for r in read_jsonl(folder / REFUSED) if isinstance(r.get("address"), str)]
            self._refused = {
                r["address"]: r for r in refused if r["address"] not in self._by_address
            }
            self._adopt_pictures_without_line()
            self._write_tidy()
            self._manifest = _Journal(folder / MANIFEST)
            self._refusals = _Journal(folder / REFUSED)
        except BaseException:
            self._held.release()
            raise

    def close(self) -> None:
        """Leave one line for each picture and each refused address, and release the lock."""
        self._manifest.close()
        self._refusals.close()
        self._write_tidy()
        with suppress(OSError):
            (self.folder / _INCOMING).rmdir()
        self._held.release()

    @property
    def origins(self) -> list[Origin]:
        """The origin of every picture."""
        return [origin_of(line) for line in self._lines.values()]

    def name_at(self, address: str) -> str | None:
        """Return the name of the picture from ``address``; None: there is none yet."""
        return self._by_address.get(address)

    def is_refused(self, address: str, *, for_good: bool) -> bool:
        """Return whether ``address`` was refused, with ``for_good`` for a permanent reason."""
        line = self._refused.get(address)
        return line is not None and not (for_good and line.get("again") is True)

    def incoming(self) -> IO[bytes]:
        """Return an empty temporary file, which is deleted when it is closed.

        Raises:
            CollectError: The folder cannot be written.
        """
        try:
            return tempfile.TemporaryFile(dir=self.folder / _INCOMING)
        except OSError as error:
            raise CollectError(
                f"cannot write into {self.folder}: {error.strerror or error}; free some space or "
                "choose another folder"
            ) from None

    def keep(self, candidate: FoundPicture, content: bytes, examined: Examined) -> tuple[str, bool]:
        """Store a picture, unless its bytes are there; return its name and whether it is new.

        Raises:
            CollectError, RunError: The folder cannot be written.
        """
        self._refused.pop(candidate.address, None)
        name = self._by_sha.get(examined.sha256)
        if name is not None:
            self._learn(name, candidate)
            return name, False
        line = _line(examined, candidate.origin)
        name = line["name"]
        if not candidate.is_local:
            line["address"] = candidate.address
        self._manifest.append(line)
        with written_whole(self.folder / name) as partial:
            partial.write_bytes(content)
        self._remember(line)
        return name, True

    def refuse(self, candidate: FoundPicture, refusal: Refusal) -> bool:
        """Record why there is no picture; return whether that is new."""
        line = {
            "address": candidate.address,
            "reason": refusal.reason.value,
            "detail": text_of(refusal.detail, longest=_LONGEST_TEXT) or "",
            "again": refusal.reason.again,
            "source": candidate.origin.source,
            "refused": _now(),
        }
        known = self._refused.get(candidate.address)
        if known is not None and known.get("reason") == line["reason"]:
            return False
        self._refused[candidate.address] = line
        self._refusals.append(line)
        return True

    def worth_trying_again(self) -> int:
        """Return the number of refused addresses that may work later or with other settings."""
        return sum(line.get("again") is True for line in self._refused.values())

    def _read_lines(self) -> list[dict[str, Any]]:
        """Return the newest line of each picture that exists and has the stated length."""
        lines: dict[str, dict[str, Any]] = {}
        for line in read_jsonl(self.folder / MANIFEST):
            name = line.get("name")
            if not isinstance(name, str) or _sha_in(name) is None:
                continue
            if _length(self.folder / name) == line.get("bytes"):
                lines[name] = line
        shas = {name: line.get("sha256") for name, line in lines.items()}
        return [lines[n] for n, s in shas.items() if isinstance(s, str) and s[:20] == _sha_in(n)]

    def _adopt_pictures_without_line(self) -> None:
        for path in sorted((self.folder / PICTURES).iterdir()):
            name = f"{PICTURES}/{path.name}"
            if name in self._lines or _sha_in(name) is None or _length(path) is None:
                continue
            with suppress(Refusal, OSError):
                examined = examine(path.read_bytes())
                if examined.file_name == path.name and examined.sha256 not in self._by_sha:
                    self._remember(_line(examined, Origin()))

    def _learn(self, name: str, candidate: FoundPicture) -> None:
        """Record another address of a picture, and its origin if none was known."""
        known = self._lines[name]
        line = dict(known)
        if not candidate.is_local and candidate.address not in _addresses_of(known):
            line["also"] = [*_further_addresses(known), candidate.address]
        origin = origin_of(known)
        says_more_than_title = any((origin.url, origin.page, origin.author, origin.licence))
        if not says_more_than_title and candidate.origin.as_line():
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
            # The next line must not be appended to one that a kill cut short.
            is_torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
            if is_torn or read_jsonl(path) != list(lines.values()):
                write_jsonl(path, lines.values())


def _entered(folder: Path) -> FileLock:
    """Make the folder and its parts, and take the lock."""
    parts = [folder / name for name in (PICTURES, _INCOMING, MANIFEST, REFUSED, _LOCK)]
    for part in parts:
        if part.is_symlink():
            raise CollectError(f"{part} is a link, which may lead anywhere; remove it")
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


def _line(examined: Examined, origin: Origin) -> dict[str, Any]:
    width, height = examined.size
    return {
        "name": f"{PICTURES}/{examined.file_name}",
        "sha256": examined.sha256,
        "bytes": examined.length,
        "width": width,
        "height": height,
        "collected": _now(),
        **_tidy_lines(origin),
    }


def _tidy_lines(origin: Origin) -> dict[str, str]:
    """Return what is known of an origin, each value in one printable line of limited length."""
    longest = {"url": LONGEST_ADDRESS, "page": LONGEST_ADDRESS, "licence_url": LONGEST_ADDRESS}
    tidied = {
        name: text_of(value, longest=longest.get(name, _LONGEST_TEXT))
        for name, value in origin.as_line().items()
    }
    return {name: value for name, value in tidied.items() if value is not None}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _addresses_of(line: dict[str, Any]) -> list[str]:
    first = line.get("address")
    return [*([first] if isinstance(first, str) else []), *_further_addresses(line)]


def _further_addresses(line: dict[str, Any]) -> list[str]:
    also = line.get("also")
    return [one for one in (also if isinstance(also, list) else []) if isinstance(one, str)]


def _sha_in(name: str) -> str | None:
    """Return the start of the hash in a name; None: it is not one that we gave."""
    match = _OUR_NAME.fullmatch(name)
    return match[1] if match is not None and match[2] in _ENDINGS else None


def _length(path: Path) -> int | None:
    """Return the size of a file in bytes; None: there is none, or it is a link."""
    with suppress(OSError):
        if path.is_file() and not path.is_symlink():
            return path.stat().st_size
    return None
