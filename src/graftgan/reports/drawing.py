"""Charts as SVG text: curves, scatter plots, bundles of lines and heat maps.

Each chart is a complete XML document. Colours are attributes, so a page can restyle them by class
(``s0`` .. ``s5``, ``axis``, ``tick``) for dark screens.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]

COLOURS = ("#0f6cb0", "#c8540a", "#0a8464", "#a63d86", "#7a5a10", "#5b52c9")

WIDTH, PLOT_HEIGHT = 520, 214
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 46
LARGEST = 1e250
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LETTER = 6.9  # pixels: the mean width of a letter in a legend
_MOST_POINTS = 400  # drawn per line; more cannot be seen
_MOST_SMOOTHED = 1000  # points; a longer line is condensed before it is smoothed
_MOST_DOTS = 25  # points; a longer line has no markers
_SMOOTH_FROM = 50  # points; a shorter line is not smoothed and keeps all its values in the frame
_GOOD, _BAD = (12, 92, 72), (236, 240, 232)  # RGB at the ends of a heat map
_LARGEST_FIELD = 62  # pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A chart and its caption."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot area: the values it spans and where it lies."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: int
    empty: bool

    def place(self, point: Point) -> Point:
        """Return the position of ``point``, in pixels from the plot's upper left corner."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = (point[0] - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        return across, (y1 - point[1]) / (y1 - y0) * PLOT_HEIGHT

    def as_data(self) -> str:
        """Return the attributes from which the page's script reads values back."""
        ends = " ".join(f"{value:.8g}" for value in (*self.x, *self.y))
        box = f"{LEFT} {self.top} {WIDTH - LEFT - RIGHT} {PLOT_HEIGHT}"
        return f'data-span="{ends}" data-box="{box}"'


def drawing(title: str, parts: Iterable[str], *, height: int, spoken: str, data: str = "") -> str:
    """Return a complete chart, ``height`` pixels high, as SVG text.

    ``spoken`` is its text for screen readers, ``data`` further attributes.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" role="img" '
        f'viewBox="0 0 {WIDTH} {height}" aria-label={quoteattr(_printable(spoken))} {data}>',
        f'<text class="title" x="{LEFT}" y="18" font-size="15" font-weight="600" '
        f'fill="#1b2126">{as_text(title)}</text>',
    )
    return "\n".join((*head, *parts, "</svg>"))


def span(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest value, widened where they are equal."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low > max(1e-9 * max(abs(low), abs(high)), 1 / LARGEST):
        return low, high
    room = 0.1 * abs(low) if abs(low) > 1 / LARGEST else 1.0
    return low - room, high + room


def axes(frame: Frame, x_label: str, y_label: str) -> Iterator[str]:
    """Yield both axes with grid, ticks and labels."""
    right, bottom = WIDTH - RIGHT, frame.top + PLOT_HEIGHT
    heights, abscissae = ticks(*frame.y, most=6), ticks(*frame.x, most=6)
    for value in heights:
        y = frame.top + frame.place((frame.x[0], value))[1]
        yield from height_tick(y, _tick(value, heights))
    for value in abscissae:
        x = LEFT + frame.place((value, frame.y[0]))[0]
        yield from abscissa_tick(x, bottom, _tick(value, abscissae))
    yield f'<path class="axis" stroke="#8b959c" d="M{LEFT} {bottom}H{right}"/>'
    yield label((LEFT + right) / 2, bottom + 38, x_label, anchor="middle")
    yield _upright(frame.top + PLOT_HEIGHT / 2, y_label)


def height_tick(y: float, text: str) -> Iterator[str]:
    """Yield a grid line with its number on the left."""
    yield f'<path class="grid" stroke="#e4e7e8" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
    yield label(LEFT - 8, y + 4, text, anchor="end")


def abscissa_tick(x: float, bottom: int, text: str) -> Iterator[str]:
    """Yield a tick below the plot with its number."""
    yield f'<path class="axis" stroke="#8b959c" d="M{x:.1f} {bottom}v5"/>'
    yield label(x, bottom + 19, text, anchor="middle")


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Return at most ``most`` round numbers (1, 2 or 5 times a power of ten) in [low, high]."""
    least = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def in_words(value: float, digits: int = 4) -> str:
    """Return a number as text with ``digits`` significant digits and a true minus sign."""
    if not math.isfinite(value):
        return "not finite"
    is_whole = 1000 <= abs(value) < 1e7 and value == int(value)
    text = f"{int(value):,}" if is_whole else f"{value:.{digits}g}"
    return text.replace("-", "−")


