"""The tables of ``docs/curate.md``: what filters find on photographs labelled by eye."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

Line = Mapping[str, Any]


def filter_tables(lines: Sequence[Line]) -> str:
    """Return all tables as Markdown; ``lines`` are those of ``results/curation_filters.jsonl``."""
    parts = {
        "On all labelled pictures": found_table([line for line in lines if line["part"] == "all"]),
        "On the half that no threshold was chosen on": found_table(
            [line for line in lines if line["part"] == "held_out"]
        ),
        "What was wrong": wrong_table([line for line in lines if line["part"] == "all"]),
        "Sharp photographs of that half, blurred on purpose": planted_table(
            [line for line in lines if line["part"] == "planted"]
        ),
    }
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in parts.items()) + "\n"


def found_table(lines: Sequence[Line]) -> str:
    """Return precision and recall of each filter with their 95 % intervals."""
    rows = ["| filter | counted | of these true | found | precision | recall |", _rule(6)]
    for line in lines:
        counts = [str(line[key]) for key in ("counted", "true", "found")]
        shares = [_share(line["precision"]), _share(line["recall"])]
        rows.append(f"| {' | '.join([_name(line), *counts, *shares])} |")
    return "\n".join(rows)


def wrong_table(lines: Sequence[Line]) -> str:
    """Return what each filter found where it is not, and missed, with the scores.

    The crops of faces are named after people, so they are only counted.
    """
    rows = ["| filter | found but not there | there but missed |", _rule(3)]
    for line in lines:
        cells = [_pictures(line["false_alarms"]), _pictures(line["missed"])]
        rows.append(f"| {' | '.join([_name(line), *cells])} |")
    return "\n".join(rows)


def planted_table(lines: Sequence[Line]) -> str:
    """Return which share of sharp photographs is found blurred once they are."""
    rows = ["| photographs | pictures | found blurred |", _rule(3)]
    for line in lines:
        rows.append(f"| {line['planted']} | {line['pictures']} | {_share(line['share'])} |")
    return "\n".join(rows)


def _name(line: Line) -> str:
    detector = " with YuNet" if line["detector"] == "yunet" else ""
    return f"`{line['filter']}`{detector}"


def _share(estimate: Sequence[float | None]) -> str:
    value, low, high = estimate
    if value is None or low is None or high is None:
        return ""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _pictures(scores: Mapping[str, float]) -> str:
    shown = [
        f"{PurePosixPath(name).stem.partition('_')[2].replace('_', ' ')} ({score:.2f})"
        for name, score in scores.items()
        if name.startswith("photo/")
    ]
    crops = len(scores) - len(shown)
    return ", ".join([*shown, *([f"crops of faces: {crops}"] if crops else [])])


def _rule(columns: int) -> str:
    return f"|{'---|' * columns}"
