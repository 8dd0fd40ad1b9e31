"""Look at the bytes of a file: which kind of picture they are, and whether all of it decodes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from graftgan.pictures import Unusable, decode_whole, is_heif, is_jpeg_xl, reasons_for_failure
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason

_ENDINGS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    (".jpg", lambda start: start.startswith(b"\xff\xd8\xff")),
    (".png", lambda start: start.startswith(b"\x89PNG\r\n\x1a\n")),
    (".gif", lambda start: start.startswith((b"GIF87a", b"GIF89a"))),
    (".webp", lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP"),
    (".tif", lambda start: start.startswith((b"II*\0", b"MM\0*"))),
    (".bmp", lambda start: start.startswith(b"BM") and start[6:10] == b"\0\0\0\0"),
    (".jp2", lambda start: start.startswith(b"\0\0\0\x0cjP  \r\n\x87\n")),
    (".avif", lambda start: start[4:12] in (b"ftypavif", b"ftypavis")),
    (".heic", is_heif),
)
_LEAST = 256  # pixels of detail: enough to know that all of it decodes
ENDINGS = frozenset(ending for ending, _ in _ENDINGS)
_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda start: not start, "empty"),
    (lambda start: start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"), "HTML, SVG or the like"),
    (lambda start: start.lstrip().startswith((b"{", b"[")), "JSON"),
    (lambda start: start.startswith(b"%PDF"), "a document"),
    (lambda start: start.startswith((b"PK\3\4", b"\x1f\x8b", b"7z", b"Rar!")), "an archive"),
    (is_jpeg_xl, "JPEG XL, which cannot be read"),
    (lambda start: start[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3"), "a film"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the bytes of a picture say.

    Attributes:
        sha256: Of the bytes.
        ending: Of the file's name, by the format that it really has.
        size: Width and height in the file.
        length: Of the bytes.
    """

    sha256: str
    ending: str
    size: tuple[int, int]
    length: int

    @property
    def file_name(self) -> str:
        """The name that a picture with these bytes has wherever it came from."""
        return self.sha256[:20] + self.ending


def ending_of(start: bytes) -> str:
    """Return the ending for a file that starts so.

    Raises:
        Refusal: It is none of the kinds of picture that are collected.
    """
    for ending, is_so in _ENDINGS:
        if is_so(start):
            return ending
    what = next((name for is_so, name in _OTHERS if is_so(start)), "of no kind that is known")
    raise Refusal(RefusalReason.NOT_A_PICTURE, what)


def examine(content: bytes) -> Examined:
    """Decode a whole picture and return what it is.

    Raises:
        Refusal: It is no picture, or one that cannot be used.
    """
    ending = ending_of(content[:64])
    try:
        with reasons_for_failure():
            size = decode_whole(content, least=_LEAST).size
    except Unusable as problem:
        raise Refusal(_reason_for(str(problem)), str(problem)) from None
    digest = hashlib.sha256(content).hexdigest()
    return Examined(sha256=digest, ending=ending, size=size, length=len(content))


def _reason_for(problem: str) -> RefusalReason:
    if problem.startswith("more than"):
        return RefusalReason.TOO_MANY_PIXELS
    return RefusalReason.DAMAGED if problem.startswith("damaged") else RefusalReason.UNUSABLE
