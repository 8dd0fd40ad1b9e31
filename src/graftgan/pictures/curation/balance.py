"""How many pictures are kept when one threshold alone changes."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from graftgan.pictures.curation.decisions import Verdict
from graftgan.pictures.curation.filters import FILTERS
from graftgan.pictures.curation.settings import Rule, Rules

_SLACK = 0.2  # by which a number of pictures may be missed for the sake of a round threshold
_LOOSER, _STRICTER = (0.25, 0.5, 1.0), (0.05, 0.1, 0.25)
_DIGITS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What one filter decides by its threshold, while everything else stays as it is.

    Filters that compare pictures are not asked again: what comes back could be nearly the same as
    another.

    Attributes:
        name: Of the filter.
        rule: As it was.
        always: Pictures that are kept at every threshold.
        scores: Ascending, of the pictures that no other filter and no person decides on.
        unseen: Of those it alone rejects, how many another filter of single pictures has not
            looked at; that one might reject them.
    """

    name: str
    rule: Rule
    always: int
    scores: Sequence[float]
    unseen: int

    @property
    def alone(self) -> int:
        """How many pictures it alone rejects by its threshold."""
        return self.rejected(self.rule.threshold)

    @property
    def high(self) -> bool:
        """Whether it rejects the high scores, so that a higher threshold is the looser one."""
        return (FILTERS[self.name].side == "at_least") == (self.rule.mode == "reject")

    def rejected(self, threshold: float) -> int:
        """Return how many pictures it alone rejects at ``threshold``."""
        at_least = FILTERS[self.name].side == "at_least"
        cut = (bisect_left if at_least else bisect_right)(self.scores, threshold)
        return len(self.scores) - cut if self.high else cut

    def kept(self, threshold: float) -> int:
        """Return how many pictures are kept in all at ``threshold``."""
        return self.always + len(self.scores) - self.rejected(threshold)

    def threshold_for(self, least: int, most: int) -> float | None:
        """Return the roundest threshold at which it alone rejects ``least`` to ``most`` pictures.

        None: there is no such threshold.
        """
        count = len(self.scores)
        ends = (count - most - 1, count - least) if self.high else (least - 1, most)
        low, high = (self._score(place) for place in ends)
        return roundest(low, high, lambda t: least <= self.rejected(t) <= most)

    def _score(self, place: int) -> float:
        """Return the score at a place of the list; beyond its ends, one that is further off."""
        finite = [score for score in self.scores if math.isfinite(score)] or [self.rule.threshold]
        room = 0.1 * (finite[-1] - finite[0]) or 0.1 * abs(finite[0]) or 1.0
        if place < 0 or (place < len(self.scores) and self.scores[place] == -math.inf):
            lowest = 0.0 if finite[0] >= 0 else -1e300  # few scores mean anything below 0
            return max(finite[0] - room, lowest)
        if place >= len(self.scores) or self.scores[place] == math.inf:
            return min(finite[-1] + room, 1e300)
        return self.scores[place]


def balance_of(name: str, verdicts: Sequence[Verdict], rules: Rules) -> Balance:
    """Return what the filter ``name`` decides by its threshold."""
    rule = rules[name]
    others = [n for n, r in rules.items() if r.mode != "off" and FILTERS[n].compare is None]
    always, unseen = 0, 0
    scores: list[float] = []
    for verdict in verdicts:
        score = verdict.scores.get(name, math.nan)
        own = [reason.filter for reason in verdict.reasons] == [name]
        if verdict.overruled is None and (own or not verdict.reasons) and not math.isnan(score):
            scores.append(score)
            unseen += own and any(other not in verdict.scores for other in others)
        else:
            always += verdict.kept
    return Balance(name=name, rule=rule, always=always, scores=sorted(scores), unseen=unseen)


def looser(balance: Balance, share: float) -> float | None:
    """Return a round threshold at which about ``share`` of what it alone rejects comes back."""
    alone = balance.alone
    back = math.ceil(share * alone)
    return _about(balance, back, most=alone, rejected_at=lambda n: alone - n)


def stricter(balance: Balance, share: float) -> float | None:
    """Return a round threshold at which it rejects about ``share`` of what it leaves now."""
    alone, left = balance.alone, len(balance.scores) - balance.alone
    most = math.ceil(left / 2)
    return _about(balance, math.ceil(share * left), most=most, rejected_at=lambda n: alone + n)


def alternatives(balance: Balance) -> list[float]:
    """Return a few thresholds below and above the present one, ascending, itself among them."""
    found = {balance.rule.threshold}
    found.update(t for share in _LOOSER if (t := looser(balance, share)) is not None)
    found.update(t for share in _STRICTER if (t := stricter(balance, share)) is not None)
    return sorted(found)


def roundest(low: float, high: float, fits: Callable[[float], bool]) -> float | None:
    """Return the number with the fewest digits between two that fits, the ends included."""
    size = max(abs(low), abs(high))
    if size == 0:
        return low if fits(low) else None
    for number in _round_numbers(low, high, math.floor(math.log10(size)) + 1):
        if fits(number):
            return number
    return next((end for end in (low, high) if fits(end)), None)


def as_typed(number: float) -> str:
    """Return a number as it is typed on a command line."""
    short = f"{number:.{_DIGITS - 2}g}"
    return short if float(short) == number else repr(number)


def _about(
    balance: Balance, count: int, *, most: int, rejected_at: Callable[[int], int]
) -> float | None:
    """Return a threshold that moves about ``count`` pictures, or else some more."""
    if not most:
        return None
    low = max(1, math.floor((1 - _SLACK) * count))
    high = min(most, math.ceil((1 + _SLACK) * count))
    while True:
        ends = sorted((rejected_at(low), rejected_at(high)))
        threshold = balance.threshold_for(*ends)
        if threshold is not None or high == most:
            return threshold
        high = min(most, math.ceil((1 + _SLACK) * high))  # many pictures share one score


def _round_numbers(low: float, high: float, power: int) -> Iterator[float]:
    """Yield round numbers, the roundest first; of equally round ones a few in the middle."""
    for exponent in range(power, power - _DIGITS, -1):
        for factor in (5, 2, 1):
            step = float(f"{factor}e{exponent}")
            if step <= 0:
                return
            first, last = math.ceil(low / step), math.floor(high / step)
            middle = (first + last) // 2
            for n in range(max(first, middle - 4), min(last, middle + 4) + 1):
                yield float(f"{factor * n}e{exponent}")
