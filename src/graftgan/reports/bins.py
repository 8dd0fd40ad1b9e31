"""Sort numbers into intervals, one of whose edges is the threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graftgan.reports.drawing import LARGEST

_BINS = 40
_REACH = 6  # quartile distances beyond the quartiles: what lies further off is at the ends
_NEAR = 3  # spans of the values within which the threshold is drawn to scale
_WIDE = 20  # times the low values that the high ones are, from where on the scale is logarithmic
_POSITIVE = 0.95  # share that must be above 0 for that
_BESIDE = 0.4  # of the width that is shown on each side of the threshold, if there is something
_ENDS = 0.02  # share of the values on each side where the quartiles are one

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Equally wide intervals of a scale.

    Attributes:
        anchor: An edge, on the scale.
        first: How many intervals the lowest edge is above the anchor.
        width: Of an interval, on the scale.
        count: Of intervals.
        logarithmic: Whether the scale is one of powers of ten.
        upper: Whether an interval holds its upper edge, not its lower one.
    """

    anchor: float
    first: int
    width: float
    count: int
    logarithmic: bool
    upper: bool

    def position(self, value: float) -> float:
        """Return how many intervals ``value`` is above the lowest edge."""
        return self._from_anchor(value) - self.first

    def index(self, value: float) -> int:
        """Return the interval that holds ``value``: -1 below all, ``count`` above all."""
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
    """Return intervals that show most of ``values`` and, if it is not far off, the threshold.

    A few values far from all others lie outside. The scale is logarithmic where the high values
    are many times the low ones.

    Args:
        values: Any number of finite ones, in ascending order.
        threshold: Becomes an edge if it is shown.
        upper: Whether an interval holds its upper edge, not its lower one.
    """
    values = [min(max(value, -LARGEST), LARGEST) for value in values] or [threshold]
    logarithmic = _spreads_widely(values, threshold)
    places = [_on_scale(v, logarithmic) for v in values if v > 0 or not logarithmic]
    mark = _on_scale(min(max(threshold, -LARGEST), LARGEST), logarithmic)
    low, high = _typical(places, mark)
    reach = _NEAR * (high - low)
    anchor = low
    if low - reach <= mark <= high + reach:
        anchor, (low, high) = mark, _around(mark, (low, high), (places[0], places[-1]))
    whole = not logarithmic and all(v == math.floor(v) for v in values if low <= v <= high)
    width = _width(low, high, logarithmic=logarithmic, whole=whole)
    edge = math.ceil if upper else math.floor
    first = edge((low - anchor) / width) - upper
    last = edge((high - anchor) / width) + (not upper)
    return Bins(
        anchor=anchor,
        first=first,
        width=width,
        count=max(1, last - first),
        logarithmic=logarithmic,
        upper=upper,
    )


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


def _typical(places: Sequence[float], mark: float) -> tuple[float, float]:
    """Return the ends of what is worth showing."""
    lower, upper = _quantile(places, 0.25), _quantile(places, 0.75)
    reach = _REACH * (upper - lower)
    if reach <= 0:
        middle = lower
        lower, upper = _quantile(places, _ENDS), _quantile(places, 1 - _ENDS)
        reach = 0.0 if upper > lower else 2 * abs(mark - middle)
    inside = [place for place in places if lower - reach <= place <= upper + reach]
    return inside[0], inside[-1]


def _around(mark: float, shown: Ends, found: Ends) -> Ends:
    """Return ends that show the threshold with some of what was found on both of its sides."""
    low, high = min(shown[0], mark), max(shown[1], mark)
    beside = _BESIDE * (high - low)
    return min(low, max(found[0], mark - beside)), max(high, min(found[1], mark + beside))


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
