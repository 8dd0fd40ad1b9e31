"""From readings to verdicts: pure, so that other thresholds cost nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from graftgan.pictures.curation.filters import FILTERS, Compared, UnrejectedPicture
from graftgan.pictures.curation.overrides import Overrides
from graftgan.pictures.curation.readings import PictureReadings
from graftgan.pictures.curation.settings import Rule, Rules

UNUSABLE = "unusable"
"""Stands for a filter in the reasons of what is no picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionReason:
    """Why a picture is rejected.

    Attributes:
        filter: The filter's name, or ``UNUSABLE``.
        words: For a person, such as ``has text``.
        score: What the filter read; None: nothing, since this is no picture.
        beside: The better picture that it is nearly the same as, where that is the reason.
    """

    filter: str
    words: str
    score: float | None = None
    beside: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one picture.

    Attributes:
        record: Of the picture.
        scores: By filter, as far as they were taken.
        reasons: Why the filters reject it; empty: they keep it.
        overruled: What a person said against them, or None.
    """

    record: PictureReadings
    scores: Mapping[str, float]
    reasons: tuple[RejectionReason, ...] = ()
    overruled: Literal["kept", "dropped"] | None = None

    @property
    def name(self) -> str:
        """The picture's name."""
        return self.record.name

    @property
    def kept(self) -> bool:
        """Whether it is in the clean set."""
        return self.overruled == "kept" or (not self.reasons and self.overruled is None)


@dataclass(slots=True)
class _Draft:
    record: PictureReadings
    scores: dict[str, float] = field(default_factory=dict[str, float])
    reasons: list[RejectionReason] = field(default_factory=list[RejectionReason])

    def judge(self, name: str, rule: Rule, compared: Compared) -> None:
        """Take the score of a filter, and its reason where it rejects."""
        self.scores[name] = compared.score
        words = rejects(name, rule, compared.score)
        if words is not None:
            beside = compared.beside if rule.mode == "reject" else None
            reason = RejectionReason(filter=name, words=words, score=compared.score, beside=beside)
            self.reasons.append(reason)


def rejects(name: str, rule: Rule, score: float) -> str | None:
    """Return in words why a filter rejects a picture with ``score``; None: it does not."""
    looks_for = FILTERS[name]
    finds = looks_for.finds(score, rule.threshold)
    if rule.mode == "reject" and finds:
        return looks_for.found
    return looks_for.missing if rule.mode == "keep_only" and not finds else None


def rejected_early(readings: Mapping[str, object], rules: Rules) -> bool:
    """Return whether a filter of single pictures rejects one with these readings."""
    scores = {n: r for n, r in readings.items() if isinstance(r, int | float) and n in rules}
    return any(rejects(name, rules[name], score) for name, score in scores.items())


def decide(records: Sequence[PictureReadings], rules: Rules, overrides: Overrides) -> list[Verdict]:
    """Return the verdict on each of ``records``, in their order.

    Filters of single pictures come first. Those that compare pictures see only what is left, so
    that a rejected picture never costs one that is kept; each of them sees what the one before it
    leaves.
    """
    drafts = [_first_look(record, rules) for record in records]
    for name, rule in rules.items():
        compare = FILTERS[name].compare
        if compare is None or rule.mode == "off":
            continue
        left = [d for d in drafts if not d.reasons and name in d.record.readings]
        if left:
            compared = compare([_candidate(draft.record) for draft in left])
            for draft, one in zip(left, compared, strict=True):
                draft.judge(name, rule, one)
    return [
        Verdict(
            record=draft.record,
            scores=draft.scores,
            reasons=tuple(draft.reasons),
            overruled=overrides.on(draft.record.name, usable=draft.record.unusable is None),
        )
        for draft in drafts
    ]


def _first_look(record: PictureReadings, rules: Rules) -> _Draft:
    draft = _Draft(record)
    if record.unusable is not None:
        draft.reasons.append(RejectionReason(filter=UNUSABLE, words=record.unusable))
        return draft
    for name, rule in rules.items():
        reading = record.readings.get(name)
        if rule.mode != "off" and isinstance(reading, int | float):
            draft.judge(name, rule, Compared(float(reading)))
    return draft


def _candidate(record: PictureReadings) -> UnrejectedPicture:
    return UnrejectedPicture(
        name=record.name, pixels=record.width * record.height, readings=record.readings
    )
