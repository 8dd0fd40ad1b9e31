r"""Search for a plan: which layers to freeze, to modulate and to fine-tune.

Every trial is a transfer under another plan, scored against pictures that it is not trained on.

  gradual  the papers' own way: freeze all but the most abstract layer of each network, release
           one layer at a time, keep what helps, then try AdaFM on what is still frozen. At most
           19 trials for two networks of five layers.
  grid     every D(i,j,k) G(i,j,k). 400 plans for two networks of five layers: restrict it with
           --networks or --grid-step, or cap it with --trials.
  optuna   TPE over the action of every layer and over learning rates (--tune); trials that fall
           behind are ended early (--pruner). Needs `pip install optuna`.

The cost is bounded by --trials, --budget-seconds or --budget-images (--seconds and --iterations
are the length of one trial), and is estimated after the first trial. The result is a page with
all trials, the score over (i,j,k) and the best for each number of trainable parameters, and
winner.toml for `graftgan transfer --config`; if no trial beats the untouched source there is no
winner. The best of many noisy scores is partly luck: --confirm-seeds 3 runs the best three
again with new seeds and lets their means decide.

Stop at any time, also with kill -9: --resume continues and repeats no finished trial. Several
processes can share one search: start --resume in each.

examples:
  graftgan search my_pictures/ --held-out 0.2 --score-every 100
  graftgan search my_pictures/ --strategy optuna --trials 40 --confirm-seeds 3 \
      --reference all_pictures.zip --score-every 100 --out searches/mine
  graftgan search my_pictures/ --strategy grid --networks generator --dry-run \
      --held-out 0.2 --score-every 100
  graftgan search --resume searches/mine
  graftgan search --resume searches/mine --trials 80
  graftgan transfer my_pictures/ --config searches/mine/winner.toml
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from graftgan.cli.ending import stopped_code
from graftgan.cli.terminal import (
    NO_PREFIXES,
    Device,
    ScreenObserver,
    columns_of,
    console,
    goes_on,
    parse_flags,
    print_findings,
    table_of,
)
from graftgan.cli.transfer import (
    DEFAULTS,
    folder_named_after,
    parse_start,
    refuse_flags_of_a_start,
)
from graftgan.core.registry import NamesDoc
from graftgan.experiments.experiment import Experiment
from graftgan.reports import duration, in_words
from graftgan.runs.build import Prepared
from graftgan.studies.comparison import split_list
from graftgan.studies.plan_search import Budget, PlanSearch
from graftgan.studies.queue import Forecast, SearchObserver, check_search, resume_search, run_search
from graftgan.studies.search_page import TRIAL_HEADINGS, trial_rows
from graftgan.studies.search_result import SearchResult
from graftgan.studies.trials import Proposal, Trial
from graftgan.transfer import ACTIONS

Listed = Annotated[
    tuple[str, ...],
    PrimitiveConstructorSpec[tuple[str, ...]](
        nargs=1,
        metavar="STR",
        instance_from_str=lambda words: tuple(split_list(words[0])) if words[0] != "none" else (),
        is_instance=lambda items: isinstance(items, tuple),
        str_from_instance=lambda items: [",".join(items) or "none"],
    ),
]
"""A list that is given in one word, as ``split_list`` reads it; ``none``: an empty list."""


@dataclass(frozen=True, kw_only=True)
class BudgetFlags(Budget):
    """The limits of a search, which begins no trial once it has reached one of them."""

    seconds: Annotated[float | None, arg(name="budget-seconds")] = None
    """Begin no trial once all trials together took this many seconds."""
    images: Annotated[int | None, arg(name="budget-images")] = None
    """Begin no trial once all trials together were shown this many images."""


@dataclass(frozen=True, kw_only=True)
class SearchFlags(PlanSearch):
    """The settings of a search, with other flags where their names or lists ask for them."""

    base: Annotated[Experiment, arg(name="")]
    budget: BudgetFlags = field(default_factory=BudgetFlags)
    actions: Annotated[
        Listed,
        NamesDoc(
            "The actions a layer may have, separated by commas: {}; optuna takes any.", ACTIONS
        ),
    ] = PlanSearch.actions
    step: Annotated[int, arg(name="grid-step")] = PlanSearch.step
    """The grid cuts a network at every this many layers."""
    then: Listed = PlanSearch.then
    """Steps of a schedule, separated by commas, such as fine_tune@0.4: grid and optuna try every
    plan without a step and with each of these after it. A schedule as --plan keeps its own steps
    after every plan."""
    tune: Listed = PlanSearch.tune
    """Settings that optuna also chooses, NAME=LOW:HIGH separated by commas; none: only plans."""


_RESUME_TAKES = ("trials", "budget-seconds", "budget-images", "device")


@dataclass(frozen=True)
class StartSearch:
    """A new search."""

    search: Annotated[SearchFlags, arg(name="")]
    out: Path | None = None
    """The folder; without it, searches/<name of the pictures>."""
    config: Path | None = None
    """An experiment file (TOML) for what all trials share; flags given beside it win."""
    device: Device = "auto"
    dry_run: bool = False
    """Check everything and list the trials that are known in advance, but train nothing."""


@dataclass(frozen=True)
class ResumeSearch:
    """A search to resume or to join."""

    resume: Path
    """Its folder."""
    budget: Annotated[BudgetFlags, arg(name="")] = field(default_factory=BudgetFlags)
    device: Device = "auto"


class SearchScreen(ScreenObserver, SearchObserver):
    """Prints the current trial and an estimate of what is left."""

    _waiting = False

    def prepared(self, prepared: Prepared) -> None:
        """Print nothing: the settings of all trials were checked before the first."""

    def trial_starts(self, trial: Trial, forecast: Forecast) -> None:
        """Print which trial begins, and an estimate of what is left."""
        self._waiting = False
        plan = trial.overrides["plan"]
        console.print(f"trial {trial.number} ({trial.why}): {plan}{_left(forecast)}")

    def trial_ended(self, trial: Trial, value: float | None) -> None:
        """Print how a trial ended."""
        score = "no score" if value is None else in_words(value)
        message = f": {trial.message}" if trial.message else ""
        state = "" if trial.state == "finished" else f"; {trial.state}{message}"
        console.print(f"trial {trial.number}: {score} in {duration(trial.wall)}{state}")

    def waits(self) -> None:
        """Print once that other processes are waited for."""
        if not self._waiting:
            console.print("waiting for the trials of other processes")
        self._waiting = True


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    names: dict[str, Any] = {"prog": "graftgan search PICTURES", "description": __doc__}
    if goes_on(arguments):
        refuse_flags_of_a_start(arguments, StartSearch, _RESUME_TAKES, what="search")
        options = parse_flags(ResumeSearch, arguments, config=NO_PREFIXES, **names)
        screen = SearchScreen("search", options.resume)
        result = resume_search(
            options.resume,
            budget=None if options.budget.unlimited else options.budget,
            device=options.device,
            observer=screen,
        )
        return _finish(result, options.resume, screen)
    start = parse_start(_start_of, arguments, DEFAULTS, table="search", **names)
    search = start.search
    destination = start.out or folder_named_after(search.base.pictures, home="searches")
    if start.dry_run:
        return _show(search, check_search(search.located(), device=start.device), destination)
    screen = SearchScreen("search", destination)
    result = run_search(search, destination, device=start.device, observer=screen)
    return _finish(result, destination, screen)


def _start_of(experiment: Experiment, table: Any, where: str) -> StartSearch:
    return StartSearch(SearchFlags.around(experiment, table, where=where))


def _left(forecast: Forecast) -> str:
    """Return what is left in words; empty if that is unknown."""
    parts: list[str] = []
    if forecast.trials is not None:
        count = f"{forecast.trials} trial{'' if forecast.trials == 1 else 's'}"
        parts.append(f"at most {count} left")
    if forecast.seconds is not None:
        parts.append(f"about {duration(forecast.seconds)}")
    if forecast.images is not None:
        parts.append(f"{in_words(forecast.images)} images")
    return f"; {', '.join(parts)}" if parts else ""


def _show(search: PlanSearch, known: Sequence[Proposal], destination: Path) -> int:
    title = f"{len(known)} trials known beforehand, in {destination}; nothing was trained"
    lines: list[tuple[str, str, str]] = []
    for trial in known:
        settings = [
            f"{name} = {value}" for name, value in trial.overrides.items() if name != "plan"
        ]
        lines.append((trial.why, str(trial.overrides["plan"]), ", ".join(settings)))
    console.print(table_of(("why", "plan", "settings"), lines, title=title))
    training = search.base.training
    batch = training.batch_size or "the usual number of"
    console.print(
        f"each {training.iterations} iterations of {batch} pictures at most; "
        "what that costs is said after the first trial"
    )
    return 0


def _finish(result: SearchResult, destination: Path, screen: SearchScreen) -> int:
    chosen = ("trial", "plan", "state", "score", "time")  # the page has all columns
    cells = columns_of(TRIAL_HEADINGS, trial_rows(result), chosen)
    lines = [[cell.split(":")[0] for cell in row] for row in cells]
    where = "at the end" if result.judge == "end" else "at the best checkpoint"
    title = f"{result.score} {where}, {result.better} is better" if result.score else "no score yet"
    console.print(table_of(chosen, lines, title=title, overflow="fold"))
    print_findings(result.says, result.notes, destination / "search.html")
    if result.winner is not None:
        winner = shlex.quote(str(destination / "winner.toml"))
        console.print(f"use it: graftgan transfer PICTURES --config {winner}")
    if result.complete:
        if result.winner is None and result.ranking:
            why = f"no trial beats the untouched source by {result.score}"
            console.print(f"there is no winner, and no winner.toml: {why}")
        has_failed = any(trial.has_failed for trial in result.trials)
        return 1 if has_failed or not result.ranking else 0
    console.print(f"go on with {screen.continues}")
    return stopped_code(screen.stopped_by or "SIGINT")
