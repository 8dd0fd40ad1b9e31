"""The tables of the visibility ladder: what moves a score, over all sets and sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

HEADLINE, EVERY_PIXEL = "KID(efficientnet_lite0, visible)", "KID(efficientnet_lite0)"
OTHERS = ("grain", "sharpness", "diversity(efficientnet_lite0, visible)")
_SETS = ("unchanged", "another set", "the untouched source")
UNSEEN: Mapping[str, tuple[float, ...]] = {
    "noise, grey levels": (1, 2),
    "JPEG, quality": (95, 90),
    "shift, pixels": (1,),
}
"""Changes that nobody sees."""
_CHANCE = 0.002  # of the way: a stronger change that counts less by no more says nothing

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


def sets_table(lines: Sequence[Line]) -> str:
    """Return for each set how far the unseen changes move the headline, and where it falls."""
    values = {where(line): line["value"] for line in lines}
    rungs = dict.fromkeys((line["change"], line["amount"]) for line in lines)
    changes: dict[str, list[float]] = {}
    for change, amount in rungs:
        if change not in _SETS:
            changes.setdefault(change, []).append(amount)
    ladders = dict.fromkeys(
        (line["set"], line["size"]) for line in lines if line["name"] == HEADLINE
    )
    header = [f"{change} {' or '.join(f'{a:g}' for a in at)}" for change, at in UNSEEN.items()]
    rows = [
        f"| set | {' | '.join(header)} | a stronger change counts less |",
        f"|---|{'---|' * (len(header) + 1)}",
    ]
    for ladder in ladders:
        shares = {
            change: [share_of(values, ladder, (change, amount), HEADLINE) for amount in amounts]
            for change, amounts in changes.items()
        }
        moved = [
            max((shares[change][changes[change].index(a)] for a in amounts), key=abs)
            for change, amounts in UNSEEN.items()
        ]
        falls = [
            f"{change}, {amount:g} to {stronger:g}: {weak:.1%} to {strong:.1%}"
            for change, amounts in changes.items()
            for amount, stronger, weak, strong in zip(
                amounts, amounts[1:], shares[change], shares[change][1:], strict=False
            )
            if weak - strong > _CHANCE
        ]
        cells = [*(f"{share:.2%}" for share in moved), "; ".join(falls) or "nowhere"]
        rows.append(f"| {ladder[0]} {ladder[1]} | {' | '.join(cells)} |")
    return "\n".join(rows)


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