def _upright(y: float, text: str) -> str:
    return label(13, y, text, anchor="middle", more=f' transform="rotate(-90 13 {y:.0f})"')


def label(x: float, y: float, text: str, *, anchor: str, more: str = "") -> str:
    """Return small text; ``anchor`` is start, middle or end, ``more`` further attributes."""
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" font-size="12" fill="#5d6972" '
        f'text-anchor="{anchor}"{more}>{as_text(text)}</text>'
    )


def _tick(value: float, values: Sequence[float]) -> str:
    """Return a tick's number with just enough decimals to differ from its neighbours."""
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
    if not 1e-4 <= step < 1e6:
        return in_words(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}".replace("-", "−")


def _look(i: int, kind: str = "", *, dashed: bool = False) -> str:
    """Return class and stroke of the i-th line; colours repeat, the second round is ``dashed``."""
    place = i % len(COLOURS)
    dashes = ' stroke-dasharray="5 4"' if dashed and i >= len(COLOURS) else ""
    return f'class="s{place}{kind}" stroke="{COLOURS[place]}"{dashes}'


def as_text(text: str) -> str:
    """Return ``text`` escaped for SVG."""
    return escape(_printable(text))


def _printable(text: str) -> str:
    """Return ``text`` with a replacement character for each one that XML forbids."""
    return _UNPRINTABLE.sub("\ufffd", text)


def curve_svg(series: Series, *, title: str, x_label: str, y_label: str) -> str:
    """Return a chart of curves, each of (x, y) points with x ascending, as SVG text.

    Lines of 50 points and more are drawn twice: raw and faint, and smoothed by :func:`smoothed`. A
    value that is not finite leaves a gap.
    """
    lines = {_printable(name): _Line.of(points) for name, points in series.items()}
    legend, legend_height = _legend([] if list(lines) == [title] else list(lines))
    heights = [y for line in lines.values() for y in _typical(line)]
    low, high = span(heights)
    margin = 0.06 * (high - low)
    frame = Frame(
        x=span([x for line in lines.values() for x, _ in line.points]),
        y=(low - margin, high + margin),
        top=TOP + legend_height,
        empty=not heights,
    )
    height = frame.top + PLOT_HEIGHT + BOTTOM
    parts = [*legend, *axes(frame, x_label, y_label), *_plot(frame, lines)]
    spoken = _spoken(title, lines)
    return drawing(title, parts, height=height, spoken=spoken, data=frame.as_data())


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Return the moving average over ``window`` values.

    Near the ends the window shrinks on both sides, so a straight line stays as it is. Values that
    are not finite stay as they are and enter no mean.
    """
    half = window // 2
    result: list[float] = []
    for i, value in enumerate(values):
        reach = min(half, i, len(values) - 1 - i)
        near = [v for v in values[i - reach : i + reach + 1] if math.isfinite(v)]
        result.append(_mean(near) if math.isfinite(value) else value)
    return result


@dataclass(frozen=True, slots=True)
class _Line:
    raw: list[Point]  # empty where the curve is too short to be smoothed
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
        """The points as measured."""
        return self.raw or self.smooth


def _condensed(points: Sequence[Point]) -> list[Point]:
    """Return the means of groups of neighbours, few enough to smooth quickly."""
    size = -(-len(points) // _MOST_SMOOTHED)
    buckets = [points[start : start + size] for start in range(0, len(points), size)]
    return [(_mean([x for x, _ in near]), _mean([y for _, y in near])) for near in buckets]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _drawable(value: float) -> float:
    """Return ``value``, or not-a-number where differences of such values would overflow."""
    return float(value) if abs(value) < LARGEST else math.nan


def _typical(line: _Line) -> list[float]:
    """Return the heights that the frame must show, without outliers that would flatten the rest.

    An outlier is a raw value further from the inner 98 % than these span.
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
    """Return the legend's SVG and its height in pixels; names wrap to further lines."""
    parts: list[str] = []
    x, y = float(LEFT), TOP + 4
    for i, name in enumerate(names):
        needed = 26 + LETTER * len(name) + 12
        if x + needed > WIDTH and x > LEFT:
            x, y = float(LEFT), y + 19
        look = _look(i, dashed=True)
        parts.append(f'<path {look} stroke-width="3" d="M{x:.0f} {y}h18"/>')
        parts.append(
            f'<text class="name" x="{x + 24:.0f}" y="{y + 4}" font-size="12.5" '
            f'fill="#4c5862">{as_text(name)}</text>'
        )
        x += needed
    return parts, (y - TOP + 14 if names else 0)


