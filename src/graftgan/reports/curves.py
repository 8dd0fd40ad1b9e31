"""Curves as SVG text: axes, ticks, legend, a smoothed line over the faint raw one.

The text is valid XML and stands alone. Colours are attributes, so that a page can restyle them by
class (``s0`` .. ``s5``, ``axis``, ``tick``) for dark screens.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from graftgan.reports.drawing import (
    BOTTOM,
    COLOURS,
    LARGEST,
    LEFT,
    PLOT_HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    Point,
    as_text,
    axes,
    colour,
    drawing,
    in_words,
    label,
    printable,
    span,
)

Series = Mapping[str, Sequence[Point]]

_LEGEND_LINE, _LETTER = 19, 6.9  # pixels: a line of the legend, a letter of its text
_MOST_POINTS = 400  # drawn per line; more cannot be seen
_MOST_SMOOTHED = 1000  # points a line is condensed to before it is smoothed
_MOST_DOTS = 25  # so few points are marked one by one
_SMOOTH_FROM = 50  # points from which a line is smoothed and stray values leave the frame


def curve_svg(series: Series, *, title: str, x_label: str, y_label: str) -> str:
    """Return one panel of curves as SVG text.

    Lines of 50 points and more are drawn twice: raw and faint, and smoothed by
    :func:`smoothed`. A value that is not finite leaves a gap.

    Args:
        series: (x, y) points by name, x ascending.
        title: What the panel shows.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
    """
    lines = {printable(name): _Line.of(points) for name, points in series.items()}
    says_nothing_new = list(lines) == [title]
    legend, legend_height = _legend([] if says_nothing_new else list(lines))
    frame = _frame_around(list(lines.values()), top=TOP + legend_height)
    height = frame.top + PLOT_HEIGHT + BOTTOM
    parts = [*legend, *axes(frame, x_label, y_label), *_plot(frame, lines)]
    spoken = _spoken(title, lines)
    return drawing(title, parts, height=height, spoken=spoken, data=frame.as_data())


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Return the mean over ``window`` neighbours of each value, itself in the middle.

    Near the ends the window shrinks on both sides alike, so a straight line stays itself. Values
    that are not finite stay as they are and enter no mean.
    """
    half = window // 2
    result: list[float] = []
    for i, value in enumerate(values):
        reach = min(half, i, len(values) - 1 - i)
        near = [v for v in values[i - reach : i + reach + 1] if math.isfinite(v)]
        result.append(sum(near) / len(near) if math.isfinite(value) else value)
    return result


@dataclass(frozen=True, slots=True)
class _Line:
    """One curve: its raw points and, where there are enough of them, the smoothed ones."""

    raw: list[Point]
    smooth: list[Point]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "_Line":
        raw = [(float(x), _drawable(y)) for x, y in points if math.isfinite(_drawable(x))]
        if len(raw) < _SMOOTH_FROM:
            return cls(raw=[], smooth=raw)
        few = _condensed(raw)
        means = smoothed([y for _, y in few], window=max(5, len(few) // 25))
        return cls(raw=raw, smooth=[(x, y) for (x, _), y in zip(few, means, strict=True)])

    @property
    def points(self) -> list[Point]:
        """What was measured."""
        return self.raw or self.smooth


def _frame_around(lines: Sequence[_Line], *, top: int) -> Frame:
    abscissae = [x for line in lines for x, _ in line.points]
    heights = [y for line in lines for y in _typical(line)]
    low, high = span(heights)
    margin = 0.06 * (high - low)
    y = (low - margin, high + margin)
    return Frame(x=span(abscissae), y=y, top=top, empty=not heights)


def _condensed(points: Sequence[Point]) -> list[Point]:
    """Return the means of so many neighbours that few enough points stay to smooth quickly."""
    size = -(-len(points) // _MOST_SMOOTHED)
    buckets = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in bucket) / len(bucket), sum(y for _, y in bucket) / len(bucket))
        for bucket in buckets
    ]


def _drawable(value: float) -> float:
    """Return ``value``, or not-a-number where differences of such values would overflow."""
    return float(value) if abs(value) < LARGEST else math.nan


