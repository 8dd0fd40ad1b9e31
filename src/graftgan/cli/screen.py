"""What every verb shows: plan tables, picture counts, bars."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from graftgan.core.untrusted import escaped, shown
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.build import remarks_on
from graftgan.runs.initialisation import START
from graftgan.runs.prepared import Prepared
from graftgan.runs.session import Observer
from graftgan.transfer import ACTIONS, PlanReport

# Without markup: what is at work may be called [so].
BAR_COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    TaskProgressColumn(),
    TimeRemainingColumn(),
)
_REDRAW_S, _LINE_S = 0.1, 20.0  # between two shows of progress: a bar on a terminal, a line

T = TypeVar("T")


class SafeConsole(Console):
    """A console that shows control characters in what it prints, instead of letting them act.

    Names come from files, cards and sites, and might tell a terminal anything.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of something that is printed; every print comes through here."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escaped(segment.text, keep="\n"), segment.style)


console = SafeConsole(highlight=False, soft_wrap=True, markup=False)


class ScreenObserver(Observer):
    """Shows a person what happens; only the leading process speaks.

    ``continues`` is the command that continues what is under way, where that is no single run.
    """

    def __init__(self, *, continues: str = "") -> None:
        self._continues = continues
        self.leads = os.environ.get("RANK", "0") == "0"
        self.draws_bar = self.leads and sys.stderr.isatty()
        self._shown = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line of progress."""
        console.print(line)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far a work is: on a terminal at once, elsewhere a line now and then."""
        now = time.monotonic()
        due = now - self._shown >= (_REDRAW_S if self.draws_bar else _LINE_S)
        if self.draws_bar and (due or done == total):
            end = "\n" if done == total else "\r"
            print(f"{shown(what)}: {done}/{total}", end=end, file=sys.stderr, flush=True)
        elif self.leads and due:
            self.say(f"{what}: {done}/{total}")
        if due:
            self._shown = now

    def stopping(self, signal: str, folder: Path) -> None:
        """Say at once that the signal was heard, and how to continue."""
        if not self.leads:
            return
        again = " (again: at once)" if signal == "SIGINT" else ""
        line = f"\n{signal}: saving, then stopping{again}; continue with "
        line += f"{self._continues or resume_command(folder)}\n"
        with suppress(OSError):  # the terminal may be gone
            # Past every buffer: the main thread may be in the middle of another write.
            os.write(2, line.encode("utf-8", "backslashreplace"))

    def prepared(self, prepared: Prepared) -> None:
        """Show the pictures and the plan before the first iteration."""
        if not self.leads:
            return
        console.print(prepared.images.summary())
        if prepared.experiment.source is not None:
            console.print(plan_table(prepared.plan.report))
        if (
            prepared.scoring_reference is not None
            and prepared.scoring_reference.reference is not None
        ):
            for note in prepared.scoring_reference.reference.notes:
                console.print(f"note: {note}")
        if prepared.without_copy_guard:
            console.print(f"note: no copy guard: {prepared.without_copy_guard}")
        for remark in remarks_on(prepared):
            console.print(f"note: {remark}")
        console.print(f"on {prepared.hardware.describe()}")


def resume_command(run: Path) -> str:
    """Return what a person types to continue a run."""
    if run.name == START and RunFolder(run.parent).experiment_file.is_file():
        run = run.parent  # this is what a run begins with
    return f"graftgan transfer --resume {shlex.quote(str(run))}"


def plan_table(report: PlanReport) -> Table:
    """Return the per-layer table of a plan."""
    title = f"{report.notation}   trains {report.trainable:,} of {report.parameters:,} numbers"
    table = Table(title=Text(title), title_justify="left")
    for heading in ("layer", "kind", "action"):
        table.add_column(heading)
    for heading in ("parameters", "trainable", "share"):
        table.add_column(heading, justify="right")
    for network, rows in report.networks.items():
        for row in rows:
            share = row.trainable / row.parameters if row.parameters else 0.0
            action = Text(row.action, style=ACTIONS[row.action].colours.terminal)
            numbers = (f"{row.parameters:,}", f"{row.trainable:,}", f"{share:.0%}")
            table.add_row(f"{network[0].upper()} {row.layer}", row.kind, action, *numbers)
        table.add_section()
    return table


def table_of(
    headings: Iterable[str],
    lines: Iterable[Iterable[str]] = (),
    *,
    title: str | None = None,
    overflow: Literal["ellipsis", "fold"] = "ellipsis",
    show_lines: bool = False,
) -> Table:
    """Return a table of text under ``headings``."""
    table = Table(title=title, title_justify="left", show_lines=show_lines)
    for heading in headings:
        table.add_column(heading, overflow=overflow)
    for line in lines:
        table.add_row(*line)
    return table


def columns_of(
    headings: Sequence[str], rows: Iterable[Sequence[str]], chosen: Iterable[str]
) -> list[list[str]]:
    """Return of each row the cells under the ``chosen`` headings, which suit a narrow screen."""
    positions = [headings.index(heading) for heading in chosen]
    return [[row[position] for position in positions] for row in rows]


def bars_of(*columns: ProgressColumn) -> Progress:
    """Return bars that are gone when they are done, and are not drawn without a terminal."""
    return Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())


def with_bar(description: str, work: Callable[[Callable[[int, int], None]], T]) -> T:
    """Do ``work`` with a function that moves a progress bar to (done, total)."""
    with bars_of(*BAR_COLUMNS) as bar:
        task = bar.add_task(shown(description), total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


@contextmanager
def with_bars() -> Generator[Callable[[str, int, int], None]]:
    """Yield a function that moves the bar of (what is being done, done, total)."""
    with bars_of(*BAR_COLUMNS) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(shown(what), total=total)
            bars.update(tasks[what], completed=done)

        yield show
