"""What ``transfer`` and ``pretrain`` share: an experiment from a file, flags, or an old run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from graftgan.cli.arguments import given_of, goes_on, parse_flags
from graftgan.cli.interrupts import stopped_code
from graftgan.cli.screen import ScreenObserver, console, resume_command
from graftgan.cli.stylegan_flags import in_our_words
from graftgan.core.errors import SettingsError
from graftgan.core.files import without_archive_ending
from graftgan.core.registry import suggest
from graftgan.core.settings import dotted_names, parse, read_toml, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import under_method, with_method
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.build import prepare
from graftgan.runs.run import refuse_full, resume, run
from graftgan.training import choose_hardware

S = TypeVar("S")

_NO_PREFIXES = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)


@dataclass(frozen=True)
class StartRun:
    """A new run."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    out: Path | None = None
    """The run folder; without it, runs/<name of the pictures>."""
    config: Path | None = None
    """An experiment file (TOML); flags given beside it win."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    dry_run: bool = False
    """Check everything and show it, but train nothing and write nothing."""


@dataclass(frozen=True)
class ResumeRun:
    """A run to go on with."""

    resume: Path
    """The run folder."""
    iterations: int | None = None
    """A new, larger number of iterations."""
    seconds: float | None = None
    """A new, larger limit in seconds of training."""
    pictures: Path | None = None
    """Where its pictures lie now, if they were moved."""
    reference: Path | None = None
    """Where the pictures lie now that it is scored against."""
    keep_pictures: bool = True
    """Keep the scored pictures, or no longer; without either flag as before."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def train(arguments: Sequence[str], defaults: Experiment, *, verb: str, description: str) -> int:
    """Parse the arguments of a training verb and do what they say; return the exit code."""
    prog = f"graftgan {verb} PICTURES"
    if goes_on(arguments):
        options = parse_flags(ResumeRun, arguments, prog=prog, description=description)
        observer = ScreenObserver()
        decides = given_of(["keep-pictures", "no-keep-pictures"], arguments)
        folder = resume(
            options.resume,
            iterations=options.iterations,
            seconds=options.seconds,
            pictures=options.pictures,
            reference=options.reference,
            keep_pictures=options.keep_pictures if decides else None,
            device=options.device,
            observer=observer,
        )
        return _finish(folder, observer)
    start = parse_start(
        lambda experiment: StartRun(experiment=experiment),
        arguments,
        defaults,
        prog=prog,
        description=description,
    )
    if (verb == "transfer") == (start.experiment.source is None):
        raise SettingsError(
            "transfer needs a --source; from fresh weights use `graftgan pretrain`"
            if verb == "transfer"
            else "pretrain starts from fresh weights; `graftgan transfer` takes a source"
        )
    destination = start.out or folder_named_after(start.experiment.pictures, home="runs")
    if start.dry_run:
        return _show(start, destination)
    observer = ScreenObserver()
    folder = run(start.experiment, destination, device=start.device, observer=observer)
    return _finish(folder, observer)


def folder_named_after(pictures: Path, *, home: str) -> Path:
    """Return the folder in ``home`` that is used where a person names none."""
    return Path(home) / without_archive_ending(pictures.resolve().name)


def short_flags(arguments: Sequence[str]) -> list[str]:
    """Turn dotted flags such as ``--training.iterations`` into ``--iterations``.

    Flags of other programs that are known here become ours.

    Raises:
        SettingsError: A dotted flag names no setting.
    """
    known = list(dotted_names(Experiment))
    return [_short(argument, known) for argument in in_our_words(arguments)]


def _short(argument: str, known: list[str]) -> str:
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument[2:].partition("=")
    if "." not in flag:
        return argument
    name = flag.replace("-", "_")
    if name not in known:
        raise SettingsError(f"no setting '{flag}'; {suggest(name, known)}")
    return f"--{name.rpartition('.')[2]}{equals}{value}"


def parse_start(
    start: Callable[[Experiment], S],
    arguments: Sequence[str],
    defaults: Experiment,
    *,
    prog: str,
    description: str,
) -> S:
    """Return what ``start`` makes of the defaults, under the flags and the file of --config.

    Raises:
        SettingsError: A flag or a setting is unknown, missing or of the wrong type.
    """
    arguments = short_flags(arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments[:1] = ["--pictures", arguments[0]]
    config = value_of("config", arguments)
    if config is not None:
        data = under_method({"pictures": "", **read_toml(Path(config))})
        for table in ("compare", "search"):  # for the verbs of these names alone
            data.pop(table, None)
        defaults = parse(Experiment, data, where=config)
        if not data["pictures"]:
            defaults = replace(defaults, pictures=tyro.MISSING)
    method = value_of("method", arguments)
    if method is not None:
        defaults = with_method(defaults, method)
    default = start(defaults)
    return parse_flags(
        type(default),
        arguments,
        default=default,
        prog=prog,
        description=description,
        config=_NO_PREFIXES,
    )


def table_in_file(config: str | None, name: str) -> Any:
    """Return the table ``name`` of an experiment file; empty where it or the file is not given."""
    return {} if config is None else read_toml(Path(config)).get(name, {})


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """Return what is given for ``flag``, which decides the defaults of the others."""
    for position, argument in enumerate(arguments):
        if argument.startswith(f"--{flag}="):
            return argument.partition("=")[2]
        if argument == f"--{flag}" and position + 1 < len(arguments):
            return arguments[position + 1]
    return None


def _show(start: StartRun, destination: Path) -> int:
    precision = start.experiment.training.precision
    refuse_full(destination)
    prepared = prepare(start.experiment, choose_hardware(start.device, precision))
    console.print(to_toml(prepared.experiment))
    ScreenObserver().prepared(prepared)
    return 0


def _finish(folder: RunFolder, observer: ScreenObserver) -> int:
    card = folder.card()
    if observer.leads:
        console.print(
            f"{card.state} at iteration {card.iteration} after {card.seconds / 60:.1f} minutes"
        )
        if card.message:
            console.print(card.message)
        if card.warning:
            console.print(f"note: {card.warning}")
        if card.state == RunState.INTERRUPTED:
            console.print(f"continue with {resume_command(folder.path)}")
        if (page := folder.path / "report.html").is_file():
            console.print(f"look at {page}")
    if card.state in {RunState.FINISHED, RunState.STOPPED}:
        return 0
    return stopped_code(observer.stopped_by or "SIGINT")
