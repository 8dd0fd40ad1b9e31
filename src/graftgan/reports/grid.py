"""Grids of pictures, and pictures embedded in a page."""

import base64
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

from graftgan.core.files import write_bytes
from graftgan.core.network_types import PictureBytes

PAGE_WIDTH = 1024  # CSS pixels a full-width picture takes on a desktop screen
_LARGEST_EMBEDDED = 2048  # twice the page width serves high-density screens; more is only weight
_LOSSY_QUALITY = 90
_SMALLEST_CELL = 64  # pixels; a narrower one has no room for a heading
_TEXT_HEIGHT = 12
_MARGIN = 4
_LINE = _TEXT_HEIGHT + 2 * _MARGIN
SIDE = 112  # pixels of the longer side of a thumbnail
_MOST_BYTES = 4000  # of a thumbnail; a larger one is encoded again at the next lower quality


def picture_grid(pictures: PictureBytes, *, columns: int) -> Image.Image:
    """Return ``pictures`` in rows on one grid, without padding; the last row is filled with black.

    They are uint8 (n, c, h, w) with one channel (gray) or three (colour), on any device; else a
    ValueError is raised.
    """
    if pictures.ndim != 4 or pictures.dtype != torch.uint8 or pictures.shape[1] not in (1, 3):
        shape = tuple(pictures.shape)
        raise ValueError(f"expected uint8 (n, 1 or 3, h, w), got {pictures.dtype} {shape}")
    count, channels, height, width = pictures.shape
    if count == 0 or columns < 1:
        raise ValueError(f"cannot lay {count} pictures out in {columns} columns")
    rows = -(-count // columns)
    canvas = F.pad(pictures.cpu(), (0, 0) * 3 + (0, rows * columns - count))
    canvas = canvas.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = canvas.reshape(rows * height, columns * width, channels).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def open_grid(path: Path) -> Image.Image | None:
    """Return a grid in RGB; None: it cannot be read."""
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as image:  # Pillow's errors
        return image.convert("RGB")
    return None


def strip_of(grid: Image.Image, cell: int, count: int) -> Image.Image:
    """Return the first ``count`` pictures of a grid's first row; each is ``cell`` pixels wide."""
    return grid.crop((0, 0, min(count * cell, grid.width), min(cell, grid.height)))


def neighbour_gallery(generated: PictureBytes, neighbours: PictureBytes) -> Image.Image:
    """Return a grid with a row for each generated picture: itself, a white gap, its neighbours.

    ``generated`` are pictures as for :func:`picture_grid`, ``neighbours`` uint8 (n, k, c, h, w),
    the nearest first; a ValueError is raised where they do not match.
    """
    shape, size = tuple(generated.shape), tuple(neighbours.shape)
    fits = len(size) == 5 and size[:1] + size[2:] == shape and size[1] > 0
    if not fits or generated.dtype != neighbours.dtype:
        raise ValueError(
            "expected uint8 (n, c, h, w) and (n, k, c, h, w) with k > 0, got "
            f"{generated.dtype} {shape} and {neighbours.dtype} {size}"
        )
    first = F.pad(generated, (0, max(1, shape[-1] // 8)), value=255)
    others = neighbours.to(generated.device).transpose(0, 1)
    rows = torch.cat([first, *others], dim=3)  # n pictures, each as wide as a row
    return picture_grid(rows, columns=1)


def pairs_in_rows(pictures: PictureBytes, drawn: PictureBytes, *, columns: int = 8) -> PictureBytes:
    """Return ``pictures`` in rows of ``columns``, each row above the ``drawn`` ones of the same."""
    rows = zip(pictures.split(columns), drawn.split(columns), strict=True)
    filled = (F.pad(row, (0, 0) * 3 + (0, columns - len(row))) for pair in rows for row in pair)
    return torch.cat(list(filled))  # black pictures fill the last rows


def labelled_strip(columns: PictureBytes, headings: Sequence[str], *, title: str) -> Image.Image:
    """Return pictures, uint8 (column, row, c, h, w), below their headings and a title, on white.

    Small ones are enlarged by a whole factor without interpolation.
    """
    count = len(columns)
    if count != len(headings):
        raise ValueError(f"{len(headings)} headings for {count} columns")
    grid = picture_grid(columns.transpose(0, 1).flatten(0, 1), columns=count).convert("RGB")
    cell = grid.width // count
    zoom = -(-_SMALLEST_CELL // cell)
    grid = grid.resize((grid.width * zoom, grid.height * zoom), Image.Resampling.NEAREST)
    top = 2 * _LINE
    canvas = Image.new("RGB", (grid.width, grid.height + top), "white")
    canvas.paste(grid, (0, top))
    font = ImageFont.load_default(_TEXT_HEIGHT)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN), title, fill="black", font=font)
    for number, heading in enumerate(headings):
        middle = (number + 0.5) * cell * zoom
        draw.text((middle, _LINE + _MARGIN), heading, fill="black", font=font, anchor="mt")
    return canvas


def save_png(image: Image.Image, path: Path) -> None:
    """Write ``image`` as PNG, atomically."""
    write_bytes(path, _encoded(image, "PNG", optimize=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPicture:
    """A picture embedded in a page."""

    uri: str  # the picture itself, as a data: address
    width: int  # in native pixels, as is the height
    height: int
    shown_width: int  # CSS pixels; a multiple of the native width where that fits
    alt: str
    exact: bool  # whether every pixel is unchanged


def embed(image: Image.Image, *, alt: str, exact_up_to: int) -> EmbeddedPicture:
    """Return ``image`` ready for a page, as WebP at native size.

    It is lossless, unless that takes more than ``exact_up_to`` bytes.
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
        uri=_address(data),
        width=image.width,
        height=image.height,
        shown_width=min(zoom * image.width, PAGE_WIDTH),
        alt=alt,
        exact=exact,
    )


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture embedded in a page: a ``data:`` address, width and height in pixels."""

    uri: str
    width: int
    height: int


def thumbnail(image: Image.Image) -> Thumbnail:
    """Return ``image`` as WebP, its longer side at most ``SIDE`` pixels."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    content = b""
    for quality in (60, 30, 10):
        content = _encoded(small, "WEBP", quality=quality, method=4)
        if len(content) <= _MOST_BYTES:
            break
    return Thumbnail(_address(content), small.width, small.height)


def _address(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
