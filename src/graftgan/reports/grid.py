"""Put pictures side by side, and into a page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from graftgan.core.files import write_bytes
from graftgan.core.tensors import PictureBytes

PAGE_WIDTH = 1024  # CSS pixels a full-width picture takes on a desktop screen
_LARGEST_EMBEDDED = 2048  # twice the page width serves high-density screens; more is only weight
_LOSSY_QUALITY = 90


def picture_grid(pictures: PictureBytes, *, columns: int) -> Image.Image:
    """Return ``pictures`` row by row on one grid, without padding.

    Args:
        pictures: uint8 (n, c, h, w) with one channel (gray) or three (colour), on any device.
        columns: Pictures per row. A last row that is not full ends in black.

    Raises:
        ValueError: The tensor is of another type or shape, is empty, or ``columns`` is below 1.
    """
    if pictures.ndim != 4 or pictures.dtype != torch.uint8 or pictures.shape[1] not in (1, 3):
        shape = tuple(pictures.shape)
        raise ValueError(f"expected uint8 (n, 1 or 3, h, w), got {pictures.dtype} {shape}")
    count, channels, height, width = pictures.shape
    if count == 0 or columns < 1:
        raise ValueError(f"cannot lay {count} pictures out in {columns} columns")
    rows = -(-count // columns)
    canvas = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
    canvas[:count] = pictures.cpu()
    canvas = canvas.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = canvas.reshape(rows * height, columns * width, channels).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def strip_of(grid: Image.Image, cell: int, count: int) -> Image.Image:
    """Return the first ``count`` cells of the grid's first row; fewer where the row is shorter.

    Args:
        grid: One as :func:`picture_grid` makes it.
        cell: Height and width of one picture, in pixels.
        count: How many pictures to take.
    """
    return grid.crop((0, 0, min(count * cell, grid.width), min(cell, grid.height)))


def save_png(image: Image.Image, path: Path) -> None:
    """Write ``image`` as PNG; the file appears whole."""
    write_bytes(path, _encoded(image, "PNG", optimize=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPicture:
    """A picture inside a page.

    Attributes:
        uri: The picture itself, as a ``data:`` address.
        width: Native width in pixels.
        height: Native height in pixels.
        shown_width: Width on a desktop page, in CSS pixels: a whole multiple of the native width
            where that fits, so that every pixel is equally large.
        alt: What the picture shows, for those who cannot see it.
        exact: Whether every pixel is as it was.
    """

    uri: str
    width: int
    height: int
    shown_width: int
    alt: str
    exact: bool


def embed(image: Image.Image, *, alt: str, exact_up_to: int) -> EmbeddedPicture:
    """Return ``image`` ready for a page, as WebP at native size.

    Args:
        image: Any picture.
        alt: What it shows.
        exact_up_to: Bytes a lossless file may take; a larger one becomes lossy instead.
    """
    image = image.convert("RGB")
    whole = image.width <= _LARGEST_EMBEDDED
    if not whole:
        height = max(1, round(image.height * _LARGEST_EMBEDDED / image.width))
        image = image.resize((_LARGEST_EMBEDDED, height), Image.Resampling.LANCZOS)
    data = _encoded(image, "WEBP", lossless=True, quality=60, method=4)
    exact = whole and len(data) <= exact_up_to
    if len(data) > exact_up_to:
        data = _encoded(image, "WEBP", quality=_LOSSY_QUALITY, method=4)
    zoom = max(1, PAGE_WIDTH // image.width)
    return EmbeddedPicture(
        uri=f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}",
        width=image.width,
        height=image.height,
        shown_width=min(zoom * image.width, PAGE_WIDTH),
        alt=alt,
        exact=exact,
    )


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
