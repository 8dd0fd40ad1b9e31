"""Pictures of 16 bit a value: how many of the bits are used, and the 8 that are kept.

Cameras and microscopes write 10, 12 or 14 bit into files of 16. Read as 16 bit such a picture is
black. Where a PNG says how many bits there were (its chunk sBIT) and no value is larger, that
decides; else the largest value does, of the picture or of the whole set.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from graftgan.pictures.file_kinds import open_picture, png_chunk
from graftgan.pictures.members import Unusable

FULL = 16
Clear = int | tuple[int, int, int]
_USUAL = (8, 10, 12, 14, FULL)  # bits
_BLACK = 12  # a picture that fits in so many bits shows next to nothing when it is read as 16
_LOW_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""How Pillow unpacks the lower byte of a value, by how it unpacks the upper one."""
_STEPS = {"L;2": 85, "L;4": 17}  # levels between two values
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF and one of its values
_TELLS = 64  # of the upper 8 bits: values below it are of 14 bit or fewer
_MOST_IN_TWO = 25_000_000  # pixels of a picture whose upper and lower bits are decoded apart
_PIXELS = 2**20  # taken at a time, to bound the memory


@dataclass(frozen=True, slots=True)
class Deep:
    """A picture of 16 bit a value that has been decoded.

    Attributes:
        upper: What Pillow makes of it: all bits of a gray picture, the upper 8 of a coloured one.
        lower: The lower 8 bits of a coloured picture whose upper ones say little; else None.
        largest: The largest value, of those of 16 bit; transparency is none.
        stated: The bits that the file says there are, where that can be true; else None.
        clear: The value of pixels that are transparent (a PNG's tRNS); None: there is none.
        negative: Whether 0 is white, as some TIFFs of one channel have it.
    """

    upper: Image.Image
    lower: Image.Image | None
    largest: int
    stated: int | None
    clear: Clear | None = None
    negative: bool = False

    @property
    def needed(self) -> int:
        """Bits that the values need: 8, 10, 12, 14, 16, or what the file says."""
        return self.stated or next((b for b in _USUAL if self.largest < 1 << b), FULL)

    def in_8_bit(self, bits: int) -> Image.Image:
        """Return the picture in ``L``, ``RGB`` or ``RGBA``, its values read as ``bits`` long.

        A value that stands for transparency becomes white.
        """
        if self.upper.mode in ("RGB", "RGBA") and (
            self.lower is None or (bits == FULL and self.clear is None)
        ):
            return self.upper
        mode = self.upper.mode if self.upper.mode in ("RGB", "RGBA") else "L"
        opaque = mode == "RGBA" and _brightest(self.upper, 3) >= _TELLS
        result = Image.new(mode, self.upper.size)
        for top, values in _bands(self.upper, self.lower):
            levels = _levels(values, bits)
            if opaque:  # transparency has all 16 bits, whatever the colours have
                levels[..., 3] = values[..., 3] >> 8
            if self.negative:
                levels = 255 - levels
            if self.clear is not None:  # white, as all that is transparent becomes
                levels[_is_clear(values, self.clear)] = 255
            result.paste(Image.fromarray(levels), (0, top))
        return result


def agreed_bits(needed: Sequence[int]) -> list[int]:
    """Return the bits that each picture of a set is read with, from the bits that each needs.

    All pictures of one camera have the same range. Where none needs 16 bit, that is the range of
    the one that needs most; where some do, it is shared by those that would come out black.
    """
    dark_at_most = _BLACK if max(needed, default=0) == FULL else FULL - 1
    shared = max((bits for bits in needed if bits <= dark_at_most), default=FULL)
    return [shared if bits <= dark_at_most else FULL for bits in needed]


def bits_alone(deep: Deep) -> int:
    """Return the bits that a picture is read with where nothing is known of others beside it."""
    return deep.needed if deep.stated or deep.needed <= _BLACK else FULL


def is_deep(image: Image.Image) -> bool:
    """Return whether a picture that was opened, and not loaded, has 16 bit or more a value."""
    return image.mode == "I" or image.mode.startswith("I;16") or ";16" in _raw_mode(image)


def scale_clear(image: Image.Image) -> None:
    """Scale the value that stands for transparency in a PNG of 2 or 4 bit as Pillow does the rest.

    To be called for a picture that was opened, and not loaded.
    """
    step, clear = _STEPS.get(_raw_mode(image)), image.info.get("transparency")
    if step is not None and isinstance(clear, int):
        image.info["transparency"] = clear * step


