"""Run a search: claim a trial, run it, tell the strategy, until there is nothing left to do."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from graftgan.core.errors import RunError
from graftgan.core.files import remove_partial, write_json, write_text
from graftgan.core.locks import FileLock
from graftgan.core.settings import parse, read_toml, to_plain, to_toml
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.build import prepare
from graftgan.runs.prepared import Prepared
from graftgan.runs.run import new_folder, refuse_full, resume, run
from graftgan.runs.scorer import build_scorer
from graftgan.runs.session import Observer
from graftgan.studies.comparison import comparison_fingerprint, overridden, read_fingerprints
from graftgan.studies.comparison_results import ENDED, images_shown
from graftgan.studies.plan_search import STRATEGIES, Budget, PlanSearch
from graftgan.studies.queue import job_state
from graftgan.studies.reruns import ask_to_confirm
from graftgan.studies.search_page import write_search_report
from graftgan.studies.search_result import FOUND, SearchResult, gather_result, winner_toml
from graftgan.studies.search_space import space_of
from graftgan.studies.strategy import Pause, Strategy
from graftgan.studies.trial_store import TrialStore, is_spent
from graftgan.studies.trials import FAILED, PRUNED, Proposal, Trial, with_outcome
from graftgan.training import choose_hardware

SETTINGS, WINNER = "search.toml", "winner.toml"
_FAILURES_IN_A_ROW = 3  # then the fault lies in what all trials share, such as a full disk
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is left, by what the trials so far have cost; None: nothing to go by.

    Attributes:
        trials: At most so many; a strategy may need fewer.
        seconds: Of those, on one process.
        images: Of those.
    """

    trials: int | None = None
    seconds: float | None = None
    images: int | None = None


class SearchObserver(Observer):
    """What a person sees while a search runs. This one shows nothing."""

    def trial_starts(self, trial: Trial, forecast: Forecast) -> None:
        """Show which trial begins, and what all that are left may cost, itself included."""

    def trial_ended(self, trial: Trial, value: float | None) -> None:
        """Show how a trial ended, and its score."""

    def waits(self) -> None:
        """Show that the trials of other processes are waited for."""


