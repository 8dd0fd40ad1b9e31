"""Tables of scores and floors."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from graftgan.metrics import Floor, Score, ScoreProtocol, full_name
from graftgan.reports import in_words
from graftgan.runs.evaluation import Evaluation
from graftgan.runs.rescoring import Rescoring

_ARROWS = {"lower": "↓", "higher": "↑", "zero": "→ 0"}
_REAL = "real against real"
_COPYING = "scored against the training pictures, which rewards copying"


def score_table(evaluations: Sequence[Evaluation]) -> Table:
    """Return a row for each number, with value and interval of each model, and the floor.

    Names go without their network, which the title names. Beside a run stands its untouched source,
    where the run has scored that in the same way.
    """
    title = _title(evaluations[0].scores[0].protocol)
    table = Table(title=title, title_justify="left")
    if any(evaluation.rewards_copying for evaluation in evaluations):
        table.caption = _COPYING
    table.add_column("score")
    by_model: list[dict[str, Score]] = []
    for evaluation in evaluations:
        table.add_column(evaluation.candidate.name, justify="right")
        by_model.append({score.name: score for score in evaluation.scores})
        if evaluation.source:
            table.add_column("source, untouched", justify="right")
            by_model.append({score.name: score for score in evaluation.source})
    table.add_column(_REAL, justify="right")
    for name in dict.fromkeys(name for scores in by_model for name in scores):
        found = [scores.get(name) for scores in by_model]
        first = next(score for score in found if score is not None)
        cells = ["" if score is None else _with_interval(score) for score in found]
        table.add_row(_label(first), *cells, _floor(first))
    return table


def again_table(found: Rescoring) -> Table:
    """Return a row for each iteration whose kept pictures were scored, and one for the floor."""
    firsts = next(iter(found.scores.values()))
    title = f"{found.name}, {_title(firsts[0].protocol)}"
    table = Table(title=Text(title), title_justify="left")
    if found.rewards_copying:
        table.caption = _COPYING
    table.add_column("iteration", min_width=len("untouched"), overflow="fold")
    for score in firsts:
        table.add_column(_label(score), justify="right", overflow="fold")
    untouched = "untouched source" if found.begins_with_source else "untouched start"
    for iteration, scores in found.scores.items():
        said = [untouched] * (iteration == 0) + ["the best"] * (iteration == found.best)
        said += ["copies"] * (iteration in found.copying)
        words = f"{iteration} ({', '.join(said)})" if said else str(iteration)
        style = "bold" if iteration == found.best else ""
        table.add_row(words, *map(_with_interval, scores), style=style)
    table.add_section()
    table.add_row(_REAL, *map(_floor, firsts))
    return table


def protocol_in_words(protocol: ScoreProtocol) -> str:
    """Return how many pictures were scored against which, and with what."""
    return (
        f"{protocol.generated_count} pictures against {protocol.reference_count} of "
        f"{protocol.reference} at {protocol.resolution} px; {protocol.extractor} "
        f"({protocol.weights_sha256[:8]}) at {protocol.side} px, {protocol.resize}, {protocol.view}"
    )


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


def _title(protocol: ScoreProtocol) -> str:
    network = f"{protocol.extractor}, {protocol.view}"
    ways = "↓ lower is better, ↑ higher is better, → 0 is like real pictures"
    return f"features of {network}; [95 % interval]; {ways}"


def _label(score: Score) -> str:
    """Return the name of a number without its network, and which way is better."""
    network = full_name("", score.protocol.extractor, score.protocol.view)
    return f"{score.name.removesuffix(network)} {_ARROWS[score.better]}"


def _floor(score: Score) -> str:
    return "" if score.floor is None else in_words(score.floor.mean)


def _with_interval(score: Score) -> str:
    low, high = in_words(score.low, digits=3), in_words(score.high, digits=3)
    return f"{in_words(score.value)} [{low}, {high}]"


def _range(floor: Floor) -> str:
    return f"{in_words(floor.mean)} [{in_words(floor.low)}, {in_words(floor.high)}]"
