"""Curves as SVG text: axes, ticks, legend, a smoothed line over the faint raw one.

The text is valid XML and stands alone. Colours are attributes, so that a page can restyle them by
class (``s0`` .. ``s5``, ``axis``, ``tick``) for dark screens.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]

COLOURS = ("#0f6cb0", "#c8540a", "#0a8464", "#a63d86", "#7a5a10", "#5b52c9")

_WIDTH, _PLOT_HEIGHT = 520, 214
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 34, 46
_LEGEND_LINE, _LETTER = 19, 6.9  # pixels: a line of the legend, a letter of its text
_MOST_POINTS = 400  # drawn per line; more cannot be seen
_MOST_SMOOTHED = 1000  # points a line is condensed to before it is smoothed
_MOST_DOTS = 25  # so few points are marked one by one
_SMOOTH_FROM = 50  # points from which a line is smoothed and stray values leave the frame
_LARGEST = 1e250
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    lines = {_printable(name): _Line.of(points) for name, points in series.items()}
    says_nothing_new = list(lines) == [title]
    legend, legend_height = _legend([] if says_nothing_new else list(lines))
    frame = _Frame.around(list(lines.values()), top=_TOP + legend_height)
    height = frame.top + _PLOT_HEIGHT + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" aria-label={quoteattr(_spoken(title, lines))} '
        f"{frame.as_data()}>",
        f'<text class="title" x="{_LEFT}" y="18" font-size="15" font-weight="600" '
        f'fill="#1b2126">{_text(title)}</text>',
        *legend,
        *_axes(frame, x_label, y_label),
        *_plot(frame, lines),
        "</svg>",
    ]
    return "\n".join(parts)


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


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Return at most ``most`` round numbers (1, 2 or 5 times a power of ten) in [low, high]."""
    least = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def in_words(value: float, digits: int = 4) -> str:
    """Return a number as short text of so many significant digits, with a true minus sign."""
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if size >= 1000 and value == int(value) and size < 1e7:
        text = f"{int(value):,}"
    else:
        text = f"{value:.{digits}g}"
    return text.replace("-", "−")


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


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plotted rectangle: which values it spans and where it lies."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: int
    empty: bool

    @classmethod
    def around(cls, lines: Sequence[_Line], *, top: int) -> "_Frame":
        abscissae = [x for line in lines for x, _ in line.points]
        heights = [y for line in lines for y in _typical(line)]
        low, high = _span(heights)
        margin = 0.06 * (high - low)
        return cls(x=_span(abscissae), y=(low - margin, high + margin), top=top, empty=not heights)

    def place(self, point: Point) -> Point:
        """Return where ``point`` lies, in pixels from the rectangle's upper left corner."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = (point[0] - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)
        return across, (y1 - point[1]) / (y1 - y0) * _PLOT_HEIGHT

    def as_data(self) -> str:
        """Return the attributes from which a script reads values back."""
        span = " ".join(f"{value:.8g}" for value in (*self.x, *self.y))
        box = f"{_LEFT} {self.top} {_WIDTH - _LEFT - _RIGHT} {_PLOT_HEIGHT}"
        return f'data-span="{span}" data-box="{box}"'


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
    return float(value) if abs(value) < _LARGEST else math.nan


def _span(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low > max(1e-9 * max(abs(low), abs(high)), 1 / _LARGEST):
        return low, high
    room = 0.1 * abs(low) if abs(low) > 1 / _LARGEST else 1.0
    return low - room, high + room


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
    x, y = float(_LEFT), _TOP + 4
    for i, name in enumerate(names):
        needed = 26 + _LETTER * len(name) + 12
        if x + needed > _WIDTH and x > _LEFT:
            x, y = float(_LEFT), y + _LEGEND_LINE
        look = f'class="s{i % len(COLOURS)}" stroke="{_colour(i)}"{_dash(i)}'
        parts.append(f'<path {look} stroke-width="3" d="M{x:.0f} {y}h18"/>')
        parts.append(
            f'<text class="name" x="{x + 24:.0f}" y="{y + 4}" font-size="12.5" '
            f'fill="#4c5862">{_text(name)}</text>'
        )
        x += needed
    return parts, (y - _TOP + 14 if names else 0)


def _axes(frame: _Frame, x_label: str, y_label: str) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, frame.top + _PLOT_HEIGHT
    heights, abscissae = ticks(*frame.y, most=6), ticks(*frame.x, most=6)
    for value in heights:
        y = frame.top + frame.place((frame.x[0], value))[1]
        yield f'<path class="grid" stroke="#e4e7e8" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield _label(_LEFT - 8, y + 4, _tick(value, _step(heights)), anchor="end")
    for value in abscissae:
        x = _LEFT + frame.place((value, frame.y[0]))[0]
        yield f'<path class="axis" stroke="#8b959c" d="M{x:.1f} {bottom}v5"/>'
        yield _label(x, bottom + 19, _tick(value, _step(abscissae)), anchor="middle")
    yield f'<path class="axis" stroke="#8b959c" d="M{_LEFT} {bottom}H{right}"/>'
    yield _label((_LEFT + right) / 2, bottom + 38, x_label, anchor="middle")
    middle = frame.top + _PLOT_HEIGHT / 2
    turned = f' transform="rotate(-90 13 {middle:.0f})"'
    yield _label(13, middle, y_label, anchor="middle", more=turned)


def _plot(frame: _Frame, lines: Mapping[str, _Line]) -> Iterator[str]:
    """Yield the lines in a nested picture of their own, which cuts off what leaves the frame."""
    width = _WIDTH - _LEFT - _RIGHT
    yield (
        f'<svg x="{_LEFT}" y="{frame.top}" width="{width}" height="{_PLOT_HEIGHT}" '
        f'overflow="hidden" fill="none" stroke-linecap="round" stroke-linejoin="round">'
    )
    for i, line in enumerate(lines.values()):
        look = f'class="s{i % len(COLOURS)} raw" stroke="{_colour(i)}" stroke-opacity="0.28"'
        if line.raw:
            yield f'<path {look} stroke-width="1" d="{_path(frame, line.raw)}"/>'
    for i, (name, line) in enumerate(lines.items()):
        look = f'class="s{i % len(COLOURS)} line" stroke="{_colour(i)}"{_dash(i)}'
        path = _path(frame, line.smooth)
        yield f'<path {look} stroke-width="2.2" data-name={quoteattr(name)} d="{path}"/>'
        if len(line.smooth) <= _MOST_DOTS:
            look = f'class="s{i % len(COLOURS)} dots" stroke="{_colour(i)}" stroke-width="6"'
            yield f'<path {look} d="{_dots(frame, line.smooth)}"/>'
    yield "</svg>"
    note = "no finite values" if frame.empty else _strays(frame, lines.values())
    if note:
        yield _label(_WIDTH - _RIGHT, frame.top + _PLOT_HEIGHT + 38, note, anchor="end")


def _strays(frame: _Frame, lines: Iterable[_Line]) -> str:
    low, high = frame.y
    heights = [y for line in lines for _, y in line.points if math.isfinite(y)]
    count = sum(not low <= y <= high for y in heights)
    return f"{count} of {len(heights)} values off scale" if count else ""


def _path(frame: _Frame, points: Sequence[Point]) -> str:
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


def _dots(frame: _Frame, points: Sequence[Point]) -> str:
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
    sentences = [_printable(title)]
    for name, line in lines.items():
        finite = [p for p in line.smooth if math.isfinite(p[1])]
        if finite:
            first, last = in_words(finite[0][1]), in_words(finite[-1][1])
            sentences.append(f"{name} goes from {first} to {last}")
    return ". ".join(sentences) + "."


def _label(x: float, y: float, text: str, *, anchor: str, more: str = "") -> str:
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" font-size="12" fill="#5d6972" '
        f'text-anchor="{anchor}"{more}>{_text(text)}</text>'
    )


def _tick(value: float, step: float) -> str:
    """Return a tick's number with as many decimals as tell it from its neighbours."""
    if not 1e-4 <= step < 1e6:
        return in_words(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}".replace("-", "−")


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _dash(i: int) -> str:
    """Return the dashes that tell the seventh line from the first."""
    return ' stroke-dasharray="5 4"' if i >= len(COLOURS) else ""


def _text(text: str) -> str:
    return escape(_printable(text))


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
