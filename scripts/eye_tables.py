"""The tables of the eye study: how often a number agrees with the judges."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

from graftgan.core.files import read_jsonl

EYES = Path(__file__).resolve().parent.parent / "experiments" / "eyes"
_Z = 1.959964
UNSEEN = "third locked"  # the pairs that were drawn after the present view had been chosen
_ZERO_IS_BEST = ("grain", "sharpness")
_HIGHER = ("precision", "recall", "density", "coverage", "diversity")

Line = Mapping[str, Any]
Values = Mapping[str, float]


def agreement_table() -> str:
    """Return how often each number names the sheet that the judges name, with intervals."""
    labels = _labels()
    pairs = [pair for pair in _pairs() if pair["set"] != UNSEEN]
    scores = _scores("second view")
    columns: Mapping[str, Callable[[Line], bool]] = {
        f"{how}, {which}": partial(_belongs, labels=labels, sure=how == "sure", which=which)
        for how in ("sure", "agreed")
        for which in ("open", "first locked", "second locked")
    }
    rows = [
        f"| number | {' | '.join(columns)} | fewer faults |",
        f"|---|{'---|' * (len(columns) + 1)}",
    ]
    for name in next(iter(scores.values())):
        cells = [
            _share(
                [
                    _agrees(pair, name, scores, labels, "near")
                    for pair in pairs
                    if chosen(pair) and _said(labels[pair["pair"]], "near")
                ]
            )
            for chosen in columns.values()
        ]
        faults = [
            _agrees(pair, name, scores, labels, "faults")
            for pair in pairs
            if _said(labels[pair["pair"]], "faults")
        ]
        rows.append(f"| {name} | {' | '.join(cells)} | {_share(faults)} |")
    return "\n".join([*rows, "", _judges(pairs, labels)])


def sheet_table() -> str:
    """Return how often each number of the 16 judged pictures alone names the nearer sheet."""
    labels, sheets = _labels(), _sheets()
    pairs = [p for p in _pairs() if p["set"] != UNSEEN and p["pair"] in sheets]
    agreed = [pair["pair"] for pair in pairs if _said(labels[pair["pair"]], "near")]
    columns = {"sure": [pair for pair in agreed if _is_sure(labels[pair])], "agreed": agreed}
    return _rows(columns, lambda pair: sheets[pair], labels, "near")


def unseen_table() -> str:
    """Return how often each number names the judges' sheet, of pairs unseen by the present view."""
    labels, sheets, scores = _labels(), _sheets(), _scores("visible")
    pairs = {pair["pair"]: pair for pair in _pairs() if pair["set"] == UNSEEN}

    def of_models(pair: str) -> tuple[Values, Values]:
        return scores[_key(pairs[pair]["a"])], scores[_key(pairs[pair]["b"])]

    near = [pair for pair in pairs if _said(labels[pair], "near")]
    columns = {
        "sure": [pair for pair in near if _is_sure(labels[pair])],
        "leaning or sure": [pair for pair in near if min(x["sure"] for x in labels[pair]) > 0],
        "all": near,
    }
    faults = [pair for pair in pairs if _said(labels[pair], "faults")]
    parts = [
        "160 pictures of each model, which sheet is nearer:",
        _rows(columns, of_models, labels, "near"),
        "The 16 judged pictures alone, which sheet is nearer:",
        _rows(columns, lambda pair: sheets[pair], labels, "near"),
        "160 pictures of each model, which sheet has fewer faults:",
        _rows({"all": faults}, of_models, labels, "faults"),
    ]
    return "\n\n".join(parts)


def _rows(
    columns: Mapping[str, Sequence[str]],
    values_of: Callable[[str], tuple[Values, Values]],
    labels: Mapping[str, Sequence[Line]],
    question: str,
) -> str:
    """Return a row for each number: in how many pairs of a column it names the judges' sheet."""

    def agrees(pair: str, number: str) -> bool:
        a, b = (_cost(number, values[number]) for values in values_of(pair))
        return (a < b) == (_said(labels[pair], question) == "A")

    rows = [f"| number | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    some = next(pair for pairs in columns.values() for pair in pairs)
    for number in values_of(some)[0]:
        cells = [_share([agrees(pair, number) for pair in pairs]) for pairs in columns.values()]
        rows.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _pairs() -> list[Line]:
    return list(read_jsonl(EYES / "pairs.jsonl"))


def _scores(view: str) -> dict[tuple[Any, ...], Values]:
    """Return every number of the models that were measured in a view."""
    headline = f"KID(efficientnet_lite0, {view})"
    lines = read_jsonl(EYES / "scores.jsonl")
    return {_key(line["model"]): line["values"] for line in lines if headline in line["values"]}


def _sheets() -> dict[str, tuple[Values, Values]]:
    """Return the numbers of both sides of each kept sheet."""
    lines = read_jsonl(EYES / "sheet_scores.jsonl")
    values = {(line["pair"], line["side"]): line["values"] for line in lines}
    return {pair: (values[pair, "a"], values[pair, "b"]) for pair, side in values if side == "a"}


def _labels() -> dict[str, list[Line]]:
    labels: dict[str, list[Line]] = {pair["pair"]: [] for pair in _pairs()}
    for line in read_jsonl(EYES / "labels.jsonl"):
        labels[line["pair"]].append(line)
    return labels


def _belongs(pair: Line, *, labels: Mapping[str, Sequence[Line]], sure: bool, which: str) -> bool:
    return pair["set"] == which and (not sure or _is_sure(labels[pair["pair"]]))


def _said(labels: Sequence[Line], question: str) -> str:
    """Return what both judges say, A or B; empty where they differ or see no difference."""
    answers = {label[question] for label in labels}
    return answers.pop() if len(answers) == 1 and answers != {"same"} else ""


def _is_sure(labels: Sequence[Line]) -> bool:
    return all(label["sure"] == 2 for label in labels)


def _agrees(
    pair: Line,
    name: str,
    scores: Mapping[tuple[Any, ...], Mapping[str, float]],
    labels: Mapping[str, Sequence[Line]],
    question: str,
) -> bool:
    costs = [_cost(name, scores[_key(pair[side])][name]) for side in "ab"]
    return (costs[0] < costs[1]) == (_said(labels[pair["pair"]], question) == "A")


def _cost(name: str, value: float) -> float:
    if name in _ZERO_IS_BEST:
        return abs(value)
    return -value if name.startswith(_HIGHER) else value


def _key(model: Line) -> tuple[Any, ...]:
    return tuple(model[part] for part in ("target", "source", "method", "iteration"))


def _share(hits: Sequence[bool]) -> str:
    """Return a share with its 95 % interval (Wilson 1927)."""
    count = len(hits)
    if not count:
        return ""
    share = sum(hits) / count
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z * sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return f"{sum(hits)} of {count} [{middle - reach:.0%}, {middle + reach:.0%}]"


def _judges(pairs: Sequence[Line], labels: Mapping[str, Sequence[Line]]) -> str:
    """Return how far the judges agree with each other, in a sentence."""
    answers = [labels[pair["pair"]] for pair in pairs]
    alike = {
        question: sum(a[question] == b[question] for a, b in answers) / len(answers)
        for question in ("near", "faults")
    }
    sure = [both for both in answers if _is_sure(both)]
    same = sum(a["near"] == b["near"] for a, b in sure)
    return (
        f"{len(pairs)} pairs. The judges name the same nearer sheet in {alike['near']:.0%} of "
        f"them, the same sheet with fewer faults in {alike['faults']:.0%}. Both are sure of "
        f"{len(sure)}, and there they agree in {same}."
    )
