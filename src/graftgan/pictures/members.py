"""The members of a source of pictures, how each is read, and which kind of file it is."""

import hashlib
import io
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Content = bytes | NDArray[np.uint8]  # a file's bytes, or the pixels (h, w) or (h, w, c)

# fmt: off
PICTURE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".svg", ".tga",
    ".tif", ".tiff", ".webp",
))
# No format that runs another program (EPS) or is a document.
_FORMATS = (
    "PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000",
    "AVIF",
)
# fmt: on
LARGEST_FILE = 512 * 2**20  # bytes; a larger file is no picture of at most 100 megapixels
_PNG = b"\x89PNG\r\n\x1a\n"
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    ".jpg": lambda start: start.startswith(b"\xff\xd8\xff"),
    ".png": lambda start: start.startswith(_PNG),
    ".gif": lambda start: start.startswith((b"GIF87a", b"GIF89a")),
    ".webp": lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    ".tif": lambda start: start.startswith((b"II*\0", b"MM\0*")),
    ".avif": lambda start: start[4:12] in (b"ftypavif", b"ftypavis"),
    ".heic": lambda start: start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS,
}
"""By the usual suffix of a format: whether a file's first 16 bytes are of that format."""
_is_avif, _is_heif = SIGNATURES[".avif"], SIGNATURES[".heic"]
_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # markers of a JPEG
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # any that begins a segment, or the end
_DNG_VERSION = 50706  # the TIFF tag that makes a file a DNG


class Unusable(Exception):  # noqa: N818 - always caught where members are read
    """A member cannot become a picture; the message is the short reason."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A member that was left out of the set, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of a source that should be a picture."""

    name: str  # relative to the source, with / between folders
    read: Callable[[], Content]  # raises Unusable with the reason
    stamp: str = ""  # changes when the content does
    size: int = 0  # bytes of the content; 0 if not known before reading


@dataclass(frozen=True, slots=True)
class Contents:
    """The members of a source in order, and notes for the user."""

    members: Sequence[Member]
    notes: tuple[str, ...] = ()
    side: int | None = None  # the shorter side of every picture, if all have the same size


@dataclass(frozen=True, slots=True)
class Container:
    """A source of pictures; equal fingerprints mean equal pictures."""

    path: Path
    fingerprint: str
    open: Callable[[], AbstractContextManager[Contents]]


def sha256_of(content: Content) -> str:
    """Return the hash of a file's bytes, or of pixels."""
    return hashlib.sha256(content if isinstance(content, bytes) else content.tobytes()).hexdigest()


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left out silently."""
    return name.startswith(".") or name == "__MACOSX"


def has_picture_suffix(name: str) -> bool:
    """Return whether the suffix of a file name is that of a picture format."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def printable_name(name: str) -> str:
    """Return a file name that can be printed and hashed, even if its bytes are not UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def numbered(name: str, pattern: str = "{}_{}{}") -> Iterator[str]:
    """Yield ``name``, then its numbered versions: ``pattern`` of stem, number from 2 and suffix."""
    yield name
    path = PurePosixPath(name)
    for number in count(2):
        yield str(path.with_name(pattern.format(path.stem, number, path.suffix)))


def too_large_file(largest: int = LARGEST_FILE) -> str:
    """Return the reason for a member of more than ``largest`` bytes."""
    return f"larger than {largest >> 20} MB"


def looks_like_picture(first_bytes: bytes) -> bool:
    """Return whether a file with these first bytes claims to be a picture."""
    return any(is_so(first_bytes) for is_so in (*SIGNATURES.values(), is_jpeg_xl))


def is_jpeg_xl(first_bytes: bytes) -> bool:
    """Return whether a file with these first bytes is a JPEG XL in its container."""
    return first_bytes.startswith(_JPEG_XL[1])


_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_avif, "AVIF, which this Pillow cannot read; convert it to PNG"),
    (lambda start: start.startswith(_JPEG_XL), "JPEG XL; convert it to PNG, as `djxl` does"),
    (lambda start: start.startswith(b"8BPS"), "a Photoshop document; save it as PNG"),
    (lambda start: b"<svg" in start[:512].lower(), "SVG, a drawing without pixels; draw it as PNG"),
)


def open_picture(content: bytes) -> Image.Image:
    """Open the picture in a file's bytes, reading only its header.

    Raises:
        Unusable: It cannot be read; the message says which kind of file it is.
    """
    if not content:
        raise Unusable("empty file")
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    if _is_heif(content[:16]) and can_read_heif():
        formats = ["HEIF"]
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError:
        raise Unusable(_why_unidentified(content)) from None
    if image.format == "TIFF" and _is_raw(image, content):
        raise Unusable("a camera's raw file; develop it to JPEG or PNG")
    return image


@cache
def can_read_heif() -> bool:
    """Return whether HEIC can be read, which takes the extra ``heic``."""
    try:
        import pillow_heif  # type: ignore[import-not-found]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def readable_extras() -> tuple[bool, bool]:
    """Return whether HEIC and AVIF can be read, which depends on what is installed."""
    Image.init()
    return can_read_heif(), "AVIF" in Image.OPEN


def png_chunk(content: bytes, kind: bytes) -> bytes | None:
    """Return the chunk ``kind`` of a PNG if it comes before palette and pixels, otherwise None."""
    place = len(_PNG) if content.startswith(_PNG) else len(content)
    while place + 8 <= len(content):
        length, found = struct.unpack_from(">I4s", content, place)
        if found == kind:
            return content[place + 8 : place + 8 + length]
        if found in (b"PLTE", b"IDAT"):
            return None
        place += 12 + length
    return None


def jpeg_scans(content: bytes) -> int:
    """Return the number of scans in a JPEG's first picture; each may cover the whole picture."""
    if content.count(_SCAN) == 1:
        return 1  # the usual case, without walking through the markers
    scans, place = 0, 2
    while (marker := _MARKER.search(content, place)) is not None and marker[0] != _END:
        scans += marker[0] == _SCAN
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return scans


def _why_unidentified(content: bytes) -> str:
    if _is_heif(content[:16]) and not can_read_heif():
        return 'HEIC; install it with pip install "graftgan[heic]", or convert it to JPEG or PNG'
    known = next((words for is_so, words in _OTHERS if is_so(content[:512])), None)
    if known is not None and not (_is_avif(content) and "AVIF" in Image.OPEN):
        return known
    return "damaged or truncated" if looks_like_picture(content[:16]) else "not a picture"


def _is_raw(image: Image.Image, content: bytes) -> bool:
    """Return whether a TIFF is a camera's raw file, of which Pillow reads only a small preview."""
    with suppress(Exception):  # decoding reports a damaged directory
        return content[8:10] == b"CR" or _DNG_VERSION in image.getexif()
    return False
