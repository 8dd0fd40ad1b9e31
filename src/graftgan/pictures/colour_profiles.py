"""Embedded colour profiles: what their numbers mean in sRGB."""

import io
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from graftgan.pictures.file_kinds import png_chunk
from graftgan.pictures.members import Unusable

_SRGB = ImageCms.createProfile("sRGB")
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_NEAR_PRIMARIES = frozenset((1, 2, 5, 6))  # BT.709, none stated, BT.601
_NEAR_TRANSFERS = frozenset((1, 2, 4, 5, 6, 11, 13, 14, 15))  # about as sRGB, or none stated
_FAR = {8: "linear light", 16: "HDR (PQ)", 18: "HDR (HLG)"}
_NUMBERS, _START = b"colrnclx", 2**16  # begin the box, within so many bytes
_SAME = 2  # levels; a profile that moves colours by no more is sRGB
CONVERTED = "converted to sRGB from their colour profile"
STATED = "with colours stated as other ones than sRGB (cICP), taken as sRGB"
DAMAGED = "with a colour profile that is damaged or of other colours, taken as sRGB"


@dataclass(frozen=True, slots=True)
class Conversion:
    """How colours of a picture become sRGB.

    Attributes:
        transform: Of its pixels; None: they are sRGB, or taken as such.
        mode: What the transform works on.
        remark: What a person should know of it.
    """

    transform: ImageCms.ImageCmsTransform | None = None
    mode: str = "RGB"
    remark: str | None = None

    def applied_to(self, image: Image.Image) -> Image.Image:
        """Return an opaque picture of 8 bit in sRGB; what needs no conversion may stay ``L``."""
        if self.transform is not None:
            image = image if image.mode == self.mode else image.convert(self.mode)
            return _applied(self.transform, image)
        return image if image.mode in ("L", "RGB") else image.convert("RGB")


def profile_of(image: Image.Image) -> bytes | None:
    """Return the colour profile in a picture's file; None: there is none."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile else None


def remark_on_stated(content: bytes) -> str | None:
    """Return what to say of colours that a file without a profile states by numbers; None: nothing.

    The numbers are those of H.273: a PNG has them in its chunk cICP, AVIF and HEIC in a box.

    Raises:
        Unusable: They are of light that is far from sRGB, so that the picture would be wrong.
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
    return None if primaries in _NEAR_PRIMARIES and full else STATED


def conversion_of(mode: str, profile: bytes | None) -> Conversion:
    """Return how opaque pictures of ``mode`` become sRGB, by the profile in their file."""
    if mode == "LAB":
        return Conversion(_lab_to_srgb(), "LAB")
    if profile is None:
        return Conversion()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Gray pictures often carry the profile of the colours that they were made from.
        of_gray = str(getattr(source.profile, "xcolor_space", "")).strip() == "GRAY"
        used = mode if mode == "CMYK" or (mode == "L" and of_gray) else "RGB"
        transform = _transform(profile, used)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return Conversion(remark=DAMAGED)
    return Conversion(transform, used, None if transform is None else CONVERTED)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is not done in place
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what converts pictures of ``mode`` to sRGB; None: the profile is sRGB itself.

    Raises:
        PyCMSError: The profile is damaged, or not for such pictures.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB", _INTENT, _FLAGS)
    if mode == "CMYK":
        return transform
    colours = Image.fromarray(_some_colours(mode))
    moved = np.asarray(_applied(transform, colours)).astype(int)
    still = np.asarray(colours.convert("RGB")).astype(int)
    return None if np.abs(moved - still).max() <= _SAME else transform


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(lab, _SRGB, "LAB", "RGB", _INTENT)


def _some_colours(mode: str) -> NDArray[np.uint8]:
    """Return all greys, or colours evenly through the cube, as a picture."""
    if mode == "L":
        return np.arange(256, dtype=np.uint8)[None]
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
