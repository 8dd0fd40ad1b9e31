"""Shared by all verbs: flags, one-line errors, tables and progress bars."""

import functools
import io
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
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
from typing_extensions import Doc

from graftgan.core.errors import SettingsError, escaped, shown
from graftgan.core.registry import suggest
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.build import Prepared, remarks_on
from graftgan.runs.resume import START
from graftgan.runs.run import Observer
from graftgan.transfer import ACTIONS, PlanReport

T = TypeVar("T")

Device = Annotated[str, Doc("auto, cpu, cuda, cuda:N or mps.")]
PicturesPath = Annotated[tyro.conf.Positional[Path], Doc("A folder, zip or npz of pictures.")]
Model = Annotated[
    tyro.conf.Positional[str], Doc("A run folder, a source's name, or a source folder.")
]
Iteration = Annotated[int | None, Doc("The checkpoint of a run; without it, the newest.")]
Truncation = Annotated[
    float, Doc("Below 1 pictures lie nearer to the average one: fewer surprises, less variety.")
]
Half = Annotated[bool, Doc("Store 16-bit numbers: half the size, no visible difference.")]

# Without markup: a description may contain brackets.
BAR_COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    TaskProgressColumn(),
    TimeRemainingColumn(),
)
NO_PREFIXES = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
_REDRAW_S, _LINE_S = 0.1, 20.0  # between two shows of progress: a bar on a terminal, a line


def verb(function: Callable[..., int | None]) -> Callable[[Sequence[str]], int]:
    """Turn a function, whose parameters are the flags, into the ``main`` of a verb.

    The verb has the name of its file, whose docstring is the text of ``--help``. The exit code is
    what the function returns, or 0.
    """
    return _main(function.__module__, tyro.cli, _later(function))


def subverbs(module: str, **functions: Callable[..., None]) -> Callable[[Sequence[str]], int]:
    """Return the ``main`` of a verb whose second word selects one of the ``functions``."""
    later = {name: _later(function) for name, function in functions.items()}
    return _main(module, tyro.extras.subcommand_cli_from_dict, later)


def _main(module: str, parse: Callable[..., Any], what: object) -> Callable[[Sequence[str]], int]:
    def main(arguments: Sequence[str]) -> int:
        words = list(arguments) or ["--help"] * isinstance(what, dict)
        prog = f"graftgan {module.rpartition('.')[2]}"
        description = sys.modules[module].__doc__
        return _parsed(parse, what, args=words, prog=prog, description=description)() or 0

    return main


def _later(function: Callable[..., T]) -> Callable[..., Callable[[], T]]:
    """Return a function that takes the flags of ``function`` and returns the call to make."""

    @functools.wraps(function)
    def bind(**flags: Any) -> Callable[[], T]:
        return functools.partial(function, **flags)

    return bind


def parse_flags(cls: Callable[..., T], arguments: Sequence[str], **options: Any) -> T:
    """Build ``cls`` from the arguments; ``options`` are those of ``tyro.cli``.

    A SettingsError where a flag is unknown, missing or of the wrong type.
    """
    return _parsed(tyro.cli, cls, args=list(arguments), **options)


def _parsed(parse: Callable[..., Any], what: object, **options: Any) -> Any:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return parse(what, **options)
    except SystemExit as stop:
        if not stop.code:
            raise  # --help was asked for and printed
        command = " ".join(options["prog"].split()[:2])
        raise SettingsError(f"{_in_plain_words(said.getvalue())}; see {command} --help") from None


_WORDINGS = (
    (r"Error parsing (\S+): .*invalid literal for int.*: (.*)", r"\1 takes a whole number, got \2"),
    (r"Error parsing (\S+): .*could not convert string.*: (.*)", r"\1 takes a number, got \2"),
    (r"invalid choice (.*) for argument '(\S+)'\..*\((.*)\)", r"\2 takes one of \3, got \1"),
    (r"Missing value for argument '(\S+)'\..*", r"\1 needs a value"),
)
"""What tyro says, and what we say."""


def _in_plain_words(box: str) -> str:
    """Return what tyro's box says of a mistake, in one line."""
    said, *hints = _paragraphs(box)
    unknown = re.match(r"Unrecognized options: ([^,]+)", said)
    if unknown:
        return _unknown(unknown[1], " ".join(hints))
    missing = re.fullmatch(r"Missing from [^:]*: (.*)\. \(required\)", said)
    if missing:
        return "; ".join(map(_missing, missing[1].split(". (required) ")))
    for pattern, words in _WORDINGS:
        if match := re.fullmatch(pattern, said.removesuffix(".")):
            return match.expand(words)
    return said.removesuffix(".")


def _missing(argument: str) -> str:
    """Return what to say of a missing ``argument``: ``--FLAG TYPE HELP``, or ``TYPE HELP``."""
    *flag, _, what = re.split(" ", argument, maxsplit=1 + argument.startswith("--"))
    return f"{flag[0] if flag else 'an argument'} is missing: {what}"


def _unknown(word: str, hints: str) -> str:
    """Return what to say of a word that tyro does not know, by its ``hints``."""
    if not word.startswith("--"):
        known = re.search(r"Available subcommands: (.*?) (?:For full|$)", f"{hints} ")
        if known is None:
            return f"'{word}' is one word too many"
        return f"no '{word}'; {suggest(word, known[1].split(', '))}"
    flags = list(dict.fromkeys(re.findall(r"(?<!\S)--[a-z0-9-]+(?= )", hints)))
    near = [flag for flag in flags if flag != "--help"]
    return f"no option {word}" + (f"; {suggest(word, near)}" if near else "")


