"""Score a run, a source or a folder of pictures against real pictures.

Every score has a 95 % interval and a floor: what real pictures of the same set score against each
other. A difference smaller than the interval is noise.

A run is also searched for copies of its training pictures; neighbours.png shows the most
suspicious ones beside what they resemble.

With --again no picture is drawn. The pictures that a run was scored on while it trained are scored
again, at every iteration, against --against or, without it, against the reference of the run. A
comparison or search stands for all of its runs.

examples:
  graftgan evaluate runs/my_pictures --against my_pictures/
  graftgan evaluate runs/a runs/b --against all_pictures.zip --metrics kid precision_recall
  graftgan evaluate avatars-64 --against my_pictures/ --training avatars/
  graftgan evaluate samples/ --against my_pictures/ --resolution 64
  graftgan evaluate runs/my_classes --class anime --against my_classes/anime
  graftgan evaluate runs/a --against all.zip --extractor inception --extractor-resize pytorch_fid
  graftgan evaluate runs/a --again --metrics fid precision_recall --extractor dinov2
  graftgan evaluate comparisons/plans --again --against all_pictures.zip
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from graftgan.cli.terminal import Device, console, given_of, parse_flags, table_of, with_bars
from graftgan.core.errors import RunError, ScoreError, SettingsError
from graftgan.metrics.score import Score, ScoreProtocol, full_name
from graftgan.reports import in_words
from graftgan.runs.evaluation import Evaluation, EvaluationSettings, evaluate, write_evaluation
from graftgan.runs.rescoring import Rescoring, evaluate_again, runs_at, write_rescoring
from graftgan.training import choose_hardware

_MEANINGLESS = ("count", "truncation", "seed", "resolution", "class", "copies", "no-copies")
_ARROWS = {"lower": "↓", "higher": "↑", "zero": "→ 0"}
_REAL = "real against real"
_COPYING = "scored against the training pictures, which rewards copying"


@dataclass(frozen=True)
class Evaluate:
    """The models to score, and how."""

    models: Annotated[Positional[tuple[str, ...]], arg(metavar="MODEL ...")]
    """Run folders, sources, or folders of pictures."""
    against: Path | None = None
    """The real pictures: a folder, zip or npz. Required without --again."""
    again: bool = False
    """Score the kept pictures of runs instead of new ones."""
    settings: Annotated[EvaluationSettings, arg(name="")] = field(
        default_factory=EvaluationSettings
    )
    of_class: Annotated[str | None, arg(name="class")] = None
    """Draw this class of models with classes; without it, all of them in equal parts."""
    out: Path | None = None
    """A folder for metrics.jsonl and neighbours.png; a run has its own."""
    device: Device = "auto"


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = parse_flags(
        Evaluate,
        arguments,
        prog="graftgan evaluate",
        description=__doc__,
        config=(OmitArgPrefixes,),
    )
    if not options.models:
        raise SettingsError(
            "name a run, a source or pictures to score; see graftgan evaluate --help"
        )
    device = str(choose_hardware(options.device, "float32").device)
    if options.again:
        given = [f"--{flag}" for flag in given_of(_MEANINGLESS, arguments)]
        if given:
            raise SettingsError(
                f"--again scores pictures as they were kept, and looks for no copies in them: "
                f"leave {' and '.join(given)} out, or leave --again out to draw new pictures"
            )
        for model in options.models:
            _score_again(model, options, device)
        return 0
    if options.against is None:
        raise SettingsError(
            "--against says which real pictures to score against; only --again, for pictures that "
            "a run kept, can do without"
        )
    evaluations: list[Evaluation] = []
    for model in options.models:
        with with_bars() as progress:
            evaluation = evaluate(
                model,
                options.against,
                options.settings,
                of_class=options.of_class,
                device=device,
                progress=progress,
            )
        evaluations.append(evaluation)
        run = evaluation.candidate.run
        if folder := options.out or (run and run.path):
            write_evaluation(evaluation, folder)
    console.print(score_table(evaluations))
    lines: list[str] = []
    for evaluation in evaluations:
        name, copies = evaluation.candidate.name, evaluation.copies
        lines += [] if copies is None else [f"{name}: {copies.message()}"]
        lines += _notes(name, evaluation.notes, evaluation.scores)
    _print_once(lines)
    return 0


def _score_again(model: str, options: Evaluate, device: str) -> None:
    """Score the kept pictures of every run that ``model`` stands for.

    Raises:
        GraftganError: A run cannot be scored. In a comparison or search the others are, if any can.
    """
    runs = runs_at(Path(model))
    problems: dict[str, None] = {}
    for run in runs:
        try:
            with with_bars() as progress:
                found = evaluate_again(
                    run,
                    options.against,
                    metrics=options.settings.metrics,
                    network=options.settings.network,
                    iteration=options.settings.iteration,
                    training=options.settings.training,
                    device=device,
                    progress=progress,
                )
        except (RunError, ScoreError) as problem:
            problems[str(problem)] = None
            if len(problems) == len(runs):
                raise
            continue
        write_rescoring(found, options.out)
        console.print(again_table(found))
        console.print(f"{found.name}: {found.verdict()}")
        scores = [score for row in found.scores.values() for score in row]
        _print_once(_notes(found.name, found.notes, scores))
    for problem in problems:
        console.print(f"left out: {problem}")


def _print_once(lines: Iterable[str]) -> None:
    for line in dict.fromkeys(lines):
        console.print(line)


def _notes(name: str, notes: Iterable[str], scores: Sequence[Score]) -> list[str]:
    warnings = [f"note: {warning}" for score in scores for warning in score.warnings]
    protocol = scores[0].protocol
    how = (
        f"{protocol.generated_count} pictures against {protocol.reference_count} of "
        f"{protocol.reference} at {protocol.resolution} px; {protocol.extractor} "
        f"({protocol.weights_sha256[:8]}) at {protocol.side} px, {protocol.resize}, {protocol.view}"
    )
    return [*(f"{name}: {note}" for note in notes), *warnings, f"{name}: {how}"]


def score_table(evaluations: Sequence[Evaluation]) -> Table:
    """Return a row for each number, with value and interval of each model, and the floor.

    Names go without their network, which the title names. Beside a run stands its untouched source,
    where the run has scored that in the same way.
    """
    columns: list[tuple[str, Sequence[Score]]] = []
    for evaluation in evaluations:
        columns.append((evaluation.candidate.name, evaluation.scores))
        if evaluation.source:
            columns.append(("source, untouched", evaluation.source))
    headings = ["score", *(heading for heading, _ in columns), _REAL]
    table = table_of(headings, title=_title(evaluations[0].scores[0].protocol), numbers_from=1)
    if any(evaluation.rewards_copying for evaluation in evaluations):
        table.caption = _COPYING
    by_model = [{score.name: score for score in scores} for _, scores in columns]
    for name in dict.fromkeys(name for scores in by_model for name in scores):
        found = [scores.get(name) for scores in by_model]
        first = next(score for score in found if score is not None)
        cells = ["" if score is None else _with_interval(score) for score in found]
        table.add_row(_label(first), *cells, _floor(first))
    return table


def again_table(found: Rescoring) -> Table:
    """Return a row for each iteration whose kept pictures were scored, and one for the floor."""
    firsts = next(iter(found.scores.values()))
    title = Text(f"{found.name}, {_title(firsts[0].protocol)}")
    headings = ["iteration", *map(_label, firsts)]
    table = table_of(headings, title=title, overflow="fold", numbers_from=1)
    table.columns[0].min_width = len("untouched")
    if found.rewards_copying:
        table.caption = _COPYING
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


def _title(protocol: ScoreProtocol) -> str:
    ways = "↓ lower is better, ↑ higher is better, → 0 is like real pictures"
    return f"features of {protocol.extractor}, {protocol.view}; [95 % interval]; {ways}"


def _label(score: Score) -> str:
    """Return the name of a number without its network, and which way is better."""
    network = full_name("", score.protocol.extractor, score.protocol.view)
    return f"{score.name.removesuffix(network)} {_ARROWS[score.better]}"


def _floor(score: Score) -> str:
    return "" if score.floor is None else in_words(score.floor.mean)


def _with_interval(score: Score) -> str:
    low, high = in_words(score.low, digits=3), in_words(score.high, digits=3)
    return f"{in_words(score.value)} [{low}, {high}]"
