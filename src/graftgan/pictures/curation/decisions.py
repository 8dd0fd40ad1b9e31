"""From readings, rules and overrides to verdicts: pure, so trying other thresholds costs nothing.

A rule sets what one filter does; an override decides on one picture, whatever the filters find.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Literal

import tomli_w

from graftgan.core.errors import SettingsError, shown
from graftgan.core.files import write_text
from graftgan.core.registry import suggest
from graftgan.core.settings import parse, read_toml, strict
from graftgan.pictures.curation.filters import FILTERS, Compared, Mode, PictureReadings

UNUSABLE = "unusable"
"""Stands for a filter in the reasons for files that are not usable pictures."""
OVERRIDES = "overrides.toml"
_HEAD = "# Keep or drop pictures by name, whatever the filters find. Names are those on the page.\n"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one filter does: its mode, and the threshold of its score."""

    mode: Mode
    threshold: float


FilterRules = Mapping[str, Rule]
"""A rule for every filter by its name, the cheap ones first."""


def usual_rules() -> dict[str, Rule]:
    """Return the default rule of every filter."""
    by_cost = sorted(FILTERS, key=lambda name: FILTERS[name].dear)
    return {name: Rule(FILTERS[name].mode, FILTERS[name].threshold) for name in by_cost}


def rules_of(
    *,
    reject: Iterable[str] = (),
    keep_only: Iterable[str] = (),
    off: Iterable[str] = (),
    thresholds: Iterable[str] = (),
) -> dict[str, Rule]:
    """Return the default rules with changes.

    The first three arguments list filters by their new mode; ``thresholds`` are written
    ``NAME=NUMBER``.

    Raises:
        SettingsError: A filter is unknown or has two modes, or a threshold is not a number.
    """
    rules = usual_rules()
    said: dict[str, Mode] = {}
    modes: dict[Mode, Iterable[str]] = {"reject": reject, "keep_only": keep_only, "off": off}
    for mode, names in modes.items():
        for name in names:
            if said.setdefault(_known(name), mode) != mode:
                raise SettingsError(f"the filter '{name}' can be {said[name]} or {mode}, not both")
            rules[name] = replace(rules[name], mode=mode)
    for text in thresholds:
        name, equals, number = text.partition("=")
        try:
            threshold = float(number)
        except ValueError:
            threshold = float("nan")
        if not equals or not isfinite(threshold):
            raise SettingsError(f"'{text}' is not a threshold; write NAME=NUMBER, as blurred=40")
        name = _known(name.strip())
        rules[name] = replace(rules[name], threshold=threshold)
    return rules


def _known(name: str) -> str:
    """Return ``name``; UnknownName, with the nearest names, if no filter has it."""
    FILTERS[name]
    return name


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOverrides:
    """The user's decisions on single pictures, by name, in a file that every curation reads."""

    keep: tuple[str, ...] = ()  # in the clean set, whatever the filters find
    drop: tuple[str, ...] = ()  # not in it, whatever they find

    def __post_init__(self) -> None:
        both = sorted(set(self.keep) & set(self.drop))
        if both:
            raise SettingsError(f"a picture is both in keep and in drop: {', '.join(both)}")

    def on(self, name: str, *, usable: bool) -> Literal["kept", "dropped"] | None:
        """Return the decision on a picture, if any; an unusable one cannot be kept."""
        if name in self.keep and usable:
            return "kept"
        return "dropped" if name in self.drop else None

    def check(self, names: Iterable[str]) -> None:
        """Raise SettingsError if a name is not among ``names``."""
        known = dict.fromkeys(names)
        for name in (*self.keep, *self.drop):
            if name not in known:
                raise SettingsError(
                    f"{OVERRIDES}: no picture '{shown(name)}'; {suggest(name, known)}"
                )


def read_overrides(folder: Path) -> PictureOverrides:
    """Return the overrides in ``overrides.toml`` of the folder; write an empty file if missing.

    Raises:
        SettingsError: It has other keys than ``keep`` and ``drop``.
    """
    path = folder / OVERRIDES
    if not path.exists():
        write_text(path, _HEAD + tomli_w.dumps({"keep": [], "drop": []}))
    return parse(PictureOverrides, read_toml(path), where=str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionReason:
    """Why a picture is rejected."""

    filter: str  # its name, or UNUSABLE
    words: str  # for the page, such as "has text"
    score: float | None = None  # None for a file that is not a usable picture
    beside: str | None = None  # the better picture that it is nearly the same as


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision on one picture."""

    record: PictureReadings
    scores: Mapping[str, float]  # by filter; those that were taken
    reasons: tuple[RejectionReason, ...] = ()  # why the filters reject it; empty: they keep it
    overruled: Literal["kept", "dropped"] | None = None  # the user's decision, if any

    @property
    def name(self) -> str:
        """The picture's name."""
        return self.record.name

    @property
    def kept(self) -> bool:
        """Whether it is in the clean set."""
        return self.overruled == "kept" or (not self.reasons and self.overruled is None)

    def is_rejected_by(self, name: str) -> bool:
        """Return whether the filter ``name`` is among the reasons."""
        return any(reason.filter == name for reason in self.reasons)


def rejected_early(readings: Mapping[str, object], rules: FilterRules) -> bool:
    """Return whether a filter of single pictures rejects a picture with these readings."""
    scores = {n: r for n, r in readings.items() if isinstance(r, int | float) and n in rules}
    return any(_rejects(name, rules[name], score) for name, score in scores.items())


def decide(
    records: Sequence[PictureReadings], rules: FilterRules, overrides: PictureOverrides
) -> list[Verdict]:
    """Return the verdict on each of ``records``, in their order.

    Filters of single pictures come first. Those that compare pictures see only the remaining ones,
    so that a rejected picture never causes another to be rejected; each of them sees what the
    previous one leaves.
    """
    drafts = [_first_look(record, rules) for record in records]
    for name, rule in rules.items():
        compare = FILTERS[name].compare
        if compare is None or rule.mode == "off":
            continue
        left = [d for d in drafts if not d.reasons and name in d.record.readings]
        if left:
            for draft, one in zip(left, compare([d.record for d in left]), strict=True):
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
        """Note the score of a filter, and the reason if it rejects."""
        score = self.scores[name] = compared.score
        words = _rejects(name, rule, score)
        if words is not None:
            beside = compared.beside if rule.mode == "reject" else None
            self.reasons.append(
                RejectionReason(filter=name, words=words, score=score, beside=beside)
            )


def _first_look(record: PictureReadings, rules: FilterRules) -> _Draft:
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
