"""Turn the bytes of one file into square pixels of the set's size."""

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
_LARGE_FILE = 32 * 2**20  # bytes; a larger one is read and decoded with no other large one
_LARGE_PICTURE = 100 * 2**20  # bytes that it takes to decode; the same for these
# Decoders that take far more than the picture has: bytes a pixel, and what they may take in all.
_DECODER_BYTES = {"JPEG2000": 25, "WEBP": 16, "AVIF": 12, "HEIF": 12}
_MOST_MEMORY = 800_000_000
_MOST_SCANS = 100  # of a JPEG, as libtiff has it; a progressive one has about ten
_LARGE_TO_CONVERT = 16_000_000  # pixels; a larger picture is converted a band at a time
_CONVERTED_TO = 4_000_000  # pixels that it has at most afterwards, as far as detail allows
_BAND = 2**20  # pixels of such a band
_MOST_THREADS = 8
_one_large_picture: AbstractContextManager[object] = Lock()
# Pillow's blocks of memory beyond 32 MB go back to the system as soon as they are free; smaller
# ones may be kept, and a few large pictures then take several times what one does.
Image.core.set_block_size(64 * 2**20)


@dataclass(frozen=True, slots=True)
class Shape:
    """What every picture of the set becomes."""

    resolution: int
    channels: int
    minimum_side: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A decoded picture."""

    image: Image.Image  # upright, in 8 bit and sRGB
    size: tuple[int, int]  # width and height in the file
    mode: str  # in the file, as Pillow names it
    remarks: tuple[str, ...] = ()  # what was done that a person should know of
    needed_bits: int | None = None  # that values of 16 bit need, where the file does not say it
    bits: int = FULL  # that were read


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture: its pixels (c, h, w), the sha256 of its file, and what the file was."""

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

    ``bits`` are those that values of 16 bit really have; None: each picture decides alone.
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
    """Return the upright picture in 8 bit and sRGB, and what the file has; Unusable: why not.

    Detail beyond ``least`` pixels in width and height may be skipped; None: none may.
    """
    image = _checked(content, 1)
    large = _memory_for(image, content, least) > _LARGE_PICTURE
    with _one_large_picture if large else nullcontext():
        return _whole(image, content, mode="RGB", least=least, bits=None)


def decode_large_under(lock: AbstractContextManager[object]) -> None:
    """Let :func:`decode_whole` hold ``lock``, which processes share, while a picture is large."""
    global _one_large_picture
    _one_large_picture = lock


def file_of(content: Content) -> bytes:
    """Return the bytes of a picture's file; pixels become those of a PNG."""
    if isinstance(content, bytes):
        return content
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(content)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def reasons_for_failure() -> Generator[None]:
    """Raise :class:`Unusable` with the short reason for whatever reading or decoding raises."""
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
    """Return what becomes of a member; a large one is waited for while ``lane`` decodes it.

    The lane has one thread. So only one large picture is in memory, and it takes the memory that
    the one before it gave back.
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
    """Return the pixels (c, h, w) of a picture that was opened, and what is known of it."""
    # The antialiased resize still gets twice what it needs.
    mode, least = "L" if shape.channels == 1 else "RGB", 2 * shape.resolution
    whole = _whole(image, content, mode=mode, least=least, bits=bits)
    side = (shape.resolution, shape.resolution)
    fitted = ImageOps.fit(whole.image, side, Image.Resampling.LANCZOS)
    pixels = np.asarray(fitted, dtype=np.uint8).reshape(*side, shape.channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), replace(whole, image=fitted)


def _checked(content: Content, minimum_side: int) -> Image.Image:
    """Return the picture, opened and not decoded; too many pixels or too few are refused."""
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
    # Not from a picture that was closed: its complaint would keep all of this in memory.
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
    """Return ``image`` in ``mode`` and sRGB, and a remark; a large one by bands, and smaller.

    One that was in 8 bit in the file, ``shallow``, and in plain colours is not made smaller.
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
    left, above = (side % factor // 2 for side in image.size)  # a rest is left out on both sides
    rows = max(1, _BAND // (image.width * factor))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        box = (left, above + top * factor, left + width * factor, above + bottom * factor)
        small.paste(_flattened(image.crop(box), conversion, mode).reduce(factor), (0, top))
    return small, conversion.remark


def _flattened(image: Image.Image, conversion: Conversion, mode: str) -> Image.Image:
    """Return ``image`` in ``mode`` and sRGB, whatever is transparent on white."""
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
    """Return about how many bytes it takes to decode and convert a picture that was opened."""
    width, height = image.size
    own = width * height * _DECODER_BYTES.get(str(image.format), 0)
    if image.format in ("JPEG", "MPO") and isinstance(content, bytes):
        if jpeg_scans(content) > 1:  # all its numbers are kept until the last one
            own = width * height * 2 * len(image.getbands())
        scale = 1 if least is None else min(8, max(1, min(width, height) // least))
        width, height = width // scale, height // scale
    plain = image.mode in ("L", "RGB")
    return own + width * height * 4 * (1 if plain else 3)
