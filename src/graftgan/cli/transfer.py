"""Graft a source onto your pictures.

Each layer of the source's discriminator and generator is frozen, modulated (AdaFM) or fine-tuned,
as the plan says. Without --source the most promising local source is used (see graftgan rank), or
avatars-64 if you have no sources of your own. Stop with Ctrl-C at any time: the state and the
report are saved, and --resume continues from there.

examples:
  graftgan transfer my_pictures/
  graftgan transfer my_pictures.zip --plan fine_tune --iterations 2000 --out runs/tuned
  graftgan transfer my_pictures/ --source runs/faces --plan "D(1,2,2) G(1,2,2)"
  graftgan transfer my_pictures/ --method freezed          the methods: graftgan plan
  graftgan transfer --resume runs/my_pictures --iterations 3000
  torchrun --nproc-per-node 2 -m graftgan transfer my_pictures/
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from graftgan.cli.ending import stopped_code
from graftgan.cli.racing import run_race
from graftgan.cli.terminal import (
    NO_PREFIXES,
    Device,
    ScreenObserver,
    console,
    given_of,
    goes_on,
    parse_flags,
    resume_command,
)
from graftgan.core.errors import SettingsError
from graftgan.core.files import without_archive_ending
from graftgan.core.registry import suggest
from graftgan.core.settings import dotted_names, parse, read_toml, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import under_method, with_method
from graftgan.experiments.records import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.models.sources import DEFAULT_SOURCE, own_source_folders
from graftgan.reports import duration
from graftgan.runs.build import prepare
from graftgan.runs.run import refuse_full, resume, run
from graftgan.studies.source_race import SourceRace
from graftgan.studies.source_ranking import rank_sources
from graftgan.training import choose_hardware

S = TypeVar("S")

DEFAULTS = Experiment(
    pictures=tyro.MISSING, source=DEFAULT_SOURCE, augment="diffaugment_color_translation"
)

_RENAMED = {  # flags of NVIDIA's StyleGAN programs
    "gamma": "r1-gamma",
    "batch": "batch-size",
    "p": "probability",
    "target": "adaptive-target",
}
_POLICIES = {"ada": "ada", "fixed": "bgc", "noaug": "none"}
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}
_WHOLE_BLOCKS = [0, *range(4, 26, 3)]
"""Convolutions in a StyleGAN's first blocks up to 1024 px: three in each, and one from colours."""


