"""The tables of ``docs/findings.md`` on what a source has seen: one kind of picture or several."""

from collections.abc import Mapping, Sequence
from typing import Any

from intervals import mean_in_words

Line = Mapping[str, Any]
Values = Mapping[int, float]  # by seed
_SETS = {"bedrooms": "bedrooms", "bedrooms, cats and faces": "mixed"}  # by what it is called
_LENGTHS = ("x1", "x2")
_SCORES = ("KID", "Vendi")  # 500 pictures are few for a Frechet distance


def diversity_table(lines: Sequence[Line]) -> str:
    """Return the scores at the end by source and length of pre-training, as Markdown.

    Each pair of runs of one seed differs in the source alone: differences are taken seed by seed,
    and the last cell of a score holds the difference of differences.
    """
    names = {score["name"]: None for line in lines for score in line["scores"]}
    return "\n\n".join(_table(name, lines) for name in names if name.startswith(_SCORES))


def _table(name: str, lines: Sequence[Line]) -> str:
    rows = [
        f"| {name} at the end, pre-trained on | x1 | x2 | x2 less x1, by seed |",
        "|---|---|---|---|",
    ]
    found: dict[str, list[Values]] = {}
    for words, part in _SETS.items():
        once, twice = (_ends(lines, part, length, name) for length in _LENGTHS)
        found[words] = [once, twice, _less(twice, once)]
        rows.append(_row(words, found[words]))
    one, several = found.values()
    less = [_less(a, b) for a, b in zip(several, one, strict=True)]
    rows.append(_row("several less one, by seed", less, sign="+"))
    return "\n".join(rows)


def _row(words: str, cells: Sequence[Values], sign: str = "") -> str:
    *scores, change = cells
    texts = [mean_in_words(list(cell.values()), sign) for cell in scores]
    texts.append(mean_in_words(list(change.values()), "+"))
    return f"| {words} | {' | '.join(texts)} |"


def _ends(lines: Sequence[Line], part: str, length: str, name: str) -> Values:
    """Return the last score of every run from the source of ``part`` after ``length``, by seed."""
    ends: dict[int, float] = {}
    for line in lines:
        source = line["variant"].rpartition("/")[2]
        is_snapshot = "@" in source
        if source.startswith(part) and is_snapshot == (length == "x1"):
            values = [score["value"] for score in line["scores"] if score["name"] == name]
            if line["end"] and values:
                ends[line["seed"]] = values[-1]
    return ends


def _less(one: Values, two: Values) -> Values:
    return {seed: one[seed] - two[seed] for seed in sorted(one.keys() & two.keys())}
