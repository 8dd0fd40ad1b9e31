"""What the filters cost, what another threshold would do, and what to change."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from graftgan.pictures.curation.decisions import Rule, Rules, Verdict
from graftgan.pictures.curation.filters import FILTERS

_SLACK = 0.2  # by which a number of pictures may be missed for the sake of a round threshold
_LOOSER, _STRICTER = (0.25, 0.5, 1.0), (0.05, 0.1, 0.25)
_DIGITS = 17
_FEW = 50  # kept pictures below which a warning is due
_MOST_RELAXED = 3  # filters
_WORTH_IT = 0.01  # share of the usable pictures from which on a filter's rejections are spoken of
_MOSTLY = 0.5
_MODES = {"off": "off", "reject": "rejects", "keep_only": "keeps only"}

COST_HEADINGS = ["filter", "mode", "threshold", "looked at", "rejected", "by it alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What one filter decides by its threshold, while everything else stays as it is.

    Filters that compare pictures are not asked again: what comes back could be another's double.
    """

    name: str  # of the filter
    rule: Rule  # as it was
    always: int  # pictures that are kept at every threshold
    scores: Sequence[float]  # ascending, where no other filter and no person decides
    unseen: int  # of those it alone rejects, how many others have not looked at and may reject

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
        """Return the roundest threshold at which it alone rejects so many pictures; None: none."""
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


def alternatives(balance: Balance) -> list[float]:
    """Return a few thresholds below and above the present one, ascending, itself among them."""
    found = {balance.rule.threshold, *(looser(balance, share) for share in _LOOSER)}
    alone, left = balance.alone, len(balance.scores) - balance.alone
    most = math.ceil(left / 2)
    for share in _STRICTER:  # at which it rejects about so much of what it leaves now
        count = math.ceil(share * left)
        found.add(_about(balance, count, most=most, rejected_at=lambda n: alone + n))
    return sorted(threshold for threshold in found if threshold is not None)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one filter costs."""

    name: str  # of the filter
    rule: Rule  # what it does
    looked_at: int  # pictures whose score it has
    missed: int  # usable pictures that it has not looked at, since others had rejected them
    found: int  # of those looked at, those that have what it looks for
    rejected: int  # those it rejects
    alone: int  # of these, those that no other filter rejects and nobody has overruled

    @property
    def threshold(self) -> str:
        """From where on it finds something, in words."""
        sign = "≥" if FILTERS[self.name].side == "at_least" else "≤"
        return f"{sign} {as_typed(self.rule.threshold)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """A threshold at which pictures come back."""

    flag: str  # what to add to the command
    back: int  # how many of those it alone rejects come back, at the most
    kept: int  # how many pictures are then kept, at the most


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What can be done about a filter that alone rejects much."""

    cost: Cost
    steps: Sequence[Relaxed]  # the stricter threshold first; none where no threshold helps
    unseen: int  # of those it alone rejects, how many other filters have not looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to know before the clean set is trained on."""

    raw: int  # files
    kept: int
    unusable: int  # no pictures
    costs: Sequence[Cost]  # of every filter, in the order of the rules
    reliefs: Sequence[Relief]  # for the filters that alone reject most, the costliest first
    usual: Sequence[Cost]  # filters that reject what most of the pictures have

    @property
    def warnings(self) -> list[str]:
        """What could spoil a training, in sentences."""
        usable = self.raw - self.unusable
        said: list[str] = []
        if not self.raw:
            return ["There are no pictures."]
        if not self.kept:
            said.append("Nothing is kept.")
        elif self.kept < _FEW:
            verb = "is" if self.kept == 1 else "are"
            said.append(
                f"Only {_pictures(self.kept)} {verb} kept. From fewer than {_FEW} a generator "
                "learns little but these pictures: relax a filter, overrule some, or find more."
            )
        if self.kept and self.kept < usable / 10:
            share = _share(self.kept, usable)
            said.append(f"{share} of the usable pictures are kept: look at what is rejected.")
        if self.unusable > self.raw / 10:
            said.append(f"{self.unusable:,} of {self.raw:,} files are no picture that can be used.")
        return said

    @property
    def sentences(self) -> list[str]:
        """What could be changed, in sentences; flags stand in backticks."""
        usable = self.raw - self.unusable
        said = [_relief_in_words(relief, usable) for relief in self.reliefs]
        said += [_usual_in_words(cost) for cost in self.usual]
        missed = {c.name: c.missed for c in self.costs if c.missed and FILTERS[c.name].dear}
        if missed:
            most = max(missed.values())
            said.append(
                f"{', '.join(missed)} did not look at all pictures, {_pictures(most)} at the most: "
                "others had rejected them. `--thorough` has every filter look at everything."
            )
        return said