def _plot(frame: Frame, lines: Mapping[str, _Line]) -> Iterator[str]:
    """Yield the lines, in a nested SVG that clips them to the frame."""
    yield (
        f'<svg x="{LEFT}" y="{frame.top}" width="{WIDTH - LEFT - RIGHT}" height="{PLOT_HEIGHT}" '
        f'overflow="hidden" fill="none" stroke-linecap="round" stroke-linejoin="round">'
    )
    for i, line in enumerate(lines.values()):
        look = f'{_look(i, " raw")} stroke-opacity="0.28" stroke-width="1"'
        if line.raw:
            yield f'<path {look} d="{_path(frame, line.raw)}"/>'
    for i, (name, line) in enumerate(lines.items()):
        look = f'{_look(i, " line", dashed=True)} stroke-width="2.2" data-name={quoteattr(name)}'
        yield f'<path {look} d="{_path(frame, line.smooth)}"/>'
        if len(line.smooth) <= _MOST_DOTS:
            places = [frame.place(point) for point in line.smooth if math.isfinite(point[1])]
            dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
            yield f'<path {_look(i, " dots")} stroke-width="6" d="{dots}"/>'
    yield "</svg>"
    heights = [y for line in lines.values() for _, y in line.points if math.isfinite(y)]
    strays = sum(not frame.y[0] <= y <= frame.y[1] for y in heights)
    if frame.empty or strays:
        note = f"{strays} of {len(heights)} values off scale" if strays else "no finite values"
        yield label(WIDTH - RIGHT, frame.top + PLOT_HEIGHT + 38, note, anchor="end")