@dataclass(frozen=True)
class StartRun:
    """A new run."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    out: Path | None = None
    """The run folder; without it, runs/<name of the pictures>."""
    config: Path | None = None
    """An experiment file (TOML); flags given beside it win."""
    device: Device = "auto"
    dry_run: bool = False
    """Check everything and show it, but train nothing and write nothing."""


@dataclass(frozen=True)
class ResumeRun:
    """A run to resume."""

    resume: Path
    """The run folder."""
    iterations: int | None = None
    """A new, larger number of iterations."""
    seconds: float | None = None
    """A new, larger limit in seconds of training."""
    pictures: Path | None = None
    """The pictures, if they were moved."""
    reference: Path | None = None
    """The reference pictures, if they were moved."""
    keep_pictures: bool = True
    """Keep the scored pictures, or no longer; without either flag as before."""
    device: Device = "auto"


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    chosen = [*arguments, *_best_source(arguments)]
    return train(chosen, DEFAULTS, verb="transfer", description=__doc__)


def _best_source(arguments: Sequence[str]) -> list[str]:
    """Return the flag for the source that won a race, unless a source is given or none is owned.

    A dry run trains nothing, and several processes run no race: they take the first by statistics.

    Raises:
        GraftganError: The pictures cannot be read.
    """
    words = _short_flags(arguments)
    pictures = words[0] if words and not words[0].startswith("-") else value_of("pictures", words)
    config = value_of("config", words)
    named = value_of("source", words) or (config and read_toml(Path(config)).get("source"))
    if named or not pictures or goes_on(words) or {"-h", "--help"} & {*words}:
        return []
    if not own_source_folders():  # the default will do: both bundled ones know the same pictures
        return []
    observer = ScreenObserver()
    if not given_of(["dry-run"], words) and os.environ.get("WORLD_SIZE", "1") == "1":
        start = parse_start(_start_of, arguments, DEFAULTS, prog="graftgan transfer PICTURES")
        if observer.leads:
            console.print("no --source is named: which one? Short transfers from all will tell")
        base = replace(start.experiment, source=None)
        folder = folder_named_after(base.pictures, home="races")
        return ["--source", run_race(SourceRace(base=base), folder, device=start.device)]
    ranking = rank_sources(Path(pictures), progress=observer.progress)
    first = ranking.candidates[0]
    if observer.leads:
        console.print(
            f"source {first.name}: {first.reason} (`graftgan rank {pictures}` shows all; --source "
            "takes another)"
        )
    return ["--source", first.name]


def train(
    arguments: Sequence[str], defaults: Experiment, *, verb: str, description: str | None
) -> int:
    """Start or resume a run, as the arguments of a training verb say; return the exit code."""
    prog = f"graftgan {verb} PICTURES"
    arguments = _short_flags(arguments)
    observer = ScreenObserver()
    if goes_on(arguments):
        takes = [field.name.replace("_", "-") for field in fields(ResumeRun)[1:]]
        refuse_flags_of_a_start(arguments, StartRun, takes, what="run")
        options = parse_flags(ResumeRun, arguments, prog=prog, description=description)
        changes = {name: value for name, value in vars(options).items() if name != "resume"}
        if not given_of(["keep-pictures", "no-keep-pictures"], arguments):
            changes["keep_pictures"] = None
        return _finish(resume(options.resume, observer=observer, **changes), observer)
    start = parse_start(_start_of, arguments, defaults, prog=prog, description=description)
    experiment = start.experiment
    if (verb == "transfer") == (experiment.source is None):
        raise SettingsError(
            "transfer needs a --source; from fresh weights use `graftgan pretrain`"
            if verb == "transfer"
            else "pretrain starts from fresh weights; `graftgan transfer` takes a source"
        )
    destination = start.out or folder_named_after(experiment.pictures, home="runs")
    if not start.dry_run:
        return _finish(
            run(experiment, destination, device=start.device, observer=observer), observer
        )
    refuse_full(destination)
    prepared = prepare(experiment, choose_hardware(start.device, experiment.training.precision))
    console.print(to_toml(prepared.experiment))
    observer.prepared(prepared)
    return 0


def refuse_flags_of_a_start(
    arguments: Sequence[str], start: type, takes: Sequence[str], *, what: str
) -> None:
    """Say which flags --resume ``takes``, where one of the ``start`` of a new ``what`` is given.

    Raises:
        SettingsError: Such a flag is given.
    """
    starts = {name.rpartition(".")[2].replace("_", "-") for name in dotted_names(start)}
    given = given_of(sorted(starts - {*takes}), arguments)
    if given:
        allowed = ", ".join(f"--{flag}" for flag in takes)
        raise SettingsError(
            f"--{given[0]} is for a new {what}; --resume keeps the settings that a {what} began "
            f"with, and takes {allowed}"
        )


def _start_of(experiment: Experiment, table: Any, where: str) -> StartRun:
    del table, where  # of a study
    return StartRun(experiment)


def _finish(folder: RunFolder, observer: ScreenObserver) -> int:
    card = folder.card()
    if observer.leads:
        console.print(f"{card.state} at iteration {card.iteration} after {duration(card.seconds)}")
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


def folder_named_after(pictures: Path, *, home: str) -> Path:
    """Return the default folder in ``home``."""
    return Path(home) / without_archive_ending(pictures.resolve().name)


def parse_start(
    start: Callable[[Experiment, Any, str], S],
    arguments: Sequence[str],
    defaults: Experiment,
    *,
    table: str = "",
    **options: Any,
) -> S:
    """Return what ``start`` makes of the defaults, changed by the file of --config and the flags.

    ``start`` also gets the ``table`` of a study in that file, and its place. ``options`` are
    those of :func:`parse_flags`. A SettingsError where a flag or setting is wrong.
    """
    arguments = _short_flags(arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments[:1] = ["--pictures", arguments[0]]
    config = value_of("config", arguments)
    tables: dict[str, Any] = {}
    if config is not None:
        data = under_method({"pictures": "", **read_toml(Path(config))})
        tables = {study: data.pop(study, {}) for study in ("compare", "search")}
        defaults = parse(Experiment, data, where=config)
        if not data["pictures"]:
            defaults = replace(defaults, pictures=tyro.MISSING)
    method = value_of("method", arguments)
    if method is not None:
        defaults = with_method(defaults, method)
    default = start(defaults, tables.get(table, {}), f"{config}, [{table}]")
    return parse_flags(type(default), arguments, default=default, config=NO_PREFIXES, **options)


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """Return the value of ``flag``, which decides the defaults of other flags."""
    for position, argument in enumerate(arguments):
        if argument.startswith(f"--{flag}="):
            return argument.partition("=")[2]
        if argument == f"--{flag}" and position + 1 < len(arguments):
            return arguments[position + 1]
    return None


def _short_flags(arguments: Sequence[str]) -> list[str]:
    """Translate dotted flags, such as ``--training.iterations``, and those of StyleGAN programs.

    Raises:
        SettingsError: A dotted flag names no setting.
    """
    known = list(dotted_names(Experiment))
    return [_short(argument, known) for argument in in_our_words(arguments)]


def _short(argument: str, known: list[str]) -> str:
    flag, equals, value = argument.removeprefix("--").partition("=")
    if not argument.startswith("--") or "." not in flag:
        return argument
    name = flag.replace("-", "_")
    if name not in known:
        raise SettingsError(f"no setting '{flag}'; {suggest(name, known)}")
    return f"--{name.rpartition('.')[2]}{equals}{value}"


def in_our_words(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with every flag of NVIDIA's StyleGAN programs replaced by ours.

    Raises:
        SettingsError: Such a flag has a value that it does not take.
    """
    words = iter(arguments)
    translated: list[str] = []
    for word in words:
        flag, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or flag not in {"mirror", "aug", "freezed", *_RENAMED}:
            translated.append(word)
        else:
            translated += _translated(flag, value if equals else next(words, ""))
    return translated


def _translated(flag: str, value: str) -> list[str]:
    if flag in _RENAMED:
        return [f"--{_RENAMED[flag]}", value]
    if flag == "mirror":
        if value.lower() not in _YES | _NO:
            raise SettingsError(f"--mirror takes 1 or 0, got '{value}'; here it is --flip")
        return ["--flip" if value.lower() in _YES else "--no-flip"]
    if flag == "aug":
        if value not in _POLICIES:
            raise SettingsError(
                f"--aug takes {', '.join(_POLICIES)}, got '{value}'; --augment takes every policy"
            )
        return ["--augment", _POLICIES[value]]
    if not value.isdecimal() or int(value) not in _WHOLE_BLOCKS:
        raise SettingsError(
            f"--freezed counts convolutions, and here whole blocks freeze: "
            f"{', '.join(map(str, _WHOLE_BLOCKS))}; got '{value}'. With other networks than "
            "StyleGANs take --method freezed, or --plan"
        )
    return ["--plan", f"D({_WHOLE_BLOCKS.index(int(value))},0,*) G(0,0,*)"]