def advice_on(verdicts: Sequence[Verdict], rules: Rules) -> Advice:
    """Return what the filters cost and what would bring pictures back."""
    costs = [_cost(name, verdicts, rules[name]) for name in rules]
    unusable = sum(v.record.unusable is not None for v in verdicts)
    least = max(1.0, _WORTH_IT * (len(verdicts) - unusable))
    costly = sorted((c for c in costs if c.alone >= least), key=lambda c: -c.alone)
    return Advice(
        raw=len(verdicts),
        kept=sum(verdict.kept for verdict in verdicts),
        unusable=unusable,
        costs=costs,
        reliefs=[
            _relief_of(cost, balance_of(cost.name, verdicts, rules))
            for cost in costly[:_MOST_RELAXED]
        ],
        usual=[c for c in costs if c.rule.mode == "reject" and c.found > _MOSTLY * c.looked_at],
    )


def cost_rows(advice: Advice) -> list[list[str]]:
    """Return a row of text under ``COST_HEADINGS`` for each filter."""
    rows: list[list[str]] = []
    for cost in advice.costs:
        numbers = [f"{n:,}" for n in (cost.looked_at, cost.rejected, cost.alone)]
        told = ["–"] * 4 if cost.rule.mode == "off" else [cost.threshold, *numbers]
        rows.append([cost.name, _MODES[cost.rule.mode], *told])
    return rows


def threshold_flag(name: str, threshold: float) -> str:
    """Return what to add to the command for another threshold."""
    return f"--threshold {name}={as_typed(threshold)}"


def _cost(name: str, verdicts: Sequence[Verdict], rule: Rule) -> Cost:
    finds = FILTERS[name].finds
    scores = [v.scores[name] for v in verdicts if name in v.scores]
    rejected = [v for v in verdicts if v.is_rejected_by(name)]
    usable = sum(v.record.unusable is None for v in verdicts)
    return Cost(
        name=name,
        rule=rule,
        looked_at=len(scores),
        missed=usable - len(scores) if rule.mode != "off" else 0,
        found=sum(finds(score, rule.threshold) for score in scores),
        rejected=len(rejected),
        alone=sum(len(v.reasons) == 1 and v.overruled is None for v in rejected),
    )


def _relief_of(cost: Cost, balance: Balance) -> Relief:
    steps: list[Relaxed] = []
    for share in (0.25, 0.5):
        threshold = looser(balance, share)
        if threshold is not None:
            step = Relaxed(
                flag=threshold_flag(cost.name, threshold),
                back=balance.alone - balance.rejected(threshold),
                kept=balance.kept(threshold),
            )
            steps += [step] if step not in steps and step.back < cost.alone else []
    return Relief(cost=cost, steps=steps, unseen=balance.unseen)


def _relief_in_words(relief: Relief, usable: int) -> str:
    cost = relief.cost
    start = (
        f"{cost.name} alone rejects {_pictures(cost.alone)} ({_share(cost.alone, usable)} of all)."
    )
    steps = [f"`{step.flag}` brings back {step.back:,} of them" for step in relief.steps]
    steps.append(f"`--off {cost.name}` brings back all")
    seen = ""
    if relief.unseen:
        seen = f" {relief.unseen:,} of them other filters have not looked at and may reject."
    return f"{start} {', '.join(steps)}.{seen}"


def _usual_in_words(cost: Cost) -> str:
    found = FILTERS[cost.name].found
    share = _share(cost.found, cost.looked_at)
    text = f'{cost.name} says "{found}" of {share} of the pictures that it looked at. '
    if FILTERS[cost.name].compare is not None:
        return f"{text}If they are wanted: `--off {cost.name}`."
    return (
        f"{text}If these are what you want, and nothing else: `--keep-only {cost.name}`; "
        f"if it does not matter: `--off {cost.name}`."
    )


def _pictures(count: int) -> str:
    return f"{count:,} {'picture' if count == 1 else 'pictures'}"


def _share(part: int, whole: int) -> str:
    percent = 100 * part / max(1, whole)
    return "under 1 %" if 0 < percent < 1 else f"{percent:.0f} %"
