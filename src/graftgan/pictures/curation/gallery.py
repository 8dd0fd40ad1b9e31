"""Which pictures the page shows, and what it says of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tomli_w

from graftgan.pictures.curation.curation_page import Gallery, Shown
from graftgan.pictures.curation.decisions import RejectionReason, Verdict
from graftgan.pictures.curation.settings import Rules
from graftgan.reports import Thumbnail, in_words

MOST = 120
"""Pictures on a gallery."""
_MOST_IN_ALL = 1200
_NEARLY = 24  # pictures of what is nearly rejected
_MARKS = {"kept": "kept by you", "dropped": "dropped by you"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Some verdicts of a kind, and how many there are.

    Attributes:
        verdicts: Those to show, in their order.
        total: Of the kind.
        of: The filter that they are shown for; empty: none.
    """

    verdicts: Sequence[Verdict]
    total: int
    of: str = ""

    def names(self) -> list[str]:
        """Return the names of all pictures that it takes to show them."""
        beside = (reason.beside for v in self.verdicts for reason in self._own(v))
        return [v.name for v in self.verdicts] + [name for name in beside if name is not None]

    def gallery(self, pictures: Mapping[str, Thumbnail | None]) -> Gallery:
        """Return the gallery that they make."""
        return Gallery(shown=[self._shown(v, pictures) for v in self.verdicts], total=self.total)

    def _own(self, verdict: Verdict) -> list[RejectionReason]:
        """Return the reasons, those of the filter it is about first."""
        return sorted(verdict.reasons, key=lambda reason: reason.filter != self.of)

    def _shown(self, verdict: Verdict, pictures: Mapping[str, Thumbnail | None]) -> Shown:
        reasons = self._own(verdict)
        lines = [_said(reason) for reason in reasons]
        if not lines and self.of:
            lines = [_number(verdict.scores[self.of])]
        beside = next((reason.beside for reason in reasons[:1] if reason.beside), None)
        return Shown(
            name=quoted(verdict.name),
            lines=lines,
            mark=_MARKS.get(verdict.overruled or "", ""),
            picture=pictures.get(verdict.name),
            beside=pictures.get(beside) if beside is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """All that the page shows.

    Attributes:
        rejected: By filter.
        nearly: By filter, of what it nearly rejects.
        kept: Spread evenly over the names.
        overruled: What a person decided.
    """

    rejected: Mapping[str, Choice]
    nearly: Mapping[str, Choice]
    kept: Choice
    overruled: Choice

    def names(self) -> list[str]:
        """Return the names of all pictures that it takes to show them."""
        every = (self.kept, self.overruled, *self.rejected.values(), *self.nearly.values())
        return [name for choice in every for name in choice.names()]


def choose(verdicts: Sequence[Verdict], rules: Rules) -> Choices:
    """Return which pictures to show: for each filter those nearest to its threshold."""
    names = [n for n in rules if any(n in v.scores for v in verdicts)]
    # Pictures of what is nearly the same are shown in pairs.
    most = min(MOST, _MOST_IN_ALL // (len(names) + 3))
    kept = [v for v in verdicts if v.kept]
    overruled = [v for v in verdicts if v.overruled is not None]

    rejected: dict[str, Choice] = {}
    nearly: dict[str, Choice] = {}
    for name in names:
        near = _nearest_first(name, verdicts, rules)
        by_it = [v for v in near if any(reason.filter == name for reason in v.reasons)]
        last = [v for v in near if v.kept and not v.reasons][:_NEARLY]
        rejected[name] = Choice(verdicts=by_it[:most], total=len(by_it), of=name)
        nearly[name] = Choice(verdicts=last, total=len(last), of=name)
    return Choices(
        rejected=rejected,
        nearly=nearly,
        kept=Choice(verdicts=_spread(kept, most), total=len(kept)),
        overruled=Choice(verdicts=overruled[:most], total=len(overruled)),
    )


def quoted(name: str) -> str:
    """Return a name as it stands in a TOML file."""
    return tomli_w.dumps({"name": name}).removeprefix("name = ").rstrip("\n")


def _nearest_first(name: str, verdicts: Sequence[Verdict], rules: Rules) -> list[Verdict]:
    """Return the verdicts on what the filter has looked at, by the distance to its threshold."""
    threshold = rules[name].threshold
    distances = [
        (math.inf if math.isnan(v.scores[name]) else abs(v.scores[name] - threshold), i)
        for i, v in enumerate(verdicts)
        if name in v.scores
    ]
    return [verdicts[i] for _, i in sorted(distances)]


def _spread(verdicts: Sequence[Verdict], most: int) -> Sequence[Verdict]:
    """Return at most so many at even distances, the first and the last included."""
    if len(verdicts) <= most:
        return verdicts
    return [verdicts[round(i * (len(verdicts) - 1) / (most - 1))] for i in range(most)]


def _said(reason: RejectionReason) -> str:
    number = "" if reason.score is None else f" ({_number(reason.score)})"
    if reason.beside is None:
        return f"{reason.words}{number}"
    return f"{reason.words} as {quoted(reason.beside)}{number}"


def _number(score: float) -> str:
    return in_words(float(f"{score:.3g}"))
