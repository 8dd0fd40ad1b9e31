"""What every drawing shares: the frame, its axes and ticks, numbers and text as SVG."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

COLOURS = ("#0f6cb0", "#c8540a", "#0a8464", "#a63d86", "#7a5a10", "#5b52c9")

WIDTH, PLOT_HEIGHT = 520, 214
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 46
LARGEST = 1e250
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture of curves with its caption."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotted rectangle: which values it spans and where it lies."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: int
    empty: bool

    def place(self, point: Point) -> Point:
        """Return where ``point`` lies, in pixels from the rectangle's upper left corner."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = (point[0] - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        return across, (y1 - point[1]) / (y1 - y0) * PLOT_HEIGHT

    def as_data(self) -> str:
        """Return the attributes from which a script reads values back."""
        ends = " ".join(f"{value:.8g}" for value in (*self.x, *self.y))
        box = f"{LEFT} {self.top} {WIDTH - LEFT - RIGHT} {PLOT_HEIGHT}"
        return f'data-span="{ends}" data-box="{box}"'


def drawing(title: str, parts: Iterable[str], *, height: int, spoken: str, data: str = "") -> str:
    """Return a whole drawing as SVG text.

    Args:
        title: Stands above it.
        parts: What is drawn.
        height: In pixels; the width is always the same.
        spoken: What it shows, for those who cannot see it.
        data: Attributes from which a script reads values back; without them it says none.
    """
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" role="img" '
            f'viewBox="0 0 {WIDTH} {height}" aria-label={quoteattr(printable(spoken))} {data}>',
            f'<text class="title" x="{LEFT}" y="18" font-size="15" font-weight="600" '
            f'fill="#1b2126">{as_text(title)}</text>',
            *parts,
            "</svg>",
        ]
    )


def span(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest value, with room where they are one."""
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
        yield f'<path class="grid" stroke="#e4e7e8" d="M{LEFT} {y:.1f}H{right}"/>'
        yield label(LEFT - 8, y + 4, _tick(value, _step(heights)), anchor="end")
    for value in abscissae:
        x = LEFT + frame.place((value, frame.y[0]))[0]
        yield f'<path class="axis" stroke="#8b959c" d="M{x:.1f} {bottom}v5"/>'
        yield label(x, bottom + 19, _tick(value, _step(abscissae)), anchor="middle")
    yield f'<path class="axis" stroke="#8b959c" d="M{LEFT} {bottom}H{right}"/>'
    yield label((LEFT + right) / 2, bottom + 38, x_label, anchor="middle")
    middle = frame.top + PLOT_HEIGHT / 2
    turned = f' transform="rotate(-90 13 {middle:.0f})"'
    yield label(13, middle, y_label, anchor="middle", more=turned)


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


def label(x: float, y: float, text: str, *, anchor: str, more: str = "") -> str:
    """Return a small text; ``anchor`` is start, middle or end, ``more`` further attributes."""
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" font-size="12" fill="#5d6972" '
        f'text-anchor="{anchor}"{more}>{as_text(text)}</text>'
    )


def _tick(value: float, step: float) -> str:
    """Return a tick's number with as many decimals as tell it from its neighbours."""
    if not 1e-4 <= step < 1e6:
        return in_words(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}".replace("-", "−")


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0


def colour(i: int) -> str:
    """Return the colour of the i-th line; after the last the first comes again."""
    return COLOURS[i % len(COLOURS)]


def as_text(text: str) -> str:
    """Return text as SVG holds it."""
    return escape(printable(text))


def printable(text: str) -> str:
    """Return text without what no XML may hold."""
    return _UNPRINTABLE.sub("\ufffd", text)
