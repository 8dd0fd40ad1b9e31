"""Write the page of a run again, for example while it is still training.

example:
  graftgan report runs/my_pictures
"""

from pathlib import Path

from tyro.conf import Positional

from graftgan.cli.terminal import console, verb
from graftgan.experiments.run_folder import RunFolder
from graftgan.experiments.run_page import write_run_report
from graftgan.runs.resume import damaged_lines


@verb
def main(run: Positional[Path]) -> None:
    """Write a run's page.

    Args:
        run: The run folder.
    """
    RunFolder(run).experiment()  # a clear error where this is no run
    if damaged := damaged_lines(run):
        console.print(f"note: {damaged}")
    console.print(f"look at {write_run_report(run)}")
