"""Charts, grids of pictures and page templates, for results that others measured.

A page is one HTML file with its pictures, charts and style inside. Every page extends
``templates/base.html`` and uses the macros of ``templates/parts.html``.
"""

from graftgan.reports.drawing import curve_svg as curve_svg
from graftgan.reports.drawing import in_words as in_words
from graftgan.reports.grid import Thumbnail as Thumbnail
from graftgan.reports.grid import labelled_strip as labelled_strip
from graftgan.reports.grid import neighbour_gallery as neighbour_gallery
from graftgan.reports.grid import pairs_in_rows as pairs_in_rows
from graftgan.reports.grid import picture_grid as picture_grid
from graftgan.reports.grid import save_png as save_png
from graftgan.reports.grid import strip_of as strip_of
from graftgan.reports.grid import thumbnail as thumbnail
from graftgan.reports.page import duration as duration
