"""The tables of ``docs/rank.md``: where a ranking put sources, and what transfers reached."""

from collections.abc import Mapping, Sequence
from typing import Any

from intervals import mean_in_words

Line = Mapping[str, Any]


def rank_table(lines: Sequence[Line]) -> str:
    """Return the sources in the order of the ranking, with what was reached, as Markdown."""
    rows = [
        "| place | source | KID before | recall | Vendi | KID reached, by seed | place by that |",
        "|---|---|---|---|---|---|---|",
    ]
    reached = [list(line["reached"].values()) for line in lines]
    means = [sum(values) / len(values) for values in reached]
    for line, values, mean in zip(lines, reached, means, strict=True):
        cells = [
            str(line["place"]),
            f"`{line['source']}`",
            f"{line['kid']['value']:.3f}",
            f"{line['recall']['value']:.2f}",
            f"{line['vendi']['value']:.1f}",
            mean_in_words(values),
            str(1 + sum(other < mean for other in means)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
