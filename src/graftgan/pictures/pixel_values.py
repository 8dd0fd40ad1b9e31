"""The meaning of a file's pixel values: how many of 16 bit are used, and colours in sRGB.

Cameras and microscopes write 10, 12 or 14 bit into files of 16 bit. Read as 16 bit, such a picture
is black. If a PNG states the number of bits (its chunk sBIT) and no value is larger, that decides;
otherwise the largest value does, of the picture or of the whole set.
"""

import io
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from graftgan.pictures.members import Unusable, open_picture, png_chunk

FULL = 16
Clear = int | tuple[int, int, int]
_USUAL = (8, 10, 12, 14, FULL)  # bits
_BLACK = 12  # a picture that uses no more bits is nearly black when it is read as 16
# Pillow's code to unpack the lower byte of a value, by that of the upper one.
_LOW_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_STEPS = {"L;2": 85, "L;4": 17}  # levels between two values
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF and one of its values
_TELLS = 64  # level of the upper 8 bits below which values have 14 bit or fewer
_MOST_IN_TWO = 25_000_000  # pixels of a picture whose upper and lower bits are decoded separately
_PIXELS = 2**20  # processed at a time, to bound the memory

_SRGB = ImageCms.createProfile("sRGB")
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_NEAR_PRIMARIES = frozenset((1, 2, 5, 6))  # BT.709, unspecified, BT.601
_NEAR_TRANSFERS = frozenset((1, 2, 4, 5, 6, 11, 13, 14, 15))  # close to sRGB, or unspecified
_FAR = {8: "linear light", 16: "HDR (PQ)", 18: "HDR (HLG)"}
_NUMBERS, _START = b"colrnclx", 2**16  # the start of the box, and the bytes that are searched
_SAME = 2  # levels; a profile that changes colours by no more is sRGB
_CONVERTED = "converted to sRGB from their colour profile"
_STATED = "with colours that are stated as not sRGB (cICP), taken as sRGB"
_DAMAGED = "with a colour profile that is damaged or of other colours, taken as sRGB"


