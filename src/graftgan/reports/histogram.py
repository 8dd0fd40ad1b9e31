"""Histograms of scores, with the threshold at an edge between two bars."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graftgan.reports.drawing import (
    BOTTOM,
    LARGEST,
    LEFT,
    LETTER,
    PLOT_HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Panel,
    abscissa_tick,
    as_text,
    drawing,
    height_tick,
    in_words,
    label,
    ticks,
)

_COLOURS = ("#0a8464", "#c8540a", "#a9b2b7")
_GAP = 0.6  # bar widths between the intervals and the bars of what lies beyond them
_LEAST = 2.0  # pixels: the height of a bar that is not empty
_TOP = TOP + 22 + 16  # below the legend and the number of the threshold
_BASE = _TOP + PLOT_HEIGHT
_BINS = 40
_REACH = 6  # interquartile ranges beyond the quartiles; values further off are outliers
_NEAR = 3  # spans of the values within which the threshold is drawn to scale
_WIDE = 20  # ratio of high to low values from which the scale is logarithmic
_POSITIVE = 0.95  # share of values above 0 that a logarithmic scale needs
_BESIDE = 0.4  # of the width, on each side of the threshold, as far as there are values
_ENDS = 0.02  # share of outliers on each side where the quartiles are equal

Groups = Mapping[str, Sequence[float]]
"""Scores by the fate of their pictures, in the order in which they are stacked; at most 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Intervals of equal width on a scale."""

    anchor: float  # an edge, on the scale
    first: int  # intervals from the anchor up to the lowest edge
    width: float  # of an interval, on the scale
    count: int
    logarithmic: bool  # whether the scale is log10
    upper: bool  # whether an interval contains its upper edge, not its lower one

    def position(self, value: float) -> float:
        """Return the distance of ``value`` from the lowest edge, in intervals."""
        return self._from_anchor(value) - self.first

    def index(self, value: float) -> int:
        """Return the index of the interval of ``value``: -1 below all, ``count`` above all."""
        place = self._from_anchor(value)
        if not math.isfinite(place):
            return -1 if place < 0 else self.count
        whole = math.ceil(place) - 1 if self.upper else math.floor(place)
        return min(max(whole - self.first, -1), self.count)

    def edge(self, i: int) -> float:
        """Return the lower edge of the i-th interval; that of ``count`` is the highest edge."""
        place = self.anchor + (self.first + i) * self.width
        return 10.0**place if self.logarithmic else place

    def _from_anchor(self, value: float) -> float:
        return (_on_scale(value, self.logarithmic) - self.anchor) / self.width


def bins_for(values: Sequence[float], *, threshold: float, upper: bool) -> Bins:
    """Return intervals that show most of ``values``, which are finite and ascend.

    A threshold that is not far off becomes an edge. Outliers lie outside. The scale is logarithmic
    where the high values are many times the low ones.
    """
    values = [min(max(value, -LARGEST), LARGEST) for value in values] or [threshold]
    logarithmic = _spreads_widely(values, threshold)
    places = [_on_scale(v, logarithmic) for v in values if v > 0 or not logarithmic]
    mark = _on_scale(min(max(threshold, -LARGEST), LARGEST), logarithmic)
    low, high = _worth_showing(places, mark)
    reach = _NEAR * (high - low)
    anchor = low
    if low - reach <= mark <= high + reach:
        anchor, low, high = mark, min(low, mark), max(high, mark)
        beside = _BESIDE * (high - low)  # shows some values on both sides of the threshold
        low = min(low, max(places[0], mark - beside))
        high = max(high, min(places[-1], mark + beside))
    whole = not logarithmic and all(v == math.floor(v) for v in values if low <= v <= high)
    width = _width(low, high, logarithmic=logarithmic, whole=whole)
    edge = math.ceil if upper else math.floor
    first = edge((low - anchor) / width) - upper
    count = max(1, edge((high - anchor) / width) + (not upper) - first)
    scale = {"logarithmic": logarithmic, "upper": upper}
    return Bins(anchor=anchor, first=first, width=width, count=count, **scale)


def _on_scale(value: float, logarithmic: bool) -> float:
    if not logarithmic:
        return value
    return math.log10(min(max(value, 1 / LARGEST), LARGEST)) if value > 0 else -math.inf


def _spreads_widely(values: Sequence[float], threshold: float) -> bool:
    positive = [value for value in values if value > 0]
    if threshold <= 0 or len(positive) < max(2, _POSITIVE * len(values)):
        return False
    low, high = _quantile(positive, 0.05), _quantile(positive, 0.95)
    return high > _WIDE * min(low, threshold)


def _worth_showing(places: Sequence[float], mark: float) -> tuple[float, float]:
    """Return the lowest and the highest place without outliers."""
    lower, upper = _quantile(places, 0.25), _quantile(places, 0.75)
    reach = _REACH * (upper - lower)
    if reach <= 0:
        reach = 2 * abs(mark - lower)
        lower, upper = _quantile(places, _ENDS), _quantile(places, 1 - _ENDS)
        reach = 0.0 if upper > lower else reach
    inside = [place for place in places if lower - reach <= place <= upper + reach]
    return inside[0], inside[-1]


def _quantile(values: Sequence[float], share: float) -> float:
    return values[round(share * (len(values) - 1))]


def _width(low: float, high: float, *, logarithmic: bool, whole: bool) -> float:
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return 0.05 if logarithmic else max(1.0 if whole else 1e-9, abs(low) / 10)
    least = (high - low) / _BINS
    if logarithmic:
        return least
    power = 10.0 ** math.floor(math.log10(least))
    width = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return max(1.0, width) if whole else width


@dataclass(frozen=True, slots=True)
class _Layout:
    bins: Bins
    below: int
    above: int
    most: int

    @property
    def _unit(self) -> float:
        beyond = (1 + _GAP) * ((self.below > 0) + (self.above > 0))
        return (WIDTH - LEFT - RIGHT) / (self.bins.count + beyond)

    def x(self, position: float) -> float:
        """Return the pixel of a ``position`` in intervals."""
        start = (1 + _GAP) * (self.below > 0)
        return LEFT + (start + position) * self._unit

    def bar(self, i: int) -> tuple[float, float]:
        """Return the left edge and the width of a bar; those beyond the intervals are apart."""
        apart = -_GAP if i < 0 else _GAP if i == self.bins.count else 0.0
        gap = min(1.0, 0.15 * self._unit)
        return self.x(i + apart) + gap / 2, self._unit - gap


def histogram_svg(
    groups: Groups, *, title: str, x_label: str, y_label: str, threshold: float, upper: bool
) -> Panel:
    """Return stacked bars with a line at the threshold; the caption says what is not to scale.

    Not-a-number is counted in the caption only. With ``upper`` a score at the threshold counts as
    below it.
    """
    finite = sorted(v for values in groups.values() for v in values if math.isfinite(v))
    bins = bins_for(finite, threshold=threshold, upper=upper)
    counts = {name: _counted(values, bins) for name, values in groups.items()}
    totals = [sum(column) for column in zip(*counts.values(), strict=True)] or [0]
    layout = _Layout(bins, below=totals[0], above=totals[-1], most=max(1, *totals))
    parts = [*_legend(groups), *_axes(layout, x_label, y_label)]
    parts += [*_bars(layout, counts), *_line(layout, threshold)]
    said = ", ".join(f"{name} {len(values):,}" for name, values in groups.items())
    spoken = f"{title}: {said}; threshold {in_words(threshold)}."
    svg = drawing(title, parts, height=_BASE + BOTTOM, spoken=spoken)
    return Panel(svg=svg, caption=_caption(layout, groups))


def _counted(values: Sequence[float], bins: Bins) -> list[int]:
    """Return how many values lie below all intervals, in each of them, and above all."""
    found = Counter(bins.index(value) for value in values if not math.isnan(value))
    return [found[i] for i in range(-1, bins.count + 1)]


def _legend(groups: Groups) -> Iterator[str]:
    x = float(LEFT)
    for i, (name, values) in enumerate(groups.items()):
        said = f"{name} {len(values):,}"
        box = f'x="{x:.1f}" y="{TOP + 1}" width="11" height="11" rx="2"'
        yield f'<rect class="h{i}" fill="{_COLOURS[i]}" {box}/>'
        yield label(x + 17, TOP + 11, said, anchor="start")
        x += 17 + LETTER * len(said) + 14


def _axes(layout: _Layout, x_label: str, y_label: str) -> Iterator[str]:
    right = WIDTH - RIGHT
    for value in ticks(0, layout.most, most=5):
        if value == math.floor(value):
            y = _BASE - PLOT_HEIGHT * value / layout.most
            yield from height_tick(y, f"{int(value):,}")
    for value in _abscissae(layout.bins):
        yield from abscissa_tick(layout.x(layout.bins.position(value)), _BASE, in_words(value))
    yield f'<path class="axis" stroke="#8b959c" d="M{LEFT} {_BASE}H{right}"/>'
    yield label((LEFT + right) / 2, _BASE + 38, x_label, anchor="middle")
    yield label(LEFT - 8, _TOP - 8, y_label, anchor="end")


def _abscissae(bins: Bins) -> list[float]:
    low, high = bins.edge(0), bins.edge(bins.count)
    if not bins.logarithmic:
        return ticks(low, high, most=6)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 3 else (1, 3) if len(powers) <= 4 else (1,)
    every = max(1, len(powers) // 6)
    found = [factor * 10.0**power for power in powers[::every] for factor in factors]
    return [value for value in found if low <= value <= high]


def _bars(layout: _Layout, counts: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for i in range(-1, layout.bins.count + 1):
        column = {name: found[i + 1] for name, found in counts.items()}
        if not any(column.values()):
            continue
        x, width = layout.bar(i)
        low, high = in_words(layout.bins.edge(i)), in_words(layout.bins.edge(i + 1))
        interval = f"{low} to {high}" if i >= 0 else f"below {high}"
        interval = f"above {low}" if i == layout.bins.count else interval
        said = ", ".join(f"{count:,} {name}" for name, count in column.items() if count)
        yield f"<g><title>{as_text(f'{interval}: {said}')}</title>"
        y = float(_BASE)
        for place, count in enumerate(column.values()):
            if count:
                height = max(_LEAST, PLOT_HEIGHT * count / layout.most)  # one picture is visible
                y -= height
                look = f'class="h{place}" fill="{_COLOURS[place]}"'
                box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}"'
                yield f"<rect {look} {box}/>"
        yield "</g>"


def _line(layout: _Layout, threshold: float) -> Iterator[str]:
    """Yield a line at the threshold, or an arrow where it lies outside."""
    position = layout.bins.position(threshold)
    x = layout.x(min(max(position, 0.0), float(layout.bins.count)))
    said = in_words(threshold)
    if 0 <= position <= layout.bins.count:
        look = 'class="threshold" stroke="#1b2126" stroke-width="1.5" stroke-dasharray="5 3"'
        yield f'<path {look} d="M{x:.1f} {_TOP - 4}V{_BASE}"/>'
    else:
        said = f"← {said}" if position < 0 else f"{said} →"
    far = 3.5 * len(said)
    x = min(max(x, LEFT + far), WIDTH - RIGHT - far)
    yield (
        f'<text class="title" x="{x:.1f}" y="{_TOP - 8}" font-size="12" font-weight="600" '
        f'fill="#1b2126" text-anchor="middle">{as_text(said)}</text>'
    )


def _caption(layout: _Layout, groups: Groups) -> str:
    bins = layout.bins
    found = ["The scale is logarithmic."] if bins.logarithmic else []
    values = [v for group in groups.values() for v in group if not math.isnan(v)]
    first = ("first", layout.below, "below", bins.edge(0), min)
    last = ("last", layout.above, "above", bins.edge(bins.count), max)
    for place, count, side, end, furthest in (first, last):
        if count:
            extreme = furthest(values)
            reach = f" ({in_words(extreme)} at the furthest)" if math.isfinite(extreme) else ""
            found.append(f"The {place} bar, apart: {count:,} {side} {in_words(end)}{reach}.")
    missing = sum(map(len, groups.values())) - len(values)
    if missing:
        found.append(f"{missing:,} without a number.")
    return " ".join(found)
