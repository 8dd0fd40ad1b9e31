"""Show when the losses of runs became stable, and when a score was reached.

Losses are stable from the first iteration after which they never leave a narrow band around the
level of the run's last quarter; a run that still moves there has not converged. For a run that
began with the decoder of a VAE (--start vae) seconds include the VAE's; its iterations and pictures
stand beside.

examples:
  graftgan converge runs/fresh runs/from_vae
  graftgan converge runs/fresh runs/from_vae --score 0.2
"""

from pathlib import Path

from tyro.conf import Positional

from graftgan.cli.terminal import console, table_of, verb
from graftgan.experiments.convergence import Convergence, Reached, convergence_of


@verb
def main(runs: Positional[tuple[Path, ...]], score: float | None = None) -> None:
    """Show when runs converged.

    Args:
        runs: Run folders.
        score: Also show when the deciding score, such as KID, first reached this value.
    """
    found = {run: convergence_of(run, threshold=score) for run in runs}
    headings = ["run", "losses stable after", "ended after", "began with"]
    if score is not None:
        headings.insert(2, f"score {score:g} after")
    table = table_of(headings, overflow="fold", show_lines=True)
    for run, convergence in found.items():
        moments = _in_words(convergence.losses), _in_words(convergence.end)
        cells = [str(run), *moments, _start_in_words(convergence)]
        if score is not None:
            cells.insert(2, f"{_in_words(convergence.score)}\n{convergence.score_name}")
        table.add_row(*cells)
    console.print(table)


def _in_words(moment: Reached | None) -> str:
    if moment is None:
        return "not in this run"
    return f"{moment.iteration:,} iterations\n{moment.images:,} pictures\n{moment.seconds:,.0f} s"


def _start_in_words(convergence: Convergence) -> str:
    start = convergence.start
    if start is None:
        return "fresh weights or a source"
    return (
        f"a {start.kind}: {start.iterations:,} iterations\n{start.images:,} pictures\n"
        f"{start.seconds:,.0f} s, counted in"
    )