@dataclass(frozen=True, slots=True)
class Deep:
    """A decoded picture with 16 bit a value."""

    upper: Image.Image  # as Pillow has it: all bits of a gray picture, the upper 8 of a coloured
    lower: Image.Image | None  # the lower 8 bits of a dark coloured one
    largest: int  # 16-bit value, leaving out transparency
    stated: int | None  # number of bits that the file states, if plausible
    clear: Clear | None = None  # the value of transparent pixels (a PNG's tRNS)
    negative: bool = False  # 0 is white, as in some TIFFs of one channel

    @property
    def needed(self) -> int:
        """Bits that the values need: 8, 10, 12, 14, 16, or the stated number."""
        return self.stated or next((b for b in _USUAL if self.largest < 1 << b), FULL)

    def in_8_bit(self, bits: int) -> Image.Image:
        """Return it in ``L``, ``RGB`` or ``RGBA`` with values of ``bits``; transparent is white."""
        is_coloured = self.upper.mode in ("RGB", "RGBA")
        if is_coloured and (self.lower is None or (bits == FULL and self.clear is None)):
            return self.upper
        mode = self.upper.mode if is_coloured else "L"
        opaque = mode == "RGBA" and _brightest(self.upper)[3] >= _TELLS
        result = Image.new(mode, self.upper.size)
        most = (1 << bits) - 1
        # Rounded; a table, since a division for each pixel is slow.
        table = (np.arange(1 << FULL) * 255 + most // 2) // most
        table = np.minimum(table, 255).astype(np.uint8)
        for top, values in _bands(self.upper, self.lower):
            levels = table[values]
            if opaque:  # alpha uses all 16 bits, whatever the colours use
                levels[..., 3] = values[..., 3] >> 8
            if self.negative:
                levels = 255 - levels
            if self.clear is not None:
                levels[_is_clear(values, self.clear)] = 255
            result.paste(Image.fromarray(levels), (0, top))
        return result


def agreed_bits(needed: Sequence[int]) -> list[int]:
    """Return the bits with which to read each picture of a set, from the bits that each needs.

    All pictures of one camera have the same range. If none needs 16 bit, it is the range of the one
    that needs most; otherwise it is shared by those that would be black.
    """
    dark_at_most = _BLACK if max(needed, default=0) == FULL else FULL - 1
    shared = max((bits for bits in needed if bits <= dark_at_most), default=FULL)
    return [shared if bits <= dark_at_most else FULL for bits in needed]


def bits_alone(deep: Deep) -> int:
    """Return the bits with which to read a picture if no others are known."""
    return deep.needed if deep.stated or deep.needed <= _BLACK else FULL


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened picture, not loaded yet, has 16 bit or more a value."""
    return image.mode == "I" or image.mode.startswith("I;16") or ";16" in _raw_mode(image)


def scale_clear(image: Image.Image) -> None:
    """Scale the transparent value of a PNG of 2 or 4 bit as Pillow will scale the others."""
    step, clear = _STEPS.get(_raw_mode(image)), image.info.get("transparency")
    if step is not None and isinstance(clear, int):
        image.info["transparency"] = clear * step


def load_deep(image: Image.Image, content: bytes) -> Deep:
    """Decode ``image``, which was opened from ``content``.

    Raises:
        Unusable: Its values do not fit into 16 bit, or are dark and cannot be read in full.
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
        photometric = image.tag_v2.get(_PHOTOMETRIC) if isinstance(image, TiffImageFile) else None
        negative = photometric == _WHITE_IS_ZERO
        return Deep(image, None, largest, _plausible(stated, largest), clear, negative)
    brightest = max(_brightest(image)[:3])
    lower, largest = None, 256 * brightest + 255
    if brightest < _TELLS or clear is not None:
        image, lower = _thinned(image), _thinned(_lower_bytes(content, raw_mode))
        largest = max(_ends(values[..., :3], clear)[1] for _, values in _bands(image, lower))
    return Deep(image, lower, largest, _plausible(stated, largest), clear)


def _is_clear(values: NDArray[np.int32], clear: Clear) -> NDArray[np.bool_]:
    """Return which pixels (rows, w) have the transparent value."""
    same = values == np.asarray(clear)
    return same if same.ndim == 2 else same.all(axis=-1)


def _ends(values: NDArray[np.int32], clear: Clear | None) -> tuple[int, int]:
    """Return the smallest and the largest value of the opaque pixels."""
    seen = values if clear is None else values[~_is_clear(values, clear)]
    return (int(seen.min()), int(seen.max())) if seen.size else (0, 0)


def _plausible(stated: int | None, largest: int) -> int | None:
    """Return the number of bits that a file states; None if its values are scaled to all 16."""
    return stated if stated is not None and stated > 0 and largest < 1 << stated else None


def _raw_mode(image: Image.Image) -> str:
    """Return the raw mode with which Pillow will unpack a picture that is not loaded yet."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _lower_bytes(content: bytes, raw_mode: str) -> Image.Image:
    """Return the lower 8 bits of a coloured picture: the same file with another raw mode."""
    name, _, order = raw_mode.partition(";16")
    wanted = f"{name};16{_LOW_BYTE.get(order, '')}"
    image = open_picture(content)
    tiles: list[Any] = []
    try:
        for tile in image.tile:  # type: ignore[attr-defined]
            rest = tile[3][1:] if isinstance(tile[3], tuple) else None
            changed = wanted if rest is None else (wanted, *rest)
            whole = (*tile[:3], changed)
            tiles.append(type(tile)(*whole) if hasattr(tile, "_fields") else whole)
        image.tile = tiles  # type: ignore[attr-defined]
        image.load()
    except (ValueError, OSError, AttributeError, TypeError):
        raise Unusable("so dark in 16 bit that it would be black; save it with 8 bit") from None
    return image


def _thinned(image: Image.Image) -> Image.Image:
    """Return every second pixel of a very large picture in width and height, to bound the memory.

    A mean would mix upper and lower bits. The Exif data are copied.
    """
    if image.width * image.height <= _MOST_IN_TWO:
        return image
    half = (max(1, image.width // 2), max(1, image.height // 2))
    thin = image.resize(half, Image.Resampling.NEAREST)
    with suppress(Exception):  # a damaged EXIF block must not cost a good picture
        thin.getexif().update(image.getexif())
    image.close()
    return thin


def _brightest(image: Image.Image) -> list[int]:
    """Return the largest level of each channel."""
    present = np.reshape(image.histogram(), (-1, 256)) > 0
    return [int(np.max(np.flatnonzero(levels), initial=0)) for levels in present]


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


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the colours of a picture become sRGB."""

    transform: ImageCms.ImageCmsTransform | None = None  # None: they are sRGB, or taken as such
    mode: str = "RGB"  # the input mode of the transform
    remark: str | None = None  # for the user

    def applied_to(self, image: Image.Image) -> Image.Image:
        """Return an opaque picture of 8 bit in sRGB; one without a transform may stay ``L``."""
        if self.transform is not None:
            image = image if image.mode == self.mode else image.convert(self.mode)
            return _applied(self.transform, image)
        return image if image.mode in ("L", "RGB") else image.convert("RGB")


def profile_of(image: Image.Image) -> bytes | None:
    """Return the colour profile in a picture's file; None: there is none."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile else None


def remark_on_stated(content: bytes) -> str | None:
    """Return a remark on the colour code points in a file without a profile; None: no remark.

    They are those of H.273: a PNG has them in its chunk cICP, AVIF and HEIC in a box.

    Raises:
        Unusable: The transfer function is so far from sRGB that the picture would be wrong.
    """
    chunk, place = png_chunk(content, b"cICP"), content.find(_NUMBERS, 0, _START)
    if chunk is not None and len(chunk) == 4:
        primaries, transfer, _, full = chunk
    elif content[4:8] == b"ftyp" and place >= 0 and len(content) >= place + 12:
        (primaries, transfer), full = struct.unpack_from(">2H", content, place + 8), 1
    else:
        return None
    if transfer not in _NEAR_TRANSFERS:
        name = _FAR.get(transfer, f"transfer {transfer}")
        raise Unusable(f"its colours are stated as {name}; convert it to sRGB")
    return None if primaries in _NEAR_PRIMARIES and full else _STATED


def conversion_of(mode: str, profile: bytes | None) -> Conversion:
    """Return how an opaque picture of ``mode`` becomes sRGB, by the profile in its file."""
    if mode == "LAB":
        return Conversion(_lab_to_srgb(), "LAB")
    if profile is None:
        return Conversion()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Gray pictures often have the profile of the coloured ones they were made from.
        of_gray = str(getattr(source.profile, "xcolor_space", "")).strip() == "GRAY"
        used = mode if mode == "CMYK" or (mode == "L" and of_gray) else "RGB"
        transform = _transform(profile, used)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return Conversion(remark=_DAMAGED)
    return Conversion(transform, used, None if transform is None else _CONVERTED)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is not done in place
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from ``mode`` to sRGB; None: the profile is sRGB itself."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB", _INTENT, _FLAGS)
    if mode == "CMYK":
        return transform
    # A picture of all grays, or of colours spread evenly over the cube.
    tried = np.arange(256, dtype=np.uint8)[None]
    if mode != "L":
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        tried = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    colours = Image.fromarray(tried)
    moved = np.asarray(_applied(transform, colours)).astype(int)
    still = np.asarray(colours.convert("RGB")).astype(int)
    return None if np.abs(moved - still).max() <= _SAME else transform


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(lab, _SRGB, "LAB", "RGB", _INTENT)
