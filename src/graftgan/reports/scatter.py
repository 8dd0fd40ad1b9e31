"""Many points, or many lines of a few kinds, in one frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from xml.sax.saxutils import escape, quoteattr

from graftgan.reports.drawing import (
    BOTTOM,
    LEFT,
    PLOT_HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    Point,
    axes,
    colour,
    drawing,
    label,
    span,
)

_HEIGHT = TOP + PLOT_HEIGHT + BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """How a kind of line is drawn; its name stands in the caption.

    Attributes:
        line: Its place in the list of colours.
        width: In pixels.
        opacity: 1 hides what lies below.
        dashes: As SVG takes them; empty: none.
    """

    line: int
    width: float = 1.4
    opacity: float = 1.0
    dashes: str = ""


def scatter_svg(
    points: Mapping[str, Point],
    *,
    front: Sequence[str],
    title: str,
    x_label: str,
    y_label: str,
) -> str:
    """Return named points, those of ``front`` joined by a line, as SVG text."""
    drawn = {name: point for name, point in points.items() if all(map(isfinite, point))}
    frame = _frame_around(list(drawn.values()))
    joined = [frame.place(drawn[name]) for name in front if name in drawn]
    parts = [*axes(frame, x_label, y_label)]
    parts.append(_line(joined, LineStyle(line=1, width=2.0), top=frame.top))
    for name, point in drawn.items():
        x, y = frame.place(point)
        on_front = name in front
        look = f'class="s{int(on_front)} dots" stroke="{colour(int(on_front))}"'
        dot = f'{look} stroke-width="{9 if on_front else 6}" stroke-linecap="round"'
        at = f"M{LEFT + x:.1f} {frame.top + y:.1f}h0"
        parts.append(f'<path {dot} d="{at}"><title>{escape(name)}</title></path>')
        if on_front:
            right = x > (WIDTH - LEFT - RIGHT) / 2
            side = {"anchor": "end" if right else "start"}
            parts.append(label(LEFT + x + (-8 if right else 8), frame.top + y - 6, name, **side))
    spoken = f"{title}. On the front: {', '.join(name for name in front if name in drawn)}."
    return drawing(title, parts, height=_HEIGHT, spoken=spoken)


def bundle_svg(
    lines: Sequence[tuple[str, LineStyle, Sequence[Point]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> str:
    """Return many named lines, each in the look of its kind, as SVG text; the last lie on top."""
    finite = [(name, look, [p for p in ps if all(map(isfinite, p))]) for name, look, ps in lines]
    frame = _frame_around([point for _, _, points in finite for point in points])
    parts = [*axes(frame, x_label, y_label)]
    for name, look, points in finite:
        places = [frame.place(point) for point in points]
        parts.append(_line(places, look, top=frame.top, name=name))
    return drawing(title, parts, height=_HEIGHT, spoken=f"{title}: {len(finite)} lines.")


def _frame_around(points: Sequence[Point]) -> Frame:
    (left, right), (low, high) = span([x for x, _ in points]), span([y for _, y in points])
    across, up = 0.04 * (right - left), 0.06 * (high - low)
    x = (max(0.0, left - across) if left >= 0 else left - across, right + across)
    return Frame(x=x, y=(low - up, high + up), top=TOP, empty=not points)


def _line(places: Sequence[Point], look: LineStyle, *, top: int, name: str = "") -> str:
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    said = f" aria-label={quoteattr(name)}" if name else ""
    start = f'<path class="s{look.line}" stroke="{colour(look.line)}" fill="none"'
    strength = f'stroke-width="{look.width}" stroke-opacity="{look.opacity}"{dashes}{said}'
    tip = f"<title>{escape(name)}</title>" if name else ""
    return f'{start} {strength} stroke-linejoin="round" d="{_path(places, top)}">{tip}</path>'


def _path(places: Sequence[Point], top: int) -> str:
    return "".join(_steps(places, top))


def _steps(places: Sequence[Point], top: int) -> Iterator[str]:
    for number, (x, y) in enumerate(places):
        yield f"{'L' if number else 'M'}{LEFT + x:.1f} {top + y:.1f}"
