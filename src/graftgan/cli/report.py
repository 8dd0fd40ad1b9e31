"""``graftgan report``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import console
from graftgan.experiments.run_folder import RunFolder
from graftgan.experiments.run_page import write_run_report
from graftgan.runs.resume import damaged_scores

DESCRIPTION = """Write the page of a run again, for instance while it is still training.

example:
  graftgan report runs/my_pictures
"""


@dataclass(frozen=True)
class Report:
    """The run."""

    run: tyro.conf.Positional[Path]
    """The run folder."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan report"
    options = parse_flags(Report, arguments, prog=prog, description=DESCRIPTION)
    RunFolder(options.run).experiment()  # a clear error where this is no run
    if damaged := damaged_scores(options.run):
        console.print(f"note: {damaged}")
    console.print(f"look at {write_run_report(options.run)}")
    return 0
