"""Turn the bytes of one file into square pixels of the set's size."""

import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from graftgan.data.collect import Content, Member, Skipped, Unusable, looks_like_picture

LARGEST_PICTURE = 100_000_000  # pixels, decided from the header before any are decoded
# No format that runs another program (EPS) or is a document.
# fmt: off
_FORMATS = (
    "PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000",
    "AVIF",
)
# fmt: on
_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """What every picture of the set becomes."""

    resolution: int
    channels: int
    minimum_side: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture: its pixels (c, h, w) and what the file was."""

    name: str
    pixels: NDArray[np.uint8]
    size: tuple[int, int]  # width, height in the file
    mode: str
    sha256: str  # of the file's bytes


def decode_all(
    members: Sequence[Member], shape: Shape, progress: Callable[[int, int], None] | None = None
) -> Generator[Decoded | Skipped, None, None]:
    """Decode in several threads and yield the outcomes in the order of ``members``."""
    workers = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Decoded | Skipped]] = deque()
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        ahead = iter(members)
        while True:
            for member in ahead:
                waiting.append(pool.submit(_outcome, member, shape))
                if len(waiting) >= 4 * workers:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()
            done += 1
            if progress is not None:
                progress(done, len(members))


def decode(content: Content, shape: Shape) -> tuple[NDArray[np.uint8], tuple[int, int], str]:
    """Return the pixels (c, h, w), and the size and mode that the file has.

    Raises:
        Unusable: With the short reason.
    """
    # Let the JPEG decoder skip detail, but leave the antialiased resize twice what it needs.
    image, size, mode = decode_whole(
        content,
        mode="L" if shape.channels == 1 else "RGB",
        minimum_side=shape.minimum_side,
        least=2 * shape.resolution,
    )
    fitted = ImageOps.fit(image, (shape.resolution, shape.resolution), Image.Resampling.LANCZOS)
    pixels = np.asarray(fitted, dtype=np.uint8).reshape(*fitted.size, shape.channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), size, mode


def decode_whole(
    content: Content, *, mode: str = "RGB", minimum_side: int = 1, least: int | None = None
) -> tuple[Image.Image, tuple[int, int], str]:
    """Return the upright picture in 8 bit, and the size and mode that the file has.

    Args:
        content: Of the file, or its pixels.
        mode: What it becomes, ``RGB`` or ``L``.
        minimum_side: A smaller side is refused.
        least: Detail beyond so many pixels in width and height may be skipped; None: none may.

    Raises:
        Unusable: With the short reason.
    """
    image = _open(content)
    size, found = image.size, image.mode
    if size[0] * size[1] > LARGEST_PICTURE:
        raise Unusable(_too_large())
    if min(size) < minimum_side:
        raise Unusable(f"smaller than {minimum_side} px")
    if least is not None and image.format in ("JPEG", "MPO"):
        image.draft(None, (least, least))
    image.load()
    with suppress(Exception):  # a damaged EXIF block must not cost a good picture
        ImageOps.exif_transpose(image, in_place=True)
    return _flatten(image, mode), size, found


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
        raise Unusable(_too_large()) from None
    except MemoryError:
        raise Unusable("too large for the memory") from None
    except Exception:  # on damaged files Pillow's decoders raise nearly anything
        raise Unusable("damaged or truncated") from None


def _outcome(member: Member, shape: Shape) -> Decoded | Skipped:
    try:
        with reasons_for_failure():
            content = member.read()
            pixels, size, mode = decode(content, shape)
    except Unusable as reason:
        return Skipped(member.name, str(reason))
    source = content if isinstance(content, bytes) else content.tobytes()
    return Decoded(member.name, pixels, size, mode, hashlib.sha256(source).hexdigest())


def _too_large() -> str:
    return f"more than {LARGEST_PICTURE // 10**6} megapixels"


def _open(content: Content) -> Image.Image:
    if isinstance(content, np.ndarray):
        return Image.fromarray(content)
    if not content:
        raise Unusable("empty file")
    Image.init()
    try:
        return Image.open(io.BytesIO(content), formats=[f for f in _FORMATS if f in Image.OPEN])
    except UnidentifiedImageError:
        damaged = looks_like_picture(content[:16])
        raise Unusable("damaged or truncated" if damaged else "not a picture") from None


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """Return ``image`` in 8 bit and ``mode``, whatever is transparent on white."""
    if image.mode == "F":
        raise Unusable("floating point pixels")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image).convert(mode)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    if mode == "L" and image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return image.convert(mode)


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unusable("pixel values beyond 16 bit")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
