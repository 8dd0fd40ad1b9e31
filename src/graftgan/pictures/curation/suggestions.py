"""What the filters cost, and what to change where that is too much."""

from collections.abc import Sequence
from dataclasses import dataclass

from graftgan.pictures.curation.balance import Balance, as_typed, balance_of, looser
from graftgan.pictures.curation.decisions import Verdict
from graftgan.pictures.curation.filters import FILTERS
from graftgan.pictures.curation.settings import Rule, Rules

FEW = 50
"""Kept pictures below which a warning is due."""
_MOST_RELAXED = 3  # filters
_WORTH_IT = 0.01  # share of the usable pictures from which on a filter's rejections are spoken of
_MOSTLY = 0.5
_MODES = {"off": "off", "reject": "rejects", "keep_only": "keeps only"}

COST_HEADINGS = ["filter", "mode", "threshold", "looked at", "rejected", "by it alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one filter costs.

    Attributes:
        name: Of the filter.
        rule: What it does.
        looked_at: Pictures whose score it has.
        missed: Usable pictures that it has not looked at, since others had rejected them.
        found: Of those looked at, those that have what it looks for.
        rejected: Those it rejects.
        alone: Of these, those that no other filter rejects and nobody has overruled.
    """

    name: str
    rule: Rule
    looked_at: int
    missed: int
    found: int
    rejected: int
    alone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """A threshold at which pictures come back.

    Attributes:
        flag: What to add to the command.
        back: How many of those it alone rejects come back, at the most.
        kept: How many pictures are then kept, at the most.
    """

    flag: str
    back: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What can be done about a filter that alone rejects much.

    Attributes:
        cost: Of the filter.
        steps: Thresholds, the stricter first; none where no threshold helps.
        unseen: Of those it alone rejects, how many other filters have not looked at.
    """

    cost: Cost
    steps: Sequence[Relaxed]
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to know before the clean set is trained on.

    Attributes:
        raw: How many files there are.
        kept: How many are kept.
        unusable: How many are no pictures.
        costs: Of every filter, in the order of the rules.
        reliefs: For the filters that alone reject most, the costliest first.
        usual: Filters that reject what most of the pictures have.
    """

    raw: int
    kept: int
    unusable: int
    costs: Sequence[Cost]
    reliefs: Sequence[Relief]
    usual: Sequence[Cost]

    @property
    def warnings(self) -> list[str]:
        """What could spoil a training, in sentences."""
        return list(_warnings(self))

    @property
    def sentences(self) -> list[str]:
        """What could be changed, in sentences; flags stand in backticks."""
        usable = self.raw - self.unusable
        said = [_relief(relief, usable) for relief in self.reliefs]
        said += [_usual(cost) for cost in self.usual]
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
    return [_row(cost) for cost in advice.costs]


def threshold_in_words(name: str, rule: Rule) -> str:
    """Return from where on a filter finds something."""
    sign = "≥" if FILTERS[name].side == "at_least" else "≤"
    return f"{sign} {as_typed(rule.threshold)}"


def _cost(name: str, verdicts: Sequence[Verdict], rule: Rule) -> Cost:
    finds = FILTERS[name].finds
    scores = [v.scores[name] for v in verdicts if name in v.scores]
    rejected = [v for v in verdicts if any(reason.filter == name for reason in v.reasons)]
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


def threshold_flag(name: str, threshold: float) -> str:
    """Return what to add to the command for another threshold."""
    return f"--threshold {name}={as_typed(threshold)}"


def _row(cost: Cost) -> list[str]:
    mode = _MODES[cost.rule.mode]
    if cost.rule.mode == "off":
        return [cost.name, mode, *["–"] * 4]
    numbers = (cost.looked_at, cost.rejected, cost.alone)
    threshold = threshold_in_words(cost.name, cost.rule)
    return [cost.name, mode, threshold, *(f"{n:,}" for n in numbers)]


def _warnings(advice: Advice) -> list[str]:
    usable = advice.raw - advice.unusable
    said: list[str] = []
    if not advice.raw:
        return ["There are no pictures."]
    if not advice.kept:
        said.append("Nothing is kept.")
    elif advice.kept < FEW:
        verb = "is" if advice.kept == 1 else "are"
        said.append(
            f"Only {_pictures(advice.kept)} {verb} kept. From fewer than {FEW} a generator learns "
            "little but these pictures: relax a filter, overrule some, or find more."
        )
    if advice.kept and advice.kept < usable / 10:
        said.append(
            f"{_share(advice.kept, usable)} of the usable pictures are kept: look at what is "
            "rejected."
        )
    if advice.unusable > advice.raw / 10:
        said.append(f"{advice.unusable:,} of {advice.raw:,} files are no picture that can be used.")
    return said


def _relief(relief: Relief, usable: int) -> str:
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


def _usual(cost: Cost) -> str:
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
