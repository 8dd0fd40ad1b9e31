"""Draw what others measured: grids, curves, charts, and one look for every page.

A page is one HTML file that needs nothing beside it: the pictures, the curves and the style lie
inside. Every page extends ``templates/base.html`` and is put together from the macros of
``templates/parts.html``.
"""

from graftgan.reports.curves import curve_svg
from graftgan.reports.drawing import in_words
from graftgan.reports.grid import picture_grid, save_png, strip_of
from graftgan.reports.neighbours import neighbour_gallery
from graftgan.reports.page import duration
from graftgan.reports.pairs import pairs_in_rows
from graftgan.reports.strip import labelled_strip
from graftgan.reports.thumbnails import Thumbnail, thumbnail

__all__ = [
    "Thumbnail",
    "curve_svg",
    "duration",
    "in_words",
    "labelled_strip",
    "neighbour_gallery",
    "pairs_in_rows",
    "picture_grid",
    "save_png",
    "strip_of",
    "thumbnail",
]
