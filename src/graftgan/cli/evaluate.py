"""``graftgan evaluate``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.score_tables import score_table
from graftgan.cli.screen import console, with_bars
from graftgan.errors import SettingsError
from graftgan.evaluation import Evaluation, EvaluationSettings, evaluate, write_evaluation
from graftgan.training import choose_hardware

DESCRIPTION = """Score a run, a source or a folder of pictures against real pictures.

Every number comes with the interval that chance explains, and with its floor: what real pictures
of the same set score against each other. A difference smaller than the interval is none.

A run is also searched for copies of its training pictures; neighbours.png shows the most
suspicious ones beside what they resemble.

examples:
  graftgan evaluate runs/my_pictures --against my_pictures/
  graftgan evaluate runs/a runs/b --against all_pictures.zip --metrics kid precision_recall
  graftgan evaluate avatars-64 --against my_pictures/ --training avatars/
  graftgan evaluate samples/ --against my_pictures/ --resolution 64
  graftgan evaluate runs/my_classes --class anime --against my_classes/anime
  graftgan evaluate runs/a --against all.zip --extractor inception --extractor-resize pytorch_fid
"""


@dataclass(frozen=True)
class Evaluate:
    """What to score."""

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL ...")]
    """Run folders, sources, or folders of pictures."""
    against: Path
    """The real pictures: a folder, zip or npz."""
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
        protocol = evaluation.scores[0].protocol
        lines.append(
            f"{name}: {protocol.generated_count} pictures against {protocol.reference_count} of "
            f"{protocol.reference} at {protocol.resolution} px; {protocol.extractor} "
            f"({protocol.weights_sha256[:8]}) at {protocol.side} px, {protocol.resize}"
        )
    return lines