def load_deep(image: Image.Image, content: bytes) -> Deep:
    """Decode ``image``, which was opened from ``content``.

    Raises:
        Unusable: Its values do not fit into 16 bit, or would come out black and cannot be had.
    """
    raw_mode = _raw_mode(image)
    image.load()
    clear = image.info.pop("transparency", None)  # Pillow compares it with 8 of the 16 bits
    stated = max((png_chunk(content, b"sBIT") or b"")[:4], default=None)
    if image.mode not in ("RGB", "RGBA"):
        ends = [_ends(values, clear) for _, values in _bands(image, None)]
        largest = max(high for _, high in ends)
        if largest > 65535 or min(low for low, _ in ends) < 0:
            raise Unusable("pixel values beyond 16 bit")
        return Deep(image, None, largest, _plausible(stated, largest), clear, _is_negative(image))
    brightest = max(_brightest(image, channel) for channel in range(3))
    lower, largest = None, 256 * brightest + 255
    if brightest < _TELLS or clear is not None:
        image, lower = _thinned(image), _thinned(_lower_bytes(content, raw_mode))
        largest = max(_ends(values[..., :3], clear)[1] for _, values in _bands(image, lower))
    return Deep(image, lower, largest, _plausible(stated, largest), clear)


def _is_negative(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _is_clear(values: NDArray[np.int32], clear: Clear) -> NDArray[np.bool_]:
    """Return which pixels (rows, w) have the value that stands for none."""
    same = values == np.asarray(clear)
    return same if same.ndim == 2 else same.all(axis=-1)


def _ends(values: NDArray[np.int32], clear: Clear | None) -> tuple[int, int]:
    """Return the smallest and the largest value of the pixels that are to be seen."""
    seen = values if clear is None else values[~_is_clear(values, clear)]
    return (int(seen.min()), int(seen.max())) if seen.size else (0, 0)


def _plausible(stated: int | None, largest: int) -> int | None:
    """Return what a file says of its bits; None where its values are scaled to all 16."""
    return stated if stated is not None and stated > 0 and largest < 1 << stated else None


def _raw_mode(image: Image.Image) -> str:
    """Return how Pillow is going to unpack a picture that was not loaded yet."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _lower_bytes(content: bytes, raw_mode: str) -> Image.Image:
    """Return the lower 8 bits of a coloured picture: the same file, unpacked in another way.

    Raises:
        Unusable: Pillow cannot.
    """
    name, _, order = raw_mode.partition(";16")
    wanted = f"{name};16{_LOW_BYTE.get(order, '')}"
    image = open_picture(content)
    try:
        image.tile = [_unpacked_as(tile, wanted) for tile in image.tile]  # type: ignore[attr-defined]
        image.load()
    except (ValueError, OSError, AttributeError, TypeError):
        raise Unusable(
            "so dark in 16 bit that it would come out black; save it with 8 bit"
        ) from None
    return image


def _thinned(image: Image.Image) -> Image.Image:
    """Return every second pixel of a very large picture in width and height, to bound the memory.

    Upper and lower bits stay together, as they would not in a mean. The Exif data go with them.
    """
    if image.width * image.height <= _MOST_IN_TWO:
        return image
    half = (max(1, image.width // 2), max(1, image.height // 2))
    thin = image.resize(half, Image.Resampling.NEAREST)
    with suppress(Exception):  # a damaged EXIF block must not cost a good picture
        thin.getexif().update(image.getexif())
    image.close()
    return thin


def _unpacked_as(tile: Any, raw_mode: str) -> Any:
    """Return a part of a file that Pillow decodes, to be unpacked in another way."""
    arguments = tile[3]
    changed = (raw_mode, *arguments[1:]) if isinstance(arguments, tuple) else raw_mode
    return type(tile)(*tile[:3], changed) if hasattr(tile, "_fields") else (*tile[:3], changed)


def _brightest(image: Image.Image, channel: int) -> int:
    """Return the largest level of a channel."""
    counts = image.histogram()[256 * channel : 256 * (channel + 1)]
    return max((level for level, count in enumerate(counts) if count), default=0)


def _bands(
    upper: Image.Image, lower: Image.Image | None
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Yield (first row, values (rows, w) or (rows, w, c)) of a whole picture."""
    rows = max(1, _PIXELS // upper.width)
    for top in range(0, upper.height, rows):
        box = (0, top, upper.width, min(top + rows, upper.height))
        values = np.asarray(upper.crop(box)).astype(np.int32)
        if lower is not None:
            values = 256 * values + np.asarray(lower.crop(box))
        yield top, values


def _levels(values: NDArray[np.int32], bits: int) -> NDArray[np.uint8]:
    """Return values of so many bits as levels from 0 to 255, rounded."""
    largest = (1 << bits) - 1
    return np.clip((values * 255 + largest // 2) // largest, 0, 255).astype(np.uint8)