def _paragraphs(box: str) -> list[str]:
    """Return the paragraphs under the title of tyro's box."""
    lines = [line.strip("╭╮╰╯│ ") for line in box.splitlines()]
    _, *rest = [line for line in lines if line] or [""]
    parts = [" ".join(part) for is_rule, part in groupby(rest, _is_rule) if not is_rule]
    return parts or [""]


def _is_rule(line: str) -> bool:
    return not line.strip("─-━")


def goes_on(arguments: Sequence[str]) -> bool:
    """Return whether the arguments resume a folder, which takes other flags than a start."""
    return bool(given_of(["resume"], arguments))


def given_of(flags: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return those of ``flags``, without their dashes, that are given."""
    words = {word.partition("=")[0].replace("_", "-") for word in arguments}
    return [flag for flag in flags if f"--{flag}" in words]


class SafeConsole(Console):
    """A console that escapes control characters, which names from files and sites may contain."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of whatever is printed."""
        for segment in super().render(renderable, options):
            safe = segment.text if segment.control else escaped(segment.text, keep="\n")
            yield Segment(safe, segment.style, segment.control)


console = SafeConsole(highlight=False, soft_wrap=True, markup=False)


class ScreenObserver(Observer):
    """Prints the progress of a run, or of a ``study``; only the leading process prints."""

    def __init__(self, study: str = "", folder: Path | None = None) -> None:
        self.continues = f"graftgan {study} --resume {shlex.quote(str(folder))}" if study else ""
        self.leads = os.environ.get("RANK", "0") == "0"
        self.draws_bar = self.leads and sys.stderr.isatty()
        self._shown = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line of progress."""
        console.print(line)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show progress: on a terminal at once, elsewhere as a line every 20 seconds."""
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
        """Print at once that the signal was received, and how to continue."""
        if not self.leads:
            return
        again = " (again: at once)" if signal == "SIGINT" else ""
        line = f"\n{signal}: saving, then stopping{again}; continue with "
        line += f"{self.continues or resume_command(folder)}\n"
        with suppress(OSError):  # the terminal may be gone
            # Unbuffered: the main thread may be in the middle of another write.
            os.write(2, line.encode("utf-8", "backslashreplace"))

    def prepared(self, prepared: Prepared) -> None:
        """Show the pictures and the plan before the first iteration."""
        if not self.leads:
            return
        console.print(prepared.images.summary())
        if prepared.experiment.source is not None:
            console.print(plan_table(prepared.plan.report))
        scored_against = prepared.scoring_reference and prepared.scoring_reference.reference
        notes = list(scored_against.notes) if scored_against else []
        if prepared.without_copy_guard:
            notes.append(f"no copy guard: {prepared.without_copy_guard}")
        for note in (*notes, *remarks_on(prepared)):
            console.print(f"note: {note}")
        console.print(f"on {prepared.hardware.describe()}")


def print_findings(says: Iterable[str], notes: Iterable[str], page: Path) -> None:
    """Print the results of a comparison or search, and where its page is."""
    for sentence in (*says, *(f"note: {note}" for note in notes), f"look at {page}"):
        console.print(sentence)


def resume_command(run: Path) -> str:
    """Return the command that continues a run."""
    if run.name == START and RunFolder(run.parent).experiment_file.is_file():
        run = run.parent  # the folder of the VAE that a run starts from
    return f"graftgan transfer --resume {shlex.quote(str(run))}"


def plan_table(report: PlanReport) -> Table:
    """Return the per-layer table of a plan."""
    title = f"{report.notation}   trains {report.trainable:,} of {report.parameters:,} numbers"
    headings = ("layer", "kind", "action", "parameters", "trainable", "share")
    table = table_of(headings, title=Text(title), numbers_from=3)
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
    title: str | Text | None = None,
    overflow: Literal["ellipsis", "fold"] = "ellipsis",
    show_lines: bool = False,
    numbers_from: int | None = None,
) -> Table:
    """Return a table of text; the columns from ``numbers_from`` on are right-aligned."""
    table = Table(title=title, title_justify="left", show_lines=show_lines)
    for place, heading in enumerate(headings):
        is_number = numbers_from is not None and place >= numbers_from
        table.add_column(heading, justify="right" if is_number else "left", overflow=overflow)
    for line in lines:
        table.add_row(*line)
    return table


def columns_of(
    headings: Sequence[str], rows: Iterable[Sequence[str]], chosen: Iterable[str]
) -> list[list[str]]:
    """Return the cells of each row under the ``chosen`` headings, to fit a narrow screen."""
    positions = [headings.index(heading) for heading in chosen]
    return [[row[position] for position in positions] for row in rows]


def bars_of(*columns: ProgressColumn) -> Progress:
    """Return progress bars that disappear when done, and are hidden without a terminal."""
    return Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())


@contextmanager
def with_bars() -> Generator[Callable[[str, int, int], None]]:
    """Yield a function that updates a progress bar, given (description, done, total)."""
    with bars_of(*BAR_COLUMNS) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(shown(what), total=total)
            bars.update(tasks[what], completed=done)

        yield show
