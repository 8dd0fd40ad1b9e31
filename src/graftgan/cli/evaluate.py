"""``graftgan evaluate``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.evaluate_again import refuse_meaningless, score_again
from graftgan.cli.score_tables import protocol_in_words, score_table
from graftgan.cli.screen import console, with_bars
from graftgan.core.errors import SettingsError
from graftgan.runs.evaluation import Evaluation, EvaluationSettings, evaluate, write_evaluation
from graftgan.training import choose_hardware

DESCRIPTION = """Score a run, a source or a folder of pictures against real pictures.

Every number comes with the interval that chance explains, and with its floor: what real pictures
of the same set score against each other. A difference smaller than the interval is none.

A run is also searched for copies of its training pictures; neighbours.png shows the most
suspicious ones beside what they resemble.

With --again no picture is drawn: those are scored that a run was scored on while it trained, at
every iteration, against --against or, without it, what the run itself is scored against. A
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


@dataclass(frozen=True)
class Evaluate:
    """What to score."""

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL ...")]
    """Run folders, sources, or folders of pictures."""
    against: Path | None = None
    """The real pictures: a folder, zip or npz. Needed, but for --again."""
    again: bool = False
    """Score the pictures that runs were scored on while they trained; draw none."""
    settings: Annotated[EvaluationSettings, tyro.conf.arg(name="")] = field(
        default_factory=EvaluationSettings
    )
    of_class: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class of models with classes; without it, all of them in equal parts."""
    out: Path | None = None
    """A folder for metrics.jsonl and neighbours.png; a run has its own."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan evaluate"
    options = parse_flags(
        Evaluate,
        arguments,
        prog=prog,
        description=DESCRIPTION,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    if not options.models:
        raise SettingsError(
            "name a run, a source or pictures to score; see graftgan evaluate --help"
        )
    device = str(choose_hardware(options.device, "float32").device)
    if options.again:
        refuse_meaningless(arguments)
        return score_again(
            options.models, options.against, options.settings, out=options.out, device=device
        )
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
        _keep(evaluation, options.out)
    console.print(score_table(evaluations))
    for line in dict.fromkeys(_remarks(evaluations)):
        console.print(line)
    return 0


def _keep(evaluation: Evaluation, out: Path | None) -> None:
    run = evaluation.candidate.run
    folder = out or (run.path if run is not None else None)
    if folder is not None:
        write_evaluation(evaluation, folder)


def _remarks(evaluations: Sequence[Evaluation]) -> list[str]:
    lines: list[str] = []
    for evaluation in evaluations:
        name = evaluation.candidate.name
        if evaluation.copies is not None:
            lines.append(f"{name}: {evaluation.copies.message()}")
        lines += [f"{name}: {note}" for note in evaluation.notes]
        lines += [f"note: {warning}" for score in evaluation.scores for warning in score.warnings]
        lines.append(f"{name}: {protocol_in_words(evaluation.scores[0].protocol)}")
    return lines
