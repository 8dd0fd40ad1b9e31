"""From readings, rules and what a person says to verdicts: pure, so other thresholds cost nothing.

A rule says what one filter does, an override what becomes of one picture whatever filters say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import tomli_w

from graftgan.core.errors import SettingsError, shown
from graftgan.core.files import write_text
from graftgan.core.registry import suggest
from graftgan.core.settings import Count, parse, read_toml, strict
from graftgan.pictures.curation.filters import (
    FILTERS,
    Compared,
    Mode,
    Reading,
    UnrejectedPicture,
)

UNUSABLE = "unusable"
"""Stands for a filter in the reasons of what is no picture."""
OVERRIDES = "overrides.toml"
_HEAD = """\
# What you say here wins over every filter, in each further curation. Names are those of the page.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one filter does: its mode, and the score from where on something is found."""

    mode: Mode
    threshold: float


Rules = Mapping[str, Rule]
"""A rule for every filter by its name, the cheap ones first."""


def usual_rules() -> dict[str, Rule]:
    """Return the rule of every filter that nobody has said anything about."""
    by_cost = sorted(FILTERS, key=lambda name: FILTERS[name].dear)
    return {name: Rule(FILTERS[name].mode, FILTERS[name].threshold) for name in by_cost}


def rules_of(
    *,
    reject: Iterable[str] = (),
    keep_only: Iterable[str] = (),
    off: Iterable[str] = (),
    thresholds: Iterable[str] = (),
) -> dict[str, Rule]:
    """Return the usual rules with what a person said of them.

    The first three name filters by their new mode; ``thresholds`` have ``NAME=NUMBER`` for each
    that is not the usual one. SettingsError is raised where there is no such filter, one has two
    modes, or a threshold is no number.
    """
    rules = usual_rules()
    said: dict[str, Mode] = {}
    modes: dict[Mode, Iterable[str]] = {"reject": reject, "keep_only": keep_only, "off": off}
    for mode, names in modes.items():
        for name in names:
            if said.setdefault(_known(name), mode) != mode:
                raise SettingsError(f"the filter '{name}' can be {said[name]} or {mode}, not both")
    for name, mode in said.items():
        rules[name] = replace(rules[name], mode=mode)
    for text in thresholds:
        name, equals, number = text.partition("=")
        try:
            threshold = float(number)
        except ValueError:
            threshold = float("nan")
        if not equals or not isfinite(threshold):
            raise SettingsError(f"'{text}' is no threshold; write NAME=NUMBER, such as blurred=40")
        name = _known(name.strip())
        rules[name] = replace(rules[name], threshold=threshold)
    return rules


def _known(name: str) -> str:
    FILTERS[name]  # raises with the nearest names
    return name


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Pictures by name, in a file that every further curation reads."""

    keep: tuple[str, ...] = ()  # in the clean set, whatever the filters say
    drop: tuple[str, ...] = ()  # not in it, whatever they say

    def __post_init__(self) -> None:
        both = sorted(set(self.keep) & set(self.drop))
        if both:
            raise SettingsError(f"a picture is to be kept and to be dropped: {', '.join(both)}")

    def on(self, name: str, *, usable: bool) -> Literal["kept", "dropped"] | None:
        """Return what is said of a picture; one that cannot be read cannot be kept."""
        if name in self.keep and usable:
            return "kept"
        return "dropped" if name in self.drop else None

    def check(self, names: Iterable[str]) -> None:
        """Raise SettingsError where a name is not among ``names``."""
        known = dict.fromkeys(names)
        for name in (*self.keep, *self.drop):
            if name not in known:
                raise SettingsError(
                    f"{OVERRIDES}: no picture '{shown(name)}'; {suggest(name, known)}"
                )


def read_overrides(folder: Path) -> Overrides:
    """Return what ``overrides.toml`` in the folder says; write an empty one where there is none.

    SettingsError is raised where it says something else than ``keep`` and ``drop``.
    """
    path = folder / OVERRIDES
    if not path.exists():
        write_text(path, _HEAD + tomli_w.dumps({"keep": [], "drop": []}))
    return parse(Overrides, read_toml(path), where=str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReadings:
    """What is known of one picture."""

    name: str  # below the raw folder, or in its zip
    stamp: str  # changes when the file does
    sha256: str  # of the file's bytes; empty where it cannot be read
    size: tuple[Count, Count]  # width and height in pixels, upright
    readings: Mapping[str, Reading]  # what each filter that looked at it read
    unusable: str | None = None  # why it is no picture that can be used

    def as_line(self) -> dict[str, Any]:
        """Return it as plain data."""
        line = asdict(self)
        if self.unusable is None:
            del line["unusable"]
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionReason:
    """Why a picture is rejected."""

    filter: str  # its name, or UNUSABLE
    words: str  # for a person, such as "has text"
    score: float | None = None  # what the filter read; None: nothing, since this is no picture
    beside: str | None = None  # the better picture that it is nearly the same as


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one picture."""

    record: PictureReadings
    scores: Mapping[str, float]  # by filter, as far as they were taken
    reasons: tuple[RejectionReason, ...] = ()  # why the filters reject it; empty: they keep it
    overruled: Literal["kept", "dropped"] | None = None  # what a person said against them

    @property
    def name(self) -> str:
        """The picture's name."""
        return self.record.name

    @property
    def kept(self) -> bool:
        """Whether it is in the clean set."""
        return self.overruled == "kept" or (not self.reasons and self.overruled is None)

    def is_rejected_by(self, name: str) -> bool:
        """Return whether the filter of that name is among the reasons."""
        return any(reason.filter == name for reason in self.reasons)


def rejected_early(readings: Mapping[str, object], rules: Rules) -> bool:
    """Return whether a filter of single pictures rejects one with these readings."""
    scores = {n: r for n, r in readings.items() if isinstance(r, int | float) and n in rules}
    return any(_rejects(name, rules[name], score) for name, score in scores.items())


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
            compared = compare(
                [
                    UnrejectedPicture(
                        name=draft.record.name,
                        pixels=draft.record.size[0] * draft.record.size[1],
                        readings=draft.record.readings,
                    )
                    for draft in left
                ]
            )
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


@dataclass(slots=True)
class _Draft:
    record: PictureReadings
    scores: dict[str, float] = field(default_factory=dict[str, float])
    reasons: list[RejectionReason] = field(default_factory=list[RejectionReason])

    def judge(self, name: str, rule: Rule, compared: Compared) -> None:
        """Take the score of a filter, and its reason where it rejects."""
        self.scores[name] = compared.score
        words = _rejects(name, rule, compared.score)
        if words is not None:
            beside = compared.beside if rule.mode == "reject" else None
            reason = RejectionReason(filter=name, words=words, score=compared.score, beside=beside)
            self.reasons.append(reason)


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


def _rejects(name: str, rule: Rule, score: float) -> str | None:
    """Return in words why a filter rejects a picture with ``score``; None: it does not."""
    looks_for = FILTERS[name]
    finds = looks_for.finds(score, rule.threshold)
    if rule.mode == "reject" and finds:
        return looks_for.found
    return looks_for.missing if rule.mode == "keep_only" and not finds else None