def _typical(line: _Line) -> list[float]:
    """Return the heights the frame must show: all but a few that would flatten the rest.

    Left out are raw values that lie further from the inner 98 % than those span themselves.
    """
    smooth = [y for _, y in line.smooth if math.isfinite(y)]
    raw = sorted(y for _, y in line.raw if math.isfinite(y))
    beyond = -(-len(raw) // 100)
    inner = smooth + raw[beyond : len(raw) - beyond]
    low, high = min(inner, default=0.0), max(inner, default=0.0)
    if low == high:
        return smooth + raw
    span = high - low
    return smooth + [y for y in raw if low - span <= y <= high + span]


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """Return the legend's SVG and its height; names wrap to as many lines as they need."""
    parts: list[str] = []
    x, y = float(LEFT), TOP + 4
    for i, name in enumerate(names):
        needed = 26 + _LETTER * len(name) + 12
        if x + needed > WIDTH and x > LEFT:
            x, y = float(LEFT), y + _LEGEND_LINE
        look = f'class="s{i % len(COLOURS)}" stroke="{colour(i)}"{_dash(i)}'
        parts.append(f'<path {look} stroke-width="3" d="M{x:.0f} {y}h18"/>')
        parts.append(
            f'<text class="name" x="{x + 24:.0f}" y="{y + 4}" font-size="12.5" '
            f'fill="#4c5862">{as_text(name)}</text>'
        )
        x += needed
    return parts, (y - TOP + 14 if names else 0)


def _plot(frame: Frame, lines: Mapping[str, _Line]) -> Iterator[str]:
    """Yield the lines in a nested picture of their own, which cuts off what leaves the frame."""
    width = WIDTH - LEFT - RIGHT
    yield (
        f'<svg x="{LEFT}" y="{frame.top}" width="{width}" height="{PLOT_HEIGHT}" '
        f'overflow="hidden" fill="none" stroke-linecap="round" stroke-linejoin="round">'
    )
    for i, line in enumerate(lines.values()):
        look = f'class="s{i % len(COLOURS)} raw" stroke="{colour(i)}" stroke-opacity="0.28"'
        if line.raw:
            yield f'<path {look} stroke-width="1" d="{_path(frame, line.raw)}"/>'
    for i, (name, line) in enumerate(lines.items()):
        look = f'class="s{i % len(COLOURS)} line" stroke="{colour(i)}"{_dash(i)}'
        path = _path(frame, line.smooth)
        yield f'<path {look} stroke-width="2.2" data-name={quoteattr(name)} d="{path}"/>'
        if len(line.smooth) <= _MOST_DOTS:
            look = f'class="s{i % len(COLOURS)} dots" stroke="{colour(i)}" stroke-width="6"'
            yield f'<path {look} d="{_dots(frame, line.smooth)}"/>'
    yield "</svg>"
    note = "no finite values" if frame.empty else _strays(frame, lines.values())
    if note:
        yield label(WIDTH - RIGHT, frame.top + PLOT_HEIGHT + 38, note, anchor="end")


def _strays(frame: Frame, lines: Iterable[_Line]) -> str:
    low, high = frame.y
    heights = [y for line in lines for _, y in line.points if math.isfinite(y)]
    count = sum(not low <= y <= high for y in heights)
    return f"{count} of {len(heights)} values off scale" if count else ""


def _path(frame: Frame, points: Sequence[Point]) -> str:
    """Return path commands; a point alone between gaps becomes a dot (the caps are round)."""
    commands: list[str] = []
    pen_is_down = False
    for point in _thinned(points):
        if not math.isfinite(point[1]):
            pen_is_down = False
            continue
        x, y = frame.place(point)
        y = min(max(y, -9999.0), 9999.0)  # far outside the frame; browsers dislike huge numbers
        commands.append(f"L{x:.1f} {y:.1f}" if pen_is_down else f"M{x:.1f} {y:.1f}h0")
        pen_is_down = True
    return "".join(commands)


def _dots(frame: Frame, points: Sequence[Point]) -> str:
    """Return path commands for a round dot at each point."""
    places = [frame.place(point) for point in points if math.isfinite(point[1])]
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return few enough points to draw: per bucket the lowest, the highest and any gap."""
    size = -(-len(points) * 2 // _MOST_POINTS)
    if size <= 2:
        return list(points)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        finite = [p for p in bucket if math.isfinite(p[1])]
        gap = [p for p in bucket if not math.isfinite(p[1])][:1]
        ends = {min(finite, key=_height), max(finite, key=_height)} if finite else set[Point]()
        kept += sorted([*ends, *gap], key=lambda p: p[0])
    return kept


def _height(point: Point) -> float:
    return point[1]


def _spoken(title: str, lines: Mapping[str, _Line]) -> str:
    """Return the panel in words: where each line starts and ends."""
    sentences = [printable(title)]
    for name, line in lines.items():
        finite = [p for p in line.smooth if math.isfinite(p[1])]
        if finite:
            first, last = in_words(finite[0][1]), in_words(finite[-1][1])
            sentences.append(f"{name} goes from {first} to {last}")
    return ". ".join(sentences) + "."


def _dash(i: int) -> str:
    """Return the dashes that tell the seventh line from the first."""
    return ' stroke-dasharray="5 4"' if i >= len(COLOURS) else ""
