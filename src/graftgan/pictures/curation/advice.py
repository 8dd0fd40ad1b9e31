"""The pictures that each filter costs, the effect of other thresholds, and what to change."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from graftgan.pictures.curation.decisions import FilterRules, Rule, Verdict
from graftgan.pictures.curation.filters import FILTERS

_SLACK = 0.2  # relative error in the number of pictures that a round threshold may make
_LOOSER, _STRICTER = (0.25, 0.5, 1.0), (0.05, 0.1, 0.25)
_DIGITS = 17
_FEW = 50  # kept pictures below which there is a warning
_MOST_RELAXED = 3  # filters
_WORTH_IT = 0.01  # share of the usable pictures that a filter must reject to be mentioned
_MOSTLY = 0.5
_MODES = {"off": "off", "reject": "rejects", "keep_only": "keeps only"}

COST_HEADINGS = ["filter", "mode", "threshold", "looked at", "rejected", "by it alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The effect of one filter's threshold while everything else stays the same.

    Filters that compare pictures are not run again, though a picture that comes back could be a
    duplicate of another.
    """

    name: str  # of the filter
    rule: Rule  # the present one
    always: int  # pictures that are kept at every threshold
    scores: Sequence[float]  # ascending, of pictures on which only this filter decides
    unseen: int  # of those it alone rejects, the number on which other filters have not run

    @property
    def alone(self) -> int:
        """The number of pictures that it alone rejects."""
        return self.rejected(self.rule.threshold)

    @property
    def high(self) -> bool:
        """Whether it rejects high scores, so that a higher threshold is the looser one."""
        return (FILTERS[self.name].side == "at_least") == (self.rule.mode == "reject")

    def rejected(self, threshold: float) -> int:
        """Return the number of pictures that it alone rejects at ``threshold``."""
        at_least = FILTERS[self.name].side == "at_least"
        cut = (bisect_left if at_least else bisect_right)(self.scores, threshold)
        return len(self.scores) - cut if self.high else cut

    def kept(self, threshold: float) -> int:
        """Return the number of pictures that are kept in all at ``threshold``."""
        return self.always + len(self.scores) - self.rejected(threshold)

    def threshold_for(self, least: int, most: int) -> float | None:
        """Return the roundest threshold at which it alone rejects ``least`` to ``most``, if any."""
        count = len(self.scores)
        ends = (count - most - 1, count - least) if self.high else (least - 1, most)
        low, high = (self._score(place) for place in ends)
        return roundest(low, high, lambda t: least <= self.rejected(t) <= most)

    def _score(self, place: int) -> float:
        """Return the score at a place of the list, or one beyond its ends."""
        finite = [score for score in self.scores if math.isfinite(score)] or [self.rule.threshold]
        room = 0.1 * (finite[-1] - finite[0]) or 0.1 * abs(finite[0]) or 1.0
        if place < 0 or (place < len(self.scores) and self.scores[place] == -math.inf):
            lowest = 0.0 if finite[0] >= 0 else -1e300  # most scores are never negative
            return max(finite[0] - room, lowest)
        if place >= len(self.scores) or self.scores[place] == math.inf:
            return min(finite[-1] + room, 1e300)
        return self.scores[place]


def balance_of(name: str, verdicts: Sequence[Verdict], rules: FilterRules) -> Balance:
    """Return the effect of the threshold of the filter ``name``."""
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
    """Return a round threshold that brings back about ``share`` of what it alone rejects."""
    alone = balance.alone
    back = math.ceil(share * alone)
    return _about(balance, back, most=alone, rejected_at=lambda n: alone - n)


def alternatives(balance: Balance) -> list[float]:
    """Return the present threshold and a few below and above it, ascending."""
    found = {balance.rule.threshold, *(looser(balance, share) for share in _LOOSER)}
    alone, left = balance.alone, len(balance.scores) - balance.alone
    most = math.ceil(left / 2)
    for share in _STRICTER:  # of what it keeps now is rejected as well
        count = math.ceil(share * left)
        found.add(_about(balance, count, most=most, rejected_at=lambda n: alone + n))
    return sorted(threshold for threshold in found if threshold is not None)


def roundest(low: float, high: float, fits: Callable[[float], bool]) -> float | None:
    """Return the number with the fewest digits from ``low`` to ``high`` that fits; None: none."""
    size = max(abs(low), abs(high))
    if size == 0:
        return low if fits(low) else None
    numbers = (*_round_numbers(low, high, math.floor(math.log10(size)) + 1), low, high)
    return next((number for number in numbers if fits(number)), None)


def as_typed(number: float) -> str:
    """Return a number as typed on a command line."""
    short = f"{number:.{_DIGITS - 2}g}"
    return short if float(short) == number else repr(number)


