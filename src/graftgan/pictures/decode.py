"""Decode picture files into square arrays of the set's size."""

import io
import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from graftgan.core.errors import CountProgress
from graftgan.pictures.members import (
    Content,
    Member,
    Skipped,
    Unusable,
    jpeg_scans,
    open_picture,
    sha256_of,
)
from graftgan.pictures.pixel_values import (
    FULL,
    Conversion,
    Deep,
    bits_alone,
    conversion_of,
    is_deep,
    load_deep,
    profile_of,
    remark_on_stated,
    scale_clear,
)

_LARGEST_PICTURE = 100_000_000  # pixels, decided from the header before any are decoded
_TOO_LARGE = f"more than {_LARGEST_PICTURE // 10**6} megapixels"
_LARGE_FILE = 32 * 2**20  # bytes; larger files are read and decoded one at a time
_LARGE_PICTURE = 100 * 2**20  # bytes that decoding takes; the same for these
# Decoders that take far more memory than the picture: bytes a pixel, and their limit in all.
_DECODER_BYTES = {"JPEG2000": 25, "WEBP": 16, "AVIF": 12, "HEIF": 12}
_MOST_MEMORY = 800_000_000
_MOST_SCANS = 100  # of a JPEG, as libtiff has it; a progressive one has about ten
_LARGE_TO_CONVERT = 16_000_000  # pixels; a larger picture is converted a band at a time
_CONVERTED_TO = 4_000_000  # pixels to which it is then reduced, if enough detail is left
_BAND = 2**20  # pixels of such a band
_MOST_THREADS = 8
_one_large_picture: AbstractContextManager[object] = Lock()
# Memory blocks of more than 32 MB are returned to the system at once; smaller ones may be kept, and
# then a few large pictures take several times the memory of one.
Image.core.set_block_size(64 * 2**20)


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of every picture of the set, and the smallest side that is accepted."""

    resolution: int
    channels: int
    minimum_side: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A decoded picture."""

    image: Image.Image  # upright, in 8 bit and sRGB
    size: tuple[int, int]  # width and height in the file
    mode: str  # Pillow's mode of the file
    remarks: tuple[str, ...] = ()  # on its conversion, for the user
    needed_bits: int | None = None  # for values of 16 bit, if the file does not state them
    bits: int = FULL  # with which the values were read


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture: its pixels (c, h, w), the sha256 of its file, and what was decoded."""

    name: str
    pixels: NDArray[np.uint8]
    sha256: str
    whole: Whole


def decode_all(
    members: Sequence[Member],
    shape: Shape,
    progress: CountProgress | None = None,
    *,
    bits: int | None = None,
) -> Generator[Decoded | Skipped, None, None]:
    """Decode in several threads and yield the outcomes in the order of ``members``.

    ``bits`` is the number that values of 16 bit really use; None: decided for each picture.
    """
    workers = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Decoded | Skipped]] = deque()
    done = 0
    with ThreadPoolExecutor(1) as lane, ThreadPoolExecutor(workers) as pool:
        ahead = iter(members)
        while True:
            for member in ahead:
                waiting.append(pool.submit(_outcome, member, shape, bits, lane))
                if len(waiting) >= 4 * workers:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()
            done += 1
            if progress is not None:
                progress(done, len(members))


def decode_whole(content: Content, *, least: int | None = None) -> Whole:
    """Return the upright picture in 8 bit and sRGB, and what its file has.

    Detail beyond ``least`` pixels in width and height may be skipped; None: keep all detail.

    Raises:
        Unusable: It cannot be decoded.
    """
    image = _checked(content, 1)
    large = _memory_for(image, content, least) > _LARGE_PICTURE
    with _one_large_picture if large else nullcontext():
        return _whole(image, content, mode="RGB", least=least, bits=None)


def decode_large_under(lock: AbstractContextManager[object]) -> None:
    """Make :func:`decode_whole` hold ``lock``, which processes share, for large pictures."""
    global _one_large_picture
    _one_large_picture = lock


def file_of(content: Content) -> bytes:
    """Return the bytes of a picture's file; an array becomes a PNG."""
    if isinstance(content, bytes):
        return content
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(content)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def reasons_for_failure() -> Generator[None]:
    """Raise :class:`Unusable` with a short reason for whatever reading or decoding raises."""
    try:
        yield
    except Unusable:
        raise
    except Image.DecompressionBombError:
        raise Unusable(_TOO_LARGE) from None
    except MemoryError:
        raise Unusable("too large for the memory") from None
    except Exception:  # on damaged files Pillow's decoders raise nearly anything
        raise Unusable("damaged or truncated") from None


def _outcome(member: Member, shape: Shape, bits: int | None, lane: Executor) -> Decoded | Skipped:
    """Decode a member, in ``lane`` if it is large.

    The lane has one thread, so only one large picture is in memory at a time and reuses the memory
    of the one before.
    """
    read = partial(_read_and_decode, member, shape, bits)
    return lane.submit(read).result() if member.size > _LARGE_FILE else read(lane=lane)


def _read_and_decode(
    member: Member, shape: Shape, bits: int | None, lane: Executor | None = None
) -> Decoded | Skipped:
    try:
        with reasons_for_failure():
            content = member.read()
            image = _checked(content, shape.minimum_side)
            fit = partial(_fitted, image, content, shape, bits)
            large = _memory_for(image, content, 2 * shape.resolution) > _LARGE_PICTURE
            pixels, whole = lane.submit(fit).result() if large and lane is not None else fit()
    except Unusable as reason:
        return Skipped(member.name, str(reason))
    return Decoded(member.name, pixels, sha256_of(content), whole)


