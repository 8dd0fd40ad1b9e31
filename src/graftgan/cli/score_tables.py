"""Tables of scores and floors."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from graftgan.evaluation import Evaluation
from graftgan.metrics import Floor, Score
from graftgan.reports import in_words

_ARROWS = {"lower": "↓", "higher": "↑", "zero": "→ 0"}


def score_table(evaluations: Sequence[Evaluation]) -> Table:
    """Return a row for each number, with value and interval of each model, and the floor.

    Names go without their network, which the title names. Beside a run stands its untouched source,
    where the run has scored that in the same way.
    """
    extractor = evaluations[0].scores[0].protocol.extractor
    title = f"features of {extractor}; [95 % interval]; ↓ lower is better, ↑ higher is better"
    table = Table(title=title, title_justify="left")
    if any(evaluation.rewards_copying for evaluation in evaluations):
        table.caption = "scored against the training pictures, which rewards copying"
    table.add_column("score")
    by_model: list[dict[str, Score]] = []
    for evaluation in evaluations:
        table.add_column(evaluation.candidate.name, justify="right")
        by_model.append({score.name: score for score in evaluation.scores})
        if evaluation.source:
            table.add_column("source, untouched", justify="right")
            by_model.append({score.name: score for score in evaluation.source})
    table.add_column("real against real", justify="right")
    for name in dict.fromkeys(name for scores in by_model for name in scores):
        found = [scores.get(name) for scores in by_model]
        first = next(score for score in found if score is not None)
        cells = ["" if score is None else _with_interval(score) for score in found]
        floor = "" if first.floor is None else in_words(first.floor.mean)
        label = f"{name.removesuffix(f'({extractor})')} {_ARROWS[first.better]}"
        table.add_row(label, *cells, floor)
    return table


def floor_table(floors: Mapping[int, Mapping[str, Floor]]) -> Table:
    """Return a row for each size: mean and range of each number."""
    names = list(dict.fromkeys(name for found in floors.values() for name in found))
    table = Table(title="real against real: mean [lowest, highest]", title_justify="left")
    table.add_column("pictures")
    for name in names:
        table.add_column(name.replace("(", "\n("), justify="right")
    for size, found in floors.items():
        counts = {floor.count for floor in found.values()} or {size}
        fewer = "" if counts == {size} else f"\n(no {size} twice)"
        cells = [_range(found[name]) if name in found else "cannot be measured" for name in names]
        table.add_row("/".join(map(str, sorted(counts))) + fewer, *cells)
    return table


def _with_interval(score: Score) -> str:
    low, high = in_words(score.low, digits=3), in_words(score.high, digits=3)
    return f"{in_words(score.value)} [{low}, {high}]"


def _range(floor: Floor) -> str:
    return f"{in_words(floor.mean)} [{in_words(floor.low)}, {in_words(floor.high)}]"
