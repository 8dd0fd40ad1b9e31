"""What a source of pictures holds: its members, how each is read, and which kind of file it is."""

import hashlib
import io
import re
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
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
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # markers of a JPEG
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # any that begins a segment, or the end
_DNG_VERSION = 50706  # the TIFF tag that makes a file a DNG


class Unusable(Exception):  # noqa: N818 - caught wherever members are read, never shown as it is
    """A member cannot become a picture; the message is the short reason."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A member that is not in the set, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """One thing that should be a picture."""

    name: str  # relative to the source, with / between folders
    read: Callable[[], Content]  # raises Unusable with the reason
    stamp: str = ""  # changes when the content does
    size: int = 0  # bytes of the content, as far as known before reading


@dataclass(frozen=True, slots=True)
class Contents:
    """The members of a source in their order, and remarks for the person."""

    members: Sequence[Member]
    notes: tuple[str, ...] = ()
    side: int | None = None  # the shorter one of every picture, where all have one size


@dataclass(frozen=True, slots=True)
class Container:
    """Where pictures come from; equal fingerprints mean equal pictures."""

    path: Path
    fingerprint: str
    open: Callable[[], AbstractContextManager[Contents]]


def sha256_of(content: Content) -> str:
    """Return the hash of a file's bytes, or of pixels."""
    return hashlib.sha256(content if isinstance(content, bytes) else content.tobytes()).hexdigest()


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left out without a word."""
    return name.startswith(".") or name == "__MACOSX"


def has_picture_suffix(name: str) -> bool:
    """Return whether a file name says that it is a picture."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def printable_name(name: str) -> str:
    """Return a file name that can be printed and hashed, even if its bytes are no UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def too_large_file(largest: int = LARGEST_FILE) -> str:
    """Return the reason for a member of more than ``largest`` bytes."""
    return f"larger than {largest >> 20} MB"


def looks_like_picture(first_bytes: bytes) -> bool:
    """Return whether a file that starts so says it is a picture."""
    webp = first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP"
    modern = is_heif(first_bytes) or _is_avif(first_bytes) or is_jpeg_xl(first_bytes)
    return webp or modern or first_bytes.startswith(_MAGIC)


def is_heif(first_bytes: bytes) -> bool:
    """Return whether a file that starts so is HEIC or HEIF."""
    return first_bytes[4:8] == b"ftyp" and first_bytes[8:12] in _HEIF_BRANDS


def _is_avif(first_bytes: bytes) -> bool:
    return first_bytes[4:12] in (b"ftypavif", b"ftypavis")


def is_jpeg_xl(first_bytes: bytes) -> bool:
    """Return whether a file that starts so is a JPEG XL in its container."""
    return first_bytes.startswith(_JPEG_XL[1])


_HEIC_LACKS = 'HEIC; install it with pip install "graftgan[heic]", or convert it to JPEG or PNG'
_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_avif, "AVIF, which this Pillow cannot read; convert it to PNG"),
    (lambda start: start.startswith(_JPEG_XL), "JPEG XL; convert it to PNG, as `djxl` does"),
    (lambda start: start.startswith(b"8BPS"), "a Photoshop document; save it as PNG"),
    (lambda start: b"<svg" in start[:512].lower(), "SVG, a drawing without pixels; draw it as PNG"),
)


def open_picture(content: bytes) -> Image.Image:
    """Return the picture in a file's bytes; only its header has been read.

    Unusable says of which kind it is where it cannot be read.
    """
    if not content:
        raise Unusable("empty file")
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    if is_heif(content[:16]) and can_read_heif():
        formats = ["HEIF"]
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError:
        raise Unusable(_why_unidentified(content)) from None
    if image.format == "TIFF" and _is_raw(image, content):
        raise Unusable("the raw file of a camera; develop it to JPEG or PNG")
    return image


@cache
def can_read_heif() -> bool:
    """Return whether HEIC can be read, which the extra ``heic`` does."""
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
    """Return a chunk of a PNG that comes before its palette and pixels; None: there is none."""
    place = len(_MAGIC[0]) if content.startswith(_MAGIC[0]) else len(content)
    while place + 8 <= len(content):
        length, found = struct.unpack_from(">I4s", content, place)
        if found == kind:
            return content[place + 8 : place + 8 + length]
        if found in (b"PLTE", b"IDAT"):
            return None
        place += 12 + length
    return None


def jpeg_scans(content: bytes) -> int:
    """Return how many scans the first picture of a JPEG has, each of which may cover all of it."""
    if content.count(_SCAN) == 1:
        return 1  # most have no more, and no need to be walked through
    scans, place = 0, 2
    while (marker := _MARKER.search(content, place)) is not None and marker[0] != _END:
        scans += marker[0] == _SCAN
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return scans


def _why_unidentified(content: bytes) -> str:
    if is_heif(content[:16]) and not can_read_heif():
        return _HEIC_LACKS
    known = next((words for is_so, words in _OTHERS if is_so(content[:512])), None)
    if known is not None and not (_is_avif(content) and "AVIF" in Image.OPEN):
        return known
    return "damaged or truncated" if looks_like_picture(content[:16]) else "not a picture"


def _is_raw(image: Image.Image, content: bytes) -> bool:
    """Return whether a TIFF is the raw file of a camera, of which Pillow reads a small preview."""
    with suppress(Exception):  # a damaged directory is found when the picture is decoded
        return content[8:10] == b"CR" or _DNG_VERSION in image.getexif()
    return False
