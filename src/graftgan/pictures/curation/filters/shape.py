"""How large a picture is, and how long."""

from graftgan.pictures.curation.filters.filter import FILTERS, Filter
from graftgan.pictures.curation.view import PictureView


def shorter_side(view: PictureView) -> float:
    """Return the shorter side of the file's picture in pixels."""
    return float(min(view.width, view.height))


def elongation(view: PictureView) -> float:
    """Return the longer side over the shorter one."""
    return max(view.width, view.height) / min(view.width, view.height)


FILTERS.register("small")(
    Filter(
        found="is small",
        missing="is not small",
        score="shorter side in px",
        side="at_most",
        threshold=255,
        build=lambda _: shorter_side,
    )
)
FILTERS.register("elongated")(
    Filter(
        found="is elongated",
        missing="is not elongated",
        score="longer side over shorter side",
        side="at_least",
        threshold=2.2,
        build=lambda _: elongation,
    )
)
