"""Read run folders; write tables, grids, pages.

A page is one HTML file that needs nothing beside it: the pictures, the curves and the style lie
inside. Every page extends ``templates/base.html`` and is put together from the macros of
``templates/parts.html``.
"""

from graftgan.reports.comparison import comparison_rows, write_comparison_report
from graftgan.reports.convergence import Convergence, Reached, convergence_of
from graftgan.reports.curation import (
    Alternative,
    CurationEntry,
    FilterEntry,
    Shown,
    Wall,
    write_curation_report,
)
from graftgan.reports.curves import curve_svg
from graftgan.reports.drawing import in_words
from graftgan.reports.grid import picture_grid, save_png, strip_of
from graftgan.reports.neighbours import neighbour_gallery
from graftgan.reports.page import duration
from graftgan.reports.pairs import pairs_in_rows
from graftgan.reports.record import RunRecord, read_run
from graftgan.reports.run import write_run_report
from graftgan.reports.search import TRIAL_HEADINGS, trial_rows, write_search_report
from graftgan.reports.sets import (
    SET_HEADINGS,
    SetEntry,
    recall_rows,
    set_rows,
    write_sets_report,
)
from graftgan.reports.strip import labelled_strip
from graftgan.reports.thumbnails import Thumbnail, thumbnail

__all__ = [
    "SET_HEADINGS",
    "TRIAL_HEADINGS",
    "Alternative",
    "Convergence",
    "CurationEntry",
    "FilterEntry",
    "Reached",
    "RunRecord",
    "SetEntry",
    "Shown",
    "Thumbnail",
    "Wall",
    "comparison_rows",
    "convergence_of",
    "curve_svg",
    "duration",
    "in_words",
    "labelled_strip",
    "neighbour_gallery",
    "pairs_in_rows",
    "picture_grid",
    "read_run",
    "recall_rows",
    "save_png",
    "set_rows",
    "strip_of",
    "thumbnail",
    "trial_rows",
    "write_comparison_report",
    "write_curation_report",
    "write_run_report",
    "write_search_report",
    "write_sets_report",
]
