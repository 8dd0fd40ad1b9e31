"""The table of the visibility ladder: what moves a score, over all sets and sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

HEADLINE, EVERY_PIXEL = "KID(efficientnet_lite0, visible)", "KID(efficientnet_lite0)"
OTHERS = ("grain", "sharpness", "diversity(efficientnet_lite0, visible)")
_SETS = ("unchanged", "another set", "the untouched source")

Line = Mapping[str, Any]
Key = tuple[str, float]


def ladder_table(lines: Sequence[Line]) -> str:
    """Return each change with its share of the way to another set: mean, least and most."""
    rungs = dict.fromkeys((line["change"], line["amount"]) for line in lines)
    own = [line for line in lines if line["name"] == HEADLINE]  # sets measured in this view
    ladders = dict.fromkeys((line["set"], line["size"]) for line in own)
    values = {where(line): line["value"] for line in lines}
    header = (HEADLINE, EVERY_PIXEL, *(name.partition("(")[0] for name in OTHERS))
    rows = [
        f"| change | amount | {' | '.join(header)} |",
        f"|---|---|{'---|' * len(header)}",
    ]
    for change, amount in rungs:
        if change in _SETS:
            continue
        cells = [_shares(values, ladders, (change, amount), name) for name in header[:2]]
        cells += [_mean(values, ladders, (change, amount), name) for name in OTHERS]
        rows.append(f"| {change} | {amount:g} | {' | '.join(cells)} |")
    told = ", ".join(f"{name} {size}" for name, size in ladders)
    return "\n".join([*rows, "", f"Sets and sizes in pixels: {told}."])


def where(line: Line) -> tuple[str, int, str, float, str]:
    """Return the set, the size, the change, the amount and the name of a line."""
    return line["set"], line["size"], line["change"], line["amount"], line["name"]


def share_of(
    values: Mapping[tuple[Any, ...], float], ladder: tuple[str, int], key: Key, name: str
) -> float:
    """Return how far a change is on the way to another set, by set, size, change, amount, name."""
    nothing, whole = (values[*ladder, what, 0, name] for what in ("unchanged", "another set"))
    return (values[*ladder, *key, name] - nothing) / (whole - nothing)


def _shares(
    values: Mapping[tuple[Any, ...], float],
    ladders: Mapping[tuple[str, int], None],
    key: Key,
    name: str,
) -> str:
    shares = [share_of(values, ladder, key, name) for ladder in ladders]
    mean = sum(shares) / len(shares)
    return f"{mean:.1%} [{min(shares):.1%}, {max(shares):.1%}]"


def _mean(
    values: Mapping[tuple[Any, ...], float],
    ladders: Mapping[tuple[str, int], None],
    key: Key,
    name: str,
) -> str:
    found = [values[*ladder, *key, name] for ladder in ladders]
    return f"{sum(found) / len(found):.2f}"