def _about(
    balance: Balance, count: int, *, most: int, rejected_at: Callable[[int], int]
) -> float | None:
    """Return a threshold that moves about ``count`` pictures, or if there is none, some more."""
    if not most:
        return None
    low = max(1, math.floor((1 - _SLACK) * count))
    high = min(most, math.ceil((1 + _SLACK) * count))
    while True:
        ends = sorted((rejected_at(low), rejected_at(high)))
        threshold = balance.threshold_for(*ends)
        if threshold is not None or high == most:
            return threshold
        high = min(most, math.ceil((1 + _SLACK) * high))  # many pictures have the same score


def _round_numbers(low: float, high: float, power: int) -> Iterator[float]:
    """Yield round numbers, the roundest first; a few in the middle of equally round ones."""
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
    """The pictures that one filter costs."""

    name: str  # of the filter
    rule: Rule
    looked_at: int  # pictures on which it has run
    missed: int  # usable pictures on which it has not, since others had rejected them
    found: int  # pictures in which it found something
    rejected: int  # pictures that it rejects
    alone: int  # of these, those that no other filter rejects and nobody has overruled

    @property
    def threshold(self) -> str:
        """The threshold in words."""
        sign = "≥" if FILTERS[self.name].side == "at_least" else "≤"
        return f"{sign} {as_typed(self.rule.threshold)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """A looser threshold."""

    flag: str  # what to add to the command
    back: int  # the most pictures that come back, of those that it alone rejects
    kept: int  # the most pictures that are then kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """Ways to relax a filter that alone rejects many pictures."""

    cost: Cost
    steps: Sequence[Relaxed]  # the stricter threshold first; empty if no threshold helps
    unseen: int  # of those it alone rejects, the number on which other filters have not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to know before training on the clean set."""

    raw: int  # files
    kept: int
    unusable: int  # files that are not usable pictures
    costs: Sequence[Cost]  # of every filter, in the order of the rules
    reliefs: Sequence[Relief]  # for the filters that alone reject most, the costliest first
    usual: Sequence[Cost]  # of filters that reject what most pictures have

    @property
    def warnings(self) -> list[str]:
        """What could spoil training, in sentences."""
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
                "mostly learns to copy: relax a filter, overrule some, or find more pictures."
            )
        if self.kept and self.kept < usable / 10:
            share = _share(self.kept, usable)
            said.append(f"{share} of the usable pictures are kept: look at what is rejected.")
        if self.unusable > self.raw / 10:
            said.append(f"{self.unusable:,} of {self.raw:,} files are not usable pictures.")
        return said

    @property
    def sentences(self) -> list[str]:
        """What could be changed, in sentences with flags in backticks."""
        usable = self.raw - self.unusable
        said = [_relief_in_words(relief, usable) for relief in self.reliefs]
        said += [_usual_in_words(cost) for cost in self.usual]
        missed = {c.name: c.missed for c in self.costs if c.missed and FILTERS[c.name].dear}
        if missed:
            most = max(missed.values())
            said.append(
                f"{', '.join(missed)} did not look at all pictures, {_pictures(most)} at most: "
                "others had rejected them. `--thorough` runs every filter on every picture."
            )
        return said


def advice_on(verdicts: Sequence[Verdict], rules: FilterRules) -> Advice:
    """Return the pictures that filters cost and what would bring them back."""
    costs = [_cost(name, verdicts, rules[name]) for name in rules]
    unusable = sum(v.record.unusable is not None for v in verdicts)
    least = max(1.0, _WORTH_IT * (len(verdicts) - unusable))
    costly = sorted((c for c in costs if c.alone >= least), key=lambda c: -c.alone)[:_MOST_RELAXED]
    return Advice(
        raw=len(verdicts),
        kept=sum(verdict.kept for verdict in verdicts),
        unusable=unusable,
        costs=costs,
        reliefs=[_relief_of(cost, balance_of(cost.name, verdicts, rules)) for cost in costly],
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
    """Return the flag that sets a threshold."""
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
    name, alone = relief.cost.name, relief.cost.alone
    start = f"{name} alone rejects {_pictures(alone)} ({_share(alone, usable)} of all)."
    steps = [f"`{step.flag}` brings back {step.back:,} of them" for step in relief.steps]
    steps.append(f"`--off {name}` brings back all")
    text = f"{start} {', '.join(steps)}."
    if relief.unseen:
        text += f" Other filters have not looked at {relief.unseen:,} of them and may reject them."
    return text


def _usual_in_words(cost: Cost) -> str:
    name, share = cost.name, _share(cost.found, cost.looked_at)
    text = f'{name} finds "{FILTERS[name].found}" in {share} of the pictures it looked at. '
    if FILTERS[name].compare is not None:
        return f"{text}To keep them: `--off {name}`."
    return f"{text}To keep only these: `--keep-only {name}`; to keep all: `--off {name}`."


def _pictures(count: int) -> str:
    return f"{count:,} {'picture' if count == 1 else 'pictures'}"


def _share(part: int, whole: int) -> str:
    percent = 100 * part / max(1, whole)
    return "under 1 %" if 0 < percent < 1 else f"{percent:.0f} %"
