"""How often each score was found, with the threshold drawn in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graftgan.reports.bins import Bins, bins_for
from graftgan.reports.drawing import (
    BOTTOM,
    LEFT,
    PLOT_HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Panel,
    as_text,
    drawing,
    in_words,
    label,
    ticks,
)

_COLOURS = ("#0a8464", "#c8540a", "#a9b2b7")
_LEGEND, _LETTER = 22, 6.9  # pixels: height of the legend, width of a letter
_GAP = 0.6  # bars between the intervals and what lies beyond them
_LEAST = 2.0  # pixels of a bar that is not empty
_ROOM = 16  # pixels above the bars for the number of the threshold

Groups = Mapping[str, Sequence[float]]
"""Scores by what became of their pictures, in the order in which they are stacked; at most 3."""


@dataclass(frozen=True, slots=True)
class _Layout:
    bins: Bins
    below: int
    above: int
    most: int

    @property
    def top(self) -> int:
        return TOP + _LEGEND + _ROOM

    @property
    def _unit(self) -> float:
        beyond = (1 + _GAP) * ((self.below > 0) + (self.above > 0))
        return (WIDTH - LEFT - RIGHT) / (self.bins.count + beyond)

    def x(self, position: float) -> float:
        """Return where so many intervals lie, from the left end of the drawing."""
        start = (1 + _GAP) * (self.below > 0)
        return LEFT + (start + position) * self._unit

    def bar(self, i: int) -> tuple[float, float]:
        """Return the left end and the width of a bar; those beyond stand apart."""
        apart = -_GAP if i < 0 else _GAP if i == self.bins.count else 0.0
        gap = min(1.0, 0.15 * self._unit)
        return self.x(i + apart) + gap / 2, self._unit - gap

    def height(self, count: int) -> float:
        """Return the height of so many pictures; a single one can still be seen."""
        return max(_LEAST, PLOT_HEIGHT * count / self.most) if count else 0.0


def histogram_svg(
    groups: Groups, *, title: str, x_label: str, y_label: str, threshold: float, upper: bool
) -> Panel:
    """Return stacked bars with a line at the threshold; the caption says what is not to scale.

    Args:
        groups: The scores; those that are not numbers are counted in the caption alone.
        title: What it shows.
        x_label: Name and unit of the scores.
        y_label: Of what is counted.
        threshold: Where the line is.
        upper: Whether a score at the threshold belongs to those below it.
    """
    finite = sorted(v for values in groups.values() for v in values if math.isfinite(v))
    bins = bins_for(finite, threshold=threshold, upper=upper)
    counts = {name: _counted(values, bins) for name, values in groups.items()}
    totals = [sum(column) for column in zip(*counts.values(), strict=True)] or [0]
    layout = _Layout(bins, below=totals[0], above=totals[-1], most=max(1, *totals))
    parts = [
        *_legend(groups),
        *_axes(layout, x_label, y_label),
        *_bars(layout, counts),
        *_line(layout, threshold),
    ]
    height = layout.top + PLOT_HEIGHT + BOTTOM
    said = ", ".join(f"{name} {len(values):,}" for name, values in groups.items())
    spoken = f"{title}: {said}; threshold {in_words(threshold)}."
    svg = drawing(title, parts, height=height, spoken=spoken)
    return Panel(svg=svg, caption=_caption(layout, groups))


def _counted(values: Sequence[float], bins: Bins) -> list[int]:
    """Return how many lie below all intervals, in each of them, and above all."""
    found = [0] * (bins.count + 2)
    for value in values:
        if not math.isnan(value):
            found[bins.index(value) + 1] += 1
    return found


def _legend(groups: Groups) -> Iterator[str]:
    x = float(LEFT)
    for i, (name, values) in enumerate(groups.items()):
        said = f"{name} {len(values):,}"
        yield (
            f'<rect class="h{i}" fill="{_COLOURS[i]}" x="{x:.1f}" y="{TOP + 1}" width="11" '
            f'height="11" rx="2"/>'
        )
        yield label(x + 17, TOP + 11, said, anchor="start")
        x += 17 + _LETTER * len(said) + 14


def _axes(layout: _Layout, x_label: str, y_label: str) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, layout.top + PLOT_HEIGHT
    for value in ticks(0, layout.most, most=5):
        if value == math.floor(value):
            y = bottom - PLOT_HEIGHT * value / layout.most
            yield f'<path class="grid" stroke="#e4e7e8" d="M{LEFT} {y:.1f}H{right}"/>'
            yield label(LEFT - 8, y + 4, f"{int(value):,}", anchor="end")
    for value in _abscissae(layout.bins):
        x = layout.x(layout.bins.position(value))
        yield f'<path class="axis" stroke="#8b959c" d="M{x:.1f} {bottom}v5"/>'
        yield label(x, bottom + 19, in_words(value), anchor="middle")
    yield f'<path class="axis" stroke="#8b959c" d="M{LEFT} {bottom}H{right}"/>'
    yield label((LEFT + right) / 2, bottom + 38, x_label, anchor="middle")
    yield label(LEFT - 8, layout.top - 8, y_label, anchor="end")


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
    bottom = layout.top + PLOT_HEIGHT
    for i in range(-1, layout.bins.count + 1):
        column = {name: found[i + 1] for name, found in counts.items()}
        if not any(column.values()):
            continue
        x, width = layout.bar(i)
        said = ", ".join(f"{count:,} {name}" for name, count in column.items() if count)
        yield f"<g><title>{as_text(f'{_interval(layout.bins, i)}: {said}')}</title>"
        y = float(bottom)
        for place, count in enumerate(column.values()):
            height = layout.height(count)
            y -= height
            if count:
                look = f'class="h{place}" fill="{_COLOURS[place]}"'
                box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}"'
                yield f"<rect {look} {box}/>"
        yield "</g>"


def _interval(bins: Bins, i: int) -> str:
    if i < 0:
        return f"below {in_words(bins.edge(0))}"
    if i == bins.count:
        return f"above {in_words(bins.edge(bins.count))}"
    return f"{in_words(bins.edge(i))} to {in_words(bins.edge(i + 1))}"


def _line(layout: _Layout, threshold: float) -> Iterator[str]:
    """Yield the line of the threshold, or an arrow at the end beyond which it lies."""
    position = layout.bins.position(threshold)
    inside = 0 <= position <= layout.bins.count
    x = layout.x(min(max(position, 0.0), float(layout.bins.count)))
    said = in_words(threshold)
    if inside:
        top = layout.top - 4
        yield (
            f'<path class="threshold" stroke="#1b2126" stroke-width="1.5" stroke-dasharray="5 3" '
            f'd="M{x:.1f} {top}V{layout.top + PLOT_HEIGHT}"/>'
        )
    else:
        said = f"← {said}" if position < 0 else f"{said} →"
    far = 3.5 * len(said)
    x = min(max(x, LEFT + far), WIDTH - RIGHT - far)
    yield (
        f'<text class="title" x="{x:.1f}" y="{layout.top - 8}" font-size="12" font-weight="600" '
        f'fill="#1b2126" text-anchor="middle">{as_text(said)}</text>'
    )


def _caption(layout: _Layout, groups: Groups) -> str:
    bins = layout.bins
    found = ["The scale is logarithmic."] if bins.logarithmic else []
    values = [v for group in groups.values() for v in group if not math.isnan(v)]
    ends = (
        ("first", layout.below, "below", bins.edge(0), min),
        ("last", layout.above, "above", bins.edge(bins.count), max),
    )
    for place, count, side, end, furthest in ends:
        if count:
            extreme = furthest(values)
            reach = f" ({in_words(extreme)} at the furthest)" if math.isfinite(extreme) else ""
            found.append(f"The {place} bar, apart: {count:,} {side} {in_words(end)}{reach}.")
    missing = sum(map(len, groups.values())) - len(values)
    if missing:
        found.append(f"{missing:,} without a number.")
    return " ".join(found)
