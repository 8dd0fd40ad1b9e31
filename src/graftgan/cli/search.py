r"""Find the plan: which layers to freeze, to modulate, to fine-tune.

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
all trials, the score over (i,j,k) and the best for each number of trained numbers, and
winner.toml for `graftgan transfer --config`; where no trial beats the untouched source there is
no winner. The best of many noisy scores is partly luck: --confirm-seeds 3 runs the best three
again with new seeds and lets their means decide.

Stop whenever you like, also with kill -9: --resume goes on and repeats no finished trial. Several
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

import tyro

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
from graftgan.experiments.experiment import Experiment
from graftgan.reports import duration, in_words
from graftgan.runs.build import Prepared
from graftgan.studies.plan_search import Budget, PlanSearch
from graftgan.studies.queue import Forecast, SearchObserver, check_search, resume_search, run_search
from graftgan.studies.search_page import TRIAL_HEADINGS, trial_rows
from graftgan.studies.search_result import SearchResult
from graftgan.studies.trials import Proposal, Trial

_RESUME_TAKES = ("trials", "budget-seconds", "budget-images", "device")


@dataclass(frozen=True)
class StartSearch:
    """A new search."""

    search: Annotated[PlanSearch, tyro.conf.arg(name="")]
    out: Path | None = None
    """The folder; without it, searches/<name of the pictures>."""
    config: Path | None = None
    """An experiment file (TOML) for what all trials share; flags given beside it win."""
    device: Device = "auto"
    dry_run: bool = False
    """Check everything and list the trials that are known beforehand, but train nothing."""


@dataclass(frozen=True)
class ResumeSearch:
    """A search to go on with, or to help with."""

    resume: Path
    """Its folder."""
    budget: Annotated[Budget, tyro.conf.arg(name="")] = field(default_factory=Budget)
    device: Device = "auto"


class SearchScreen(ScreenObserver, SearchObserver):
    """Shows which trial is under way, and what all of them will about cost."""

    _waiting = False

    def prepared(self, prepared: Prepared) -> None:
        """Say nothing: the parts that all trials share were checked before the first."""

    def trial_starts(self, trial: Trial, forecast: Forecast) -> None:
        """Print which trial begins, and what is left."""
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
    return StartSearch(PlanSearch.around(experiment, table, where=where))


def _left(forecast: Forecast) -> str:
    """Return what is left in words; empty where that is unknown."""
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
    chosen = ("trial", "plan", "state", "score", "time")  # the page has them all
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