def run_search(
    search: PlanSearch,
    destination: Path,
    *,
    device: str = "auto",
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Search for the plan; write trials, table, page and winner into ``destination``.

    A folder that already holds this very search is gone on with.

    Args:
        search: What to try.
        destination: A new or empty folder, or that of this search.
        device: auto, cpu, cuda, cuda:N or mps.
        observer: Shows what happens.

    Raises:
        GraftganError: Something does not fit, and nothing is written; or three trials in a row
            failed.
    """
    search = search.located()
    if (destination / SETTINGS).is_file():
        if _read(destination).sha256() != search.sha256():
            raise RunError(
                f"{destination} holds another search; choose another folder with --out, or go on "
                f"with that one: graftgan search --resume {destination}"
            )
        return resume_search(destination, budget=search.budget, device=device, observer=observer)
    refuse_full(destination)
    check_search(search, device=device)
    with new_folder(destination) as partial:
        for folder in ("runs", "trials"):
            (partial / folder).mkdir()
        write_text(partial / SETTINGS, to_toml(search))
        write_json(partial / FOUND, to_plain(SearchResult(settings_sha256=search.sha256())))
    return _Worker(search, destination, device, observer or SearchObserver()).work()


def resume_search(
    path: Path,
    *,
    budget: Budget | None = None,
    device: str = "auto",
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Go on with a search, or help another process with it: no trial is run twice.

    What was interrupted is gone on with, what failed is tried again, then new trials follow.

    Args:
        path: The folder of the search.
        budget: What all trials together may cost from now on; None: as before.
        device: auto, cpu, cuda, cuda:N or mps.
        observer: Shows what happens.

    Raises:
        RunError: ``path`` holds no search, or its settings were changed; or three trials in a row
            failed.
    """
    search = _read(path)
    written = {k: v for k, v in read_toml(path / SETTINGS).items() if k != "budget"}
    found = {search.sha256(), comparison_fingerprint(written)}
    if not read_fingerprints(path / FOUND).know(found):
        raise RunError(
            f"{path / SETTINGS} was changed since the search began; put it back, or start a new "
            "search (the budget alone may be changed, by --trials and its like)"
        )
    if budget is not None and budget != search.budget:
        search = replace(search, budget=budget)
        with TrialStore(path).locked():
            write_text(path / SETTINGS, to_toml(search))
    return _Worker(search, path, device, observer or SearchObserver()).work()


def check_search(search: PlanSearch, *, device: str = "auto") -> list[Proposal]:
    """Check everything that can be checked before a trial; nothing is written.

    Returns:
        The trials that are known beforehand.

    Raises:
        GraftganError: Something is missing or does not fit.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError(
            "a trial runs in one process; start it without torchrun. Several processes can share "
            "a search: graftgan search --resume FOLDER in each"
        )
    search.check()
    strategy = STRATEGIES[search.strategy](search, space_of(search), Path(os.devnull))
    strategy.check()
    known = strategy.known()
    first = overridden(search.base, known[0].overrides if known else {})
    prepared = prepare(first, choose_hardware(device, first.training.precision), only_check=True)
    build_scorer(Path(os.devnull), prepared)  # measures the floor, which is kept
    return known


def _read(path: Path) -> PlanSearch:
    file = path / SETTINGS
    if not file.is_file():
        raise RunError(f"{path} holds no search: there is no {SETTINGS}")
    return parse(PlanSearch, read_toml(file), where=str(file))


class _Judged(Observer):
    """Shows what another observer shows, and asks the strategy about every score."""

    def __init__(self, shown: Observer, judge: Callable[[int, float], str]) -> None:
        self._shown, self._judge = shown, judge
        self.draws_bar = shown.draws_bar

    def say(self, line: str) -> None:
        self._shown.say(line)

    def progress(self, what: str, done: int, total: int) -> None:
        self._shown.progress(what, done, total)

    def prepared(self, prepared: Prepared) -> None:
        self._shown.prepared(prepared)

    def stopping(self, signal: str, folder: Path) -> None:
        self._shown.stopping(signal, folder)

    def scored(self, iteration: int, value: float) -> str:
        return self._judge(iteration, value)


class _Worker:
    """One process at work on a search; there may be others."""

    def __init__(
        self, search: PlanSearch, path: Path, device: str, observer: SearchObserver
    ) -> None:
        self._search, self._path, self._device, self._observer = search, path, device, observer
        self._space = space_of(search)
        self._strategy: Strategy = STRATEGIES[search.strategy](search, self._space, path)
        self._strategy.check()
        self._store = TrialStore(path)

    def work(self) -> SearchResult:
        """Run trials until there are none left, one is interrupted, or too many fail.

        Raises:
            RunError: Three trials in a row failed.
        """
        with self._store.locked():
            self._store.tidy()
            self._store.reopen_failed()
            self._strategy.begin(self._store.trials())
        try:
            return self._take_turns()
        finally:
            self._strategy.end()

    def _take_turns(self) -> SearchResult:
        failures = 0
        while True:
            claim = self._claim()
            if claim is Pause.DONE:
                return self._write(complete=True)
            if isinstance(claim, Pause):
                self._observer.waits()
                time.sleep(_POLL_SECONDS)
                continue
            trial, lock = claim
            try:
                ended = self._run(trial)
            finally:
                lock.release()
            if ended.is_open or self._observer.stopped_by:
                return self._write(complete=False)
            failures = failures + 1 if ended.state == FAILED else 0
            if failures == _FAILURES_IN_A_ROW:
                raise RunError(
                    f"{failures} trials in a row failed, the last with: {ended.message}; when that "
                    f"is mended, go on with graftgan search --resume {self._path}"
                )

    def _claim(self) -> tuple[Trial, FileLock] | Pause:
        with self._store.locked():
            return self._store.claim(self._ask)

    def _ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Ask the strategy within the budget, then for reruns."""
        asked: Proposal | Pause = Pause.DONE
        if not is_spent(self._search.budget, trials):
            asked = self._strategy.ask(trials)
        return ask_to_confirm(self._search, trials) if asked is Pause.DONE else asked

    def _run(self, trial: Trial) -> Trial:
        """Run a trial or go on with it, and record how it ended; still open: interrupted."""
        self._observer.trial_starts(trial, self._forecast())
        folder = RunFolder(self._path / "runs" / trial.name)
        begin = time.perf_counter()
        failure = self._train(trial, folder)
        wall = trial.wall + time.perf_counter() - begin
        state = folder.card().state if folder.card_file.is_file() else ""
        if state == RunState.INTERRUPTED and not failure:
            ended = replace(trial, wall=wall)
        else:
            ended = with_outcome(replace(trial, wall=wall), self._search, folder, failure=failure)
        with self._store.locked():
            self._store.write(ended)
            if not ended.is_open:
                self._strategy.tell(ended)
        if not ended.is_open:
            value = None if ended.cost is None else self._search.cost(ended.cost)
            self._observer.trial_ended(ended, value)
            self._write(complete=False)
        return ended

    def _train(self, trial: Trial, folder: RunFolder) -> str:
        """Return what went wrong, or nothing."""

        def judge(iteration: int, value: float) -> str:
            if trial.stage == "confirm":
                return ""
            return self._strategy.scored(trial, iteration, self._search.cost(value))

        observer = _Judged(self._observer, judge)
        try:
            if job_state(folder)[0] in ENDED | {PRUNED}:
                return ""  # killed between the end of the run and its record
            if folder.experiment_file.is_file():
                resume(folder.path, device=self._device, observer=observer)
            else:
                remove_partial(folder.path.parent, trial.name)
                experiment = overridden(self._search.base, trial.overrides)
                run(experiment, folder.path, device=self._device, observer=observer)
        except Exception as error:  # recorded: one trial must not cost the others
            return str(error) or type(error).__name__
        finally:
            self._observer.stopped_by = observer.stopped_by
        return ""

    def _forecast(self) -> Forecast:
        """Return what is left; the trial that begins is counted as left."""
        trials = self._store.trials()
        ended = [trial for trial in trials if not trial.is_open]
        own = [trial for trial in trials if trial.stage == "search"]
        seconds = sum(trial.wall for trial in ended) / len(ended) if ended else None
        base = self._search.base
        images = images_shown(base, base.training.iterations)
        if ended:
            images = sum(trial.images for trial in ended) // len(ended)
        budget = self._search.budget
        limits = [self._strategy.most(), budget.trials]
        if budget.seconds is not None and seconds:
            limits.append(-int(-budget.seconds // seconds))
        if budget.images is not None and images:
            limits.append(-(-budget.images // images))
        known = [limit for limit in limits if limit is not None]
        if not known:
            return Forecast()
        again = self._search.confirm_seeds * self._search.confirm_top
        done = sum(not trial.is_open for trial in own), len(ended)
        left = max(min(known) - done[0], 0) + max(again - (done[1] - done[0]), 0)
        return Forecast(
            trials=left,
            seconds=None if seconds is None else left * seconds,
            images=left * images,
        )

    def _write(self, *, complete: bool) -> SearchResult:
        with self._store.locked():
            result = gather_result(
                self._search,
                self._space,
                self._store.trials(),
                importances=self._strategy.importances(),
                complete=complete,
            )
            write_json(self._path / FOUND, to_plain(result))
            if result.winner is not None:
                text = winner_toml(self._search, result.trials[result.winner], score=result.score)
                write_text(self._path / WINNER, text)
            else:  # a trial may have won until new seeds were there
                (self._path / WINNER).unlink(missing_ok=True)
            write_search_report(self._path)
        return result
