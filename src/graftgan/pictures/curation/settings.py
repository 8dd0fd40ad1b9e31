"""What a curation looks for, and what it does where something is found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from graftgan.core.errors import SettingsError
from graftgan.pictures.curation.filters import FILTERS, Mode


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

    Args:
        reject: Filters whose findings are rejected.
        keep_only: Filters without whose findings a picture is rejected.
        off: Filters that look at nothing.
        thresholds: ``NAME=NUMBER`` for each threshold that is not the usual one.

    Raises:
        UnknownName: There is no such filter.
        SettingsError: A filter has two modes, or a threshold is no number.
    """
    rules = usual_rules()
    said: dict[str, Mode] = {}
    modes: tuple[tuple[Mode, Iterable[str]], ...] = (
        ("reject", reject),
        ("keep_only", keep_only),
        ("off", off),
    )
    for mode, names in modes:
        for name in names:
            if said.setdefault(_known(name), mode) != mode:
                raise SettingsError(f"the filter '{name}' can be {said[name]} or {mode}, not both")
    for name, mode in said.items():
        rules[name] = replace(rules[name], mode=mode)
    for text in thresholds:
        name, threshold = _parsed(text)
        rules[name] = replace(rules[name], threshold=threshold)
    return rules


def _known(name: str) -> str:
    FILTERS[name]  # raises with the nearest names
    return name


def _parsed(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    try:
        threshold = float(number)
    except ValueError:
        threshold = float("nan")
    if not equals or not isfinite(threshold):
        raise SettingsError(f"'{text}' is no threshold; write NAME=NUMBER, such as blurred=40")
    return _known(name.strip()), threshold