def _fitted(
    image: Image.Image, content: Content, shape: Shape, bits: int | None
) -> tuple[NDArray[np.uint8], Whole]:
    """Return the pixels (c, h, w) of an opened picture, and what was decoded."""
    # The antialiased resize still gets twice the detail it needs.
    mode, least = "L" if shape.channels == 1 else "RGB", 2 * shape.resolution
    whole = _whole(image, content, mode=mode, least=least, bits=bits)
    side = (shape.resolution, shape.resolution)
    fitted = ImageOps.fit(whole.image, side, Image.Resampling.LANCZOS)
    pixels = np.asarray(fitted, dtype=np.uint8).reshape(*side, shape.channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), replace(whole, image=fitted)


def _checked(content: Content, minimum_side: int) -> Image.Image:
    """Open a picture without decoding it; Unusable: it has too many pixels or too few."""
    if not isinstance(content, bytes):
        _check_size((content.shape[1], content.shape[0]), minimum_side)
        return Image.fromarray(content)
    image = open_picture(content)
    _check_size(image.size, minimum_side)
    most = _MOST_MEMORY // _DECODER_BYTES.get(str(image.format), 1)
    if image.width * image.height > most:
        raise Unusable(f"more than {most // 10**6} megapixels in {image.format}; use PNG")
    if image.format in ("JPEG", "MPO") and jpeg_scans(content) > _MOST_SCANS:
        raise Unusable(f"a JPEG of more than {_MOST_SCANS} scans; save it again")
    return image


def _check_size(size: tuple[int, int], minimum_side: int) -> None:
    width, height = size
    if width * height > _LARGEST_PICTURE:
        raise Unusable(_TOO_LARGE)
    if min(width, height) < minimum_side:
        raise Unusable(f"smaller than {minimum_side} px")


def _whole(
    image: Image.Image, content: Content, *, mode: str, least: int | None, bits: int | None
) -> Whole:
    size, found = image.size, image.mode
    profile = profile_of(image)
    remarks: list[str | None] = []
    if profile is None and isinstance(content, bytes):
        remarks.append(remark_on_stated(content))
    deep: Deep | None = None
    if least is not None and image.format in ("JPEG", "MPO"):
        image.draft(None, (least, least))
    if isinstance(content, bytes) and is_deep(image):
        deep = load_deep(image, content)
        used = deep.stated or bits or bits_alone(deep)
        upright = deep.in_8_bit(used)
        if used != FULL:
            remarks.append(f"with {used} bit values in a file of 16 bit")
    else:
        scale_clear(image)
        image.load()
        used, upright = FULL, image
    # Not from a closed picture: its exception would keep all of this in memory.
    opened = image if deep is None else deep.upper
    with suppress(Exception):  # a damaged EXIF block must not cost a good picture
        if upright is not opened:
            upright.getexif().update(opened.getexif())
        ImageOps.exif_transpose(upright, in_place=True)
    converted, remark = _converted(upright, profile, mode, least, shallow=deep is None)
    needed = None if deep is None or deep.stated else deep.needed
    return Whole(converted, size, found, tuple(filter(None, [*remarks, remark])), needed, used)


def _converted(
    image: Image.Image, profile: bytes | None, mode: str, least: int | None, *, shallow: bool
) -> tuple[Image.Image, str | None]:
    """Return ``image`` in ``mode`` and sRGB, and a remark.

    A large one is converted in bands and reduced, unless it needs no conversion; ``shallow`` ones
    have 8 bit in the file.
    """
    if image.mode == "F":
        raise Unusable("floating point pixels")
    clear = image.has_transparency_data
    conversion = conversion_of("RGB" if clear else image.mode, profile)
    kept = image.mode == mode or (shallow and image.mode in ("1", "L", "RGB"))
    plain = kept and not clear and conversion.transform is None
    if plain or least is None or image.width * image.height <= _LARGE_TO_CONVERT:
        return _flattened(image, conversion, mode), conversion.remark
    factor = isqrt(image.width * image.height // _CONVERTED_TO) + 1
    factor = max(1, min(factor, min(image.size) // least))
    width, height = (side // factor for side in image.size)
    small = Image.new(mode, (width, height))
    left, above = (side % factor // 2 for side in image.size)  # the rest is cut off on both sides
    rows = max(1, _BAND // (image.width * factor))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        box = (left, above + top * factor, left + width * factor, above + bottom * factor)
        small.paste(_flattened(image.crop(box), conversion, mode).reduce(factor), (0, top))
    return small, conversion.remark


def _flattened(image: Image.Image, conversion: Conversion, mode: str) -> Image.Image:
    """Return ``image`` in ``mode`` and sRGB, with transparent parts on white."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if conversion.transform is not None:
            opaque = layer.getchannel("A")
            layer = conversion.applied_to(layer.convert("RGB"))
            layer.putalpha(opaque)
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
        flat = image.convert("RGB")
    else:
        flat = conversion.applied_to(image)
    return flat if flat.mode == mode else flat.convert(mode)


def _memory_for(image: Image.Image, content: Content, least: int | None) -> int:
    """Return about how many bytes decoding and converting an opened picture takes."""
    width, height = image.size
    own = width * height * _DECODER_BYTES.get(str(image.format), 0)
    if image.format in ("JPEG", "MPO") and isinstance(content, bytes):
        if jpeg_scans(content) > 1:  # all coefficients are kept until the last scan
            own = width * height * 2 * len(image.getbands())
        scale = 1 if least is None else min(8, max(1, min(width, height) // least))
        width, height = width // scale, height // scale
    plain = image.mode in ("L", "RGB")
    return own + width * height * 4 * (1 if plain else 3)