def _path(frame: Frame, points: Sequence[Point]) -> str:
    """Return path commands; a single point between gaps becomes a dot (the caps are round)."""
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


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return few enough points to draw: of each bucket the lowest, the highest and any gap."""
    size = -(-len(points) * 2 // _MOST_POINTS)
    if size <= 2:
        return list(points)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        finite = [p for p in bucket if math.isfinite(p[1])]
        gap = [p for p in bucket if not math.isfinite(p[1])][:1]
        ends = {end(finite, key=itemgetter(1)) for end in (min, max) if finite}
        kept += sorted([*ends, *gap], key=itemgetter(0))
    return kept


def _spoken(title: str, lines: Mapping[str, _Line]) -> str:
    """Return the chart in words: where each line starts and ends."""
    sentences = [_printable(title)]
    for name, line in lines.items():
        finite = [p for p in line.smooth if math.isfinite(p[1])]
        if finite:
            first, last = in_words(finite[0][1]), in_words(finite[-1][1])
            sentences.append(f"{name} goes from {first} to {last}")
    return ". ".join(sentences) + "."


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """How a kind of line is drawn."""

    line: int  # the index of its colour
    width: float = 1.4  # pixels
    opacity: float = 1.0  # 1 hides what lies below
    dashes: str = ""  # as SVG takes them


def scatter_svg(
    points: Mapping[str, Point], *, front: Sequence[str], title: str, x_label: str, y_label: str
) -> str:
    """Return a scatter plot of named points, those of ``front`` joined by a line, as SVG text."""
    drawn = {name: point for name, point in points.items() if all(map(math.isfinite, point))}
    frame = _frame_of(list(drawn.values()))
    joined = [frame.place(drawn[name]) for name in front if name in drawn]
    parts = [*axes(frame, x_label, y_label)]
    parts.append(_styled(joined, LineStyle(line=1, width=2.0), top=frame.top))
    for name, point in drawn.items():
        x, y = frame.place(point)
        on_front = name in front
        look = f'{_look(on_front, " dots")} stroke-width="{9 if on_front else 6}"'
        dot = f'{look} stroke-linecap="round" d="M{LEFT + x:.1f} {frame.top + y:.1f}h0"'
        parts.append(f"<path {dot}><title>{escape(name)}</title></path>")
        if on_front:
            shift, anchor = (-8, "end") if x > (WIDTH - LEFT - RIGHT) / 2 else (8, "start")
            parts.append(label(LEFT + x + shift, frame.top + y - 6, name, anchor=anchor))
    spoken = f"{title}. On the front: {', '.join(name for name in front if name in drawn)}."
    return drawing(title, parts, height=TOP + PLOT_HEIGHT + BOTTOM, spoken=spoken)


def bundle_svg(
    lines: Sequence[tuple[str, LineStyle, Sequence[Point]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> str:
    """Return a chart of named lines, each in its own style, as SVG text; the last lie on top."""
    finite = [
        (name, look, [p for p in ps if all(map(math.isfinite, p))]) for name, look, ps in lines
    ]
    frame = _frame_of([point for _, _, points in finite for point in points])
    parts = [*axes(frame, x_label, y_label)]
    for name, look, points in finite:
        places = [frame.place(point) for point in points]
        parts.append(_styled(places, look, top=frame.top, name=name))
    spoken = f"{title}: {len(finite)} lines."
    return drawing(title, parts, height=TOP + PLOT_HEIGHT + BOTTOM, spoken=spoken)


def _frame_of(points: Sequence[Point]) -> Frame:
    (left, right), (low, high) = span([x for x, _ in points]), span([y for _, y in points])
    across, up = 0.04 * (right - left), 0.06 * (high - low)
    x = (max(0.0, left - across) if left >= 0 else left - across, right + across)
    return Frame(x=x, y=(low - up, high + up), top=TOP, empty=not points)


def _styled(places: Sequence[Point], look: LineStyle, *, top: int, name: str = "") -> str:
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    said = f" aria-label={quoteattr(name)}" if name else ""
    start = f'<path {_look(look.line)} fill="none"'
    strength = f'stroke-width="{look.width}" stroke-opacity="{look.opacity}"{dashes}{said}'
    tip = f"<title>{escape(name)}</title>" if name else ""
    steps = [f"{LEFT + x:.1f} {top + y:.1f}" for x, y in places]
    path = f"M{'L'.join(steps)}" if steps else ""
    return f'{start} {strength} stroke-linejoin="round" d="{path}">{tip}</path>'


def heatmap_svg(
    values: Mapping[tuple[int, int], tuple[float, int]],
    *,
    size: int,
    title: str,
    x_label: str,
    y_label: str,
    lower_is_better: bool,
) -> str:
    """Return a heat map as SVG text; dark fields are good.

    ``values`` has by (row, column) a number and the count of trials behind it. Rows, columns and
    their sum run from 0 to ``size``; ``x_label`` names the columns, ``y_label`` the rows.
    """
    side = min(_LARGEST_FIELD, (WIDTH - LEFT - RIGHT) // (size + 1), PLOT_HEIGHT * 2 // (size + 1))
    numbers = [value for value, _ in values.values()]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    ends = (low, high) if lower_is_better else (high, low)
    spoken = ". ".join(
        f"{y_label} {row}, {x_label} {column}: {in_words(value)}"
        for (row, column), (value, _) in values.items()
    )
    parts = [*_headings(size, side, x_label, y_label), *_fields(values, size, side, ends)]
    height = TOP + side * (size + 1) + BOTTOM
    return drawing(title, parts, height=height, spoken=f"{title}. {spoken}.")


def _headings(size: int, side: int, x_label: str, y_label: str) -> Iterator[str]:
    bottom = TOP + side * (size + 1)
    for i in range(size + 1):
        middle = side * (i + 0.5)
        yield label(LEFT - 8, bottom - middle + 4, str(i), anchor="end")
        yield label(LEFT + middle, bottom + 17, str(i), anchor="middle")
    yield label(LEFT + side * (size + 1) / 2, bottom + 37, x_label, anchor="middle")
    yield _upright(TOP + side * (size + 1) / 2, y_label)


def _fields(
    values: Mapping[tuple[int, int], tuple[float, int]],
    size: int,
    side: int,
    ends: tuple[float, float],
) -> Iterator[str]:
    """Yield every field, empty ones too; rows count upwards."""
    for row in range(size + 1):
        for column in range(size + 1 - row):
            x, y = LEFT + side * column, TOP + side * (size - row)
            place = f'x="{x + 1}" y="{y + 1}" width="{side - 2}" height="{side - 2}" rx="3"'
            if (row, column) not in values:
                yield f'<rect {place} fill="none" class="grid" stroke="#e4e7e8"/>'
                continue
            value, count = values[row, column]
            share = 0.0 if ends[0] == ends[1] else (value - ends[0]) / (ends[1] - ends[0])
            ink = "#ffffff" if share < 0.55 else "#1b2126"
            said = escape(f"{in_words(value)} ({count} {'trial' if count == 1 else 'trials'})")
            middle = f'x="{x + side / 2:.1f}" text-anchor="middle" fill="{ink}"'
            yield f'<rect {place} fill="{_mixed(share)}"><title>{said}</title></rect>'
            yield (
                f'<text {middle} y="{y + side / 2 + 1:.1f}" font-size="12.5" font-weight="600">'
                f"{in_words(value, digits=3)}</text>"
            )
            yield f'<text {middle} y="{y + side / 2 + 15:.1f}" font-size="10.5">{count}</text>'


def _mixed(share: float) -> str:
    parts = (round(g + (b - g) * share) for g, b in zip(_GOOD, _BAD, strict=True))
    return f"#{''.join(f'{part:02x}' for part in parts)}"
