"""``graftgan evaluate --again``."""

from collections.abc import Sequence
from pathlib import Path

from graftgan.cli.arguments import given_of
from graftgan.cli.score_tables import again_table, protocol_in_words
from graftgan.cli.screen import console, with_bars
from graftgan.core.errors import RunError, ScoreError, SettingsError
from graftgan.runs.evaluation import EvaluationSettings
from graftgan.runs.rescoring import Rescoring, evaluate_again, runs_at, write_rescoring

_MEANINGLESS = ("count", "truncation", "seed", "resolution", "class", "copies", "no-copies")


def refuse_meaningless(arguments: Sequence[str]) -> None:
    """Refuse flags that say how pictures are drawn, or what is not looked for again.

    Raises:
        SettingsError: There are some.
    """
    given = [f"--{flag}" for flag in given_of(_MEANINGLESS, arguments)]
    if given:
        raise SettingsError(
            f"--again scores pictures as they were kept, and looks for no copies in them: leave "
            f"{' and '.join(given)} out, or leave --again out to draw new pictures"
        )


def score_again(
    models: Sequence[str],
    against: Path | None,
    settings: EvaluationSettings,
    *,
    out: Path | None,
    device: str,
) -> int:
    """Score the kept pictures of every run that ``models`` stand for; return the exit code.

    Raises:
        GraftganError: A run cannot be scored. In a comparison or search the others are, if any can.
    """
    for model in models:
        runs = runs_at(Path(model))
        problems: dict[str, None] = {}
        for run in runs:
            try:
                with with_bars() as progress:
                    found = evaluate_again(
                        run,
                        against,
                        metrics=settings.metrics,
                        network=settings.network,
                        iteration=settings.iteration,
                        training=settings.training,
                        device=device,
                        progress=progress,
                    )
            except (RunError, ScoreError) as problem:
                problems[str(problem)] = None
                if len(problems) == len(runs):
                    raise
                continue
            write_rescoring(found, out)
            _show(found)
        for problem in problems:
            console.print(f"left out: {problem}")
    return 0


def _show(found: Rescoring) -> None:
    console.print(again_table(found))
    console.print(f"{found.name}: {found.verdict()}")
    lines = [f"{found.name}: {note}" for note in found.notes]
    scores = [score for row in found.scores.values() for score in row]
    lines += [f"note: {warning}" for score in scores for warning in score.warnings]
    lines.append(f"{found.name}: {protocol_in_words(scores[0].protocol)}")
    for line in dict.fromkeys(lines):
        console.print(line)
