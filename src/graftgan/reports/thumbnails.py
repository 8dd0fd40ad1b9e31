"""Small pictures for a page that shows hundreds of them."""

import base64
import io
from dataclasses import dataclass

from PIL import Image

SIDE = 112
"""Pixels of the longer side."""
_QUALITIES = (60, 30, 10)
_MOST_BYTES = 4000  # above which the next lower quality is taken


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture inside a page.

    Attributes:
        uri: The picture itself, as a ``data:`` address.
        width: In pixels.
        height: In pixels.
    """

    uri: str
    width: int
    height: int


def thumbnail(image: Image.Image) -> Thumbnail:
    """Return the whole of ``image`` as WebP, its longer side at most ``SIDE`` pixels."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    content = b""
    for quality in _QUALITIES:
        stream = io.BytesIO()
        small.save(stream, "WEBP", quality=quality, method=4)
        content = stream.getvalue()
        if len(content) <= _MOST_BYTES:
            break
    data = base64.b64encode(content).decode("ascii")
    return Thumbnail(f"data:image/webp;base64,{data}", small.width, small.height)
