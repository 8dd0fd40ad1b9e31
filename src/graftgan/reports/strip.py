"""A grid of pictures with a title, and a heading above each column."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from graftgan.core.tensors import PictureBytes
from graftgan.reports.grid import picture_grid

_SMALLEST_CELL = 64  # pixels; narrower ones have no room for a heading
_TEXT_HEIGHT = 12
_MARGIN = 4
_LINE = _TEXT_HEIGHT + 2 * _MARGIN


def labelled_strip(columns: PictureBytes, headings: Sequence[str], *, title: str) -> Image.Image:
    """Return a canvas with a column for each heading, on white.

    Small pictures are enlarged by a whole factor, so every pixel stays what it was.

    Args:
        columns: uint8 (column, row, c, h, w).
        headings: A few letters for each column.
        title: One line above all.

    Raises:
        ValueError: There are not as many headings as columns.
    """
    count, rows, *shape = columns.shape
    if count != len(headings):
        raise ValueError(f"{len(headings)} headings for {count} columns")
    row_by_row = columns.transpose(0, 1).reshape(rows * count, *shape)
    grid = picture_grid(row_by_row, columns=count).convert("RGB")
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
