"""Run a study: the jobs of a comparison or the trials of a search.

Both can be resumed. A failure of one run is recorded, and the others continue.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from graftgan.core.errors import GraftganError, RunError
from graftgan.core.files import FileLock, held, read_json, remove_partial, write_json, write_text
from graftgan.core.settings import parse, read_toml, to_plain, to_toml
from graftgan.experiments.experiment import Experiment, flat
from graftgan.experiments.records import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.build import prepare
from graftgan.runs.run import Observer, new_folder, refuse_full, resume, run
from graftgan.runs.scorer import build_scorer
from graftgan.studies import optuna_strategy as optuna_strategy  # they register themselves
from graftgan.studies import strategies as strategies
from graftgan.studies.comparison import (
    Comparison,
    Job,
    Overrides,
    comparison_fingerprint,
    overridden,
    read_fingerprints,
)
from graftgan.studies.comparison_page import write_comparison_report
from graftgan.studies.comparison_results import ENDED, RESULTS, Results, gather, images_shown
from graftgan.studies.plan_search import STRATEGIES, Budget, PlanSearch, space_of
from graftgan.studies.search_page import write_search_report
from graftgan.studies.search_result import FOUND, SearchResult, gather_result, winner_toml
from graftgan.studies.trials import (
    PRUNED,
    Pause,
    Proposal,
    Trial,
    TrialStore,
    ask_to_confirm,
    is_spent,
    with_outcome,
)
from graftgan.training import Hardware, choose_hardware

WAITING, WINNER = "waiting", "winner.toml"
_EXTENDED = "extended_sha256"  # in comparison.json, until it is written again
# Precision ``auto`` is resolved by the machine; keeping pictures changes no result.
_MAY_DIFFER = {"training.precision", "scoring.keep_pictures"}
_FAILURES_IN_A_ROW = 3  # then all trials share the cause, such as a full disk
_POLL_SECONDS = 0.5

S = TypeVar("S", Comparison, PlanSearch)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[S]):
    """A kind of study, comparison or search, with the names of its files."""

    cls: type[S]
    what: str
    verb: str
    results: str
    may_change: str = ""

    @property
    def settings(self) -> str:
        return f"{self.what}.toml"

    def read(self, path: Path) -> S:
        file = path / self.settings
        if not file.is_file():
            raise RunError(f"{path} holds no {self.what}: there is no {self.settings}")
        return parse(self.cls, read_toml(file), where=str(file))

    def unchanged(self, path: Path) -> S:
        """Return the study in a folder; RunError: it was changed since it began."""
        study = self.read(path)
        written = {k: v for k, v in read_toml(path / self.settings).items() if k != "budget"}
        found = {study.sha256(), comparison_fingerprint(written)}
        if not read_fingerprints(path / self.results).know(found):
            raise RunError(
                f"{path / self.settings} was changed since the {self.what} began; put it back, or "
                f"start a new {self.what}{self.may_change}"
            )
        return study

    def is_in(self, destination: Path, study: S) -> bool:
        """Whether ``destination`` holds this study; RunError: it holds something else."""
        if not (destination / self.settings).is_file():
            try:
                refuse_full(destination)
                return False
            except RunError:
                if not (destination / self.settings).is_file():
                    raise  # else another process began it between the two checks
        if self.read(destination).sha256() != study.sha256():
            raise RunError(
                f"{destination} holds another {self.what}; choose another folder with --out, or "
                f"resume that one: graftgan {self.verb} --resume {destination}"
            )
        return True

    def begin(self, destination: Path, study: S, results: object, *folders: str) -> None:
        """Write the folder of a new study."""
        with new_folder(destination) as partial:
            for folder in folders:
                (partial / folder).mkdir()
            write_text(partial / self.settings, to_toml(study))
            write_json(partial / self.results, to_plain(results))


_COMPARISON = _Kind(Comparison, "comparison", "compare", RESULTS)
_SEARCH = _Kind(
    PlanSearch,
    "search",
    "search",
    FOUND,
    " (the budget alone may be changed, by --trials and its like)",
)


def job_state(folder: RunFolder) -> tuple[str, str]:
    """Return the state of a run and its message; ``waiting`` before it has a folder."""
    if not folder.experiment_file.is_file():
        return WAITING, ""
    try:
        card = folder.card()
    except RunError as error:
        return "failed", str(error)
    return card.state, card.message


def _do(
    experiment: Callable[[], Experiment], folder: RunFolder, device: str, observer: Observer
) -> str:
    """Start or resume a run; return what went wrong, or an empty string."""
    try:
        if folder.experiment_file.is_file():
            resume(folder.path, device=device, observer=observer)
        else:
            remove_partial(folder.path.parent, folder.path.name)
            run(experiment(), folder.path, device=device, observer=observer)
    except Exception as error:  # is recorded; the other runs continue
        return str(error) or type(error).__name__
    return ""


def _check(experiment: Experiment, hardware: Hardware, *, scores: bool = True) -> None:
    """Build a run without training it, to find mistakes before hours of work."""
    prepared = prepare(experiment, hardware, only_check=True)
    if scores:
        build_scorer(Path(os.devnull), prepared)  # measures the floor, which is cached


def _is_shared() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


class ComparisonObserver(Observer):
    """Shows progress while a comparison runs; this one shows nothing."""

    def run_starts(self, job: Job, *, number: int, count: int, seconds_left: float | None) -> None:
        """Show which run begins, and how long all remaining runs may take."""

    def run_ended(self, job: Job, *, state: str, message: str) -> None:
        """Show how a run ended."""


def run_comparison(
    comparison: Comparison,
    destination: Path,
    *,
    device: str = "auto",
    observer: ComparisonObserver | None = None,
) -> Results:
    """Run every variant with every seed; write results and page into ``destination``.

    That is a new or empty folder, or one of the same comparison, which is resumed.

    Raises:
        GraftganError: Something does not fit, and nothing is written.
    """
    comparison = comparison.located()
    if not _COMPARISON.is_in(destination, comparison):
        check_comparison(comparison, device=device)
        begun = Results(settings_sha256=comparison.sha256())
        _COMPARISON.begin(destination, comparison, begun, "runs")
    return resume_comparison(destination, device=device, observer=observer)


def resume_comparison(
    path: Path, *, device: str = "auto", observer: ComparisonObserver | None = None
) -> Results:
    """Resume a comparison: skip finished runs, resume interrupted ones, start the others.

    Raises:
        RunError: ``path`` holds no comparison, or its settings or runs were changed.
    """
    comparison = _COMPARISON.unchanged(path)
    with held(path):
        return _work(comparison, path, device, observer or ComparisonObserver())


def extend_comparison(
    path: Path,
    variants: Mapping[str, Overrides],
    seeds: tuple[int, ...] = (),
    *,
    device: str = "auto",
) -> Comparison:
    """Add variants and seeds to a comparison, and return it; ``resume_comparison`` then runs them.

    Variants are as ``variants_of`` returns them; every one, old and new, is run with every seed.

    Raises:
        GraftganError: Something is not new or does not fit, and nothing is changed.
    """
    with held(path):
        comparison = _COMPARISON.unchanged(path).extended(variants, seeds).located()
        if variants:
            check_comparison(replace(comparison, variants=dict(variants)), device=device)
        # After a kill between these writes, both comparisons count as unchanged.
        known = read_json(path / RESULTS, error=RunError)
        write_json(path / RESULTS, {**known, _EXTENDED: comparison.sha256()})
        write_text(path / _COMPARISON.settings, to_toml(comparison))
    return comparison


def check_comparison(comparison: Comparison, *, device: str = "auto") -> None:
    """Build every variant once; raise GraftganError if something is missing or does not fit."""
    if _is_shared():
        raise RunError("a comparison runs in one process; start it without torchrun")
    comparison.check()
    for position, job in enumerate(comparison.jobs()[: len(comparison.variants)]):
        hardware = choose_hardware(device, job.experiment.training.precision)
        try:
            _check(job.experiment, hardware, scores=position == 0)
        except GraftganError as error:
            raise type(error)(f"the variant '{job.variant}': {error}") from None


def read_comparison(path: Path) -> Comparison:
    """Return the comparison of a folder; raise RunError if it holds none."""
    return _COMPARISON.read(path)


def _work(comparison: Comparison, path: Path, device: str, observer: ComparisonObserver) -> Results:
    """Do the remaining runs; write the results after each."""
    jobs = comparison.jobs()
    folders = {job.name: RunFolder(path / "runs" / job.name) for job in jobs}
    for job in jobs:
        _refuse_foreign(job, folders[job.name])
    remove_partial(path)
    remove_partial(path / "runs")
    done = [name for name, folder in folders.items() if job_state(folder)[0] in ENDED]
    # Runs of this session are timed as a whole; earlier ones have their seconds in the loop.
    earlier, measured = [folders[name].card().seconds for name in done], list[float]()
    failures, results = dict[str, str](), None
    for number, job in enumerate(jobs, start=1):
        if job.name in done:
            continue
        known, left = measured or earlier, len(jobs) - len(done) - len(measured)
        seconds_left = left * sum(known) / len(known) if known else None
        observer.run_starts(job, number=number, count=len(jobs), seconds_left=seconds_left)
        begin, folder = time.perf_counter(), folders[job.name]
        failure = _do(lambda job=job: job.experiment, folder, device, observer)
        measured.append(time.perf_counter() - begin)
        state, message = job_state(folder)
        if failure and state not in ENDED:
            state, message = "failed", failure
            failures[job.name] = failure
        observer.run_ended(job, state=state, message=message)
        results = _write_results(comparison, path, failures)
        if state == RunState.INTERRUPTED or observer.stopped_by:
            break
    return results or _write_results(comparison, path, failures)


def _write_results(comparison: Comparison, path: Path, failures: dict[str, str]) -> Results:
    results = gather(comparison, path, failures)
    write_json(path / RESULTS, to_plain(results))
    write_comparison_report(path)
    return results


def _refuse_foreign(job: Job, folder: RunFolder) -> None:
    """Raise RunError if an existing folder holds a run with other settings."""
    if not folder.experiment_file.is_file():
        return
    found, asked = flat(to_plain(folder.experiment())), flat(to_plain(job.experiment))
    wrong = [
        f"{name} is {found.get(name)!r}, not {value!r}"
        for name, value in asked.items()
        if name not in _MAY_DIFFER and found.get(name) != value
    ]
    if wrong:
        raise RunError(
            f"{folder.path} is not the run this comparison asks for ({'; '.join(wrong)}); move it "
            "away"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The most that is left, for one process, estimated from the trials so far; None: unknown."""

    trials: int | None = None
    seconds: float | None = None
    images: int | None = None


class SearchObserver(Observer):
    """Shows progress while a search runs; this one shows nothing."""

    judge: Callable[[int, float], str] | None = None  # set by the search

    def scored(self, iteration: int, value: float) -> str:
        """Ask the search whether the trial should end here."""
        return "" if self.judge is None else self.judge(iteration, value)

    def trial_starts(self, trial: Trial, forecast: Forecast) -> None:
        """Show which trial begins, and the cost of all remaining trials, itself included."""

    def trial_ended(self, trial: Trial, value: float | None) -> None:
        """Show how a trial ended, and its score."""

    def waits(self) -> None:
        """Show that the search waits for trials of other processes."""


def run_search(
    search: PlanSearch,
    destination: Path,
    *,
    device: str = "auto",
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Search for the best plan; write trials, results, page and winner into ``destination``.

    That is a new or empty folder, or one of the same search, which is resumed.

    Raises:
        GraftganError: Something does not fit (nothing is written), or three trials in a row failed.
    """
    search = search.located()
    if not _SEARCH.is_in(destination, search):
        check_search(search, device=device)
        begun = SearchResult(settings_sha256=search.sha256())
        try:
            _SEARCH.begin(destination, search, begun, "runs", "trials")
        except RunError:  # also where another process was quicker: it may be the same search
            if not _SEARCH.is_in(destination, search):
                raise
    return resume_search(destination, budget=search.budget, device=device, observer=observer)


def resume_search(
    path: Path,
    *,
    budget: Budget | None = None,
    device: str = "auto",
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Resume a search, or join another process in it; no trial is run twice.

    Interrupted trials are resumed and failed ones run again before new ones begin. ``budget`` is a
    new limit for all trials together; None: as before.

    Raises:
        RunError: ``path`` holds no unchanged search, or three trials in a row failed.
    """
    search = _SEARCH.unchanged(path)
    if budget is not None and budget != search.budget:
        search = replace(search, budget=budget)
        with TrialStore(path).locked():
            write_text(path / _SEARCH.settings, to_toml(search))
    return _Worker(search, path, device, observer or SearchObserver()).work()


def check_search(search: PlanSearch, *, device: str = "auto") -> list[Proposal]:
    """Check everything before a trial; return the proposals that depend on no score.

    Raises:
        GraftganError: Something is missing or does not fit.
    """
    if _is_shared():
        raise RunError(
            "a trial runs in one process; start it without torchrun. Several processes can share "
            "a search: graftgan search --resume FOLDER in each"
        )
    search.check()
    strategy = STRATEGIES[search.strategy](search, space_of(search), Path(os.devnull))
    strategy.check()
    known = strategy.known()
    first = overridden(search.base, known[0].overrides if known else {})
    _check(first, choose_hardware(device, first.training.precision))
    return known


class _Worker:
    """One of the processes that work on a search."""

    def __init__(
        self, search: PlanSearch, path: Path, device: str, observer: SearchObserver
    ) -> None:
        self._search, self._path, self._device, self._observer = search, path, device, observer
        self._space = space_of(search)
        self._strategy = STRATEGIES[search.strategy](search, self._space, path)
        self._strategy.check()
        self._store = TrialStore(path)

    def work(self) -> SearchResult:
        """Run trials until none are left, one is interrupted, or too many fail."""
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
            with self._store.locked():
                claim = self._store.claim(self._ask)
            if claim is Pause.DONE:
                return self._write(complete=True)
            if isinstance(claim, Pause):
                self._observer.waits()
                time.sleep(_POLL_SECONDS)
                continue
            ended = self._run(*claim)
            if ended.is_open or self._observer.stopped_by:
                return self._write(complete=False)
            failures = failures + 1 if ended.has_failed else 0
            if failures == _FAILURES_IN_A_ROW:
                raise RunError(
                    f"{failures} trials in a row failed, the last with: {ended.message}; when that "
                    f"is fixed, resume with graftgan search --resume {self._path}"
                )

    def _ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Ask the strategy within the budget, then for reruns."""
        asked: Proposal | Pause = Pause.DONE
        if not is_spent(self._search.budget, trials):
            asked = self._strategy.ask(trials)
        return ask_to_confirm(self._search, trials) if asked is Pause.DONE else asked

    def _run(self, trial: Trial, lock: FileLock) -> Trial:
        """Run or resume a trial, and record how it ended; it is still open if interrupted."""

        def judge(iteration: int, value: float) -> str:
            if trial.stage == "confirm":
                return ""
            return self._strategy.scored(trial, iteration, self._search.cost(value))

        try:
            self._observer.trial_starts(trial, self._forecast())
            self._observer.judge = judge
            folder, failure = RunFolder(self._path / "runs" / trial.name), ""
            begin = time.perf_counter()
            if job_state(folder)[0] not in ENDED | {PRUNED}:  # else killed before its record
                base, changes = self._search.base, trial.overrides
                failure = _do(
                    lambda: overridden(base, changes), folder, self._device, self._observer
                )
            ended = replace(trial, wall=trial.wall + time.perf_counter() - begin)
            state = folder.card().state if folder.card_file.is_file() else ""
            if state != RunState.INTERRUPTED or failure:
                ended = with_outcome(ended, self._search, folder, failure=failure)
            with self._store.locked():
                self._store.write(ended)
                if not ended.is_open:
                    self._strategy.tell(ended)
            if not ended.is_open:
                value = None if ended.cost is None else self._search.cost(ended.cost)
                self._observer.trial_ended(ended, value)
                self._write(complete=False)
            return ended
        finally:
            lock.release()

    def _forecast(self) -> Forecast:
        """Return what is left, with the trial that begins."""
        trials, budget, base = self._store.trials(), self._search.budget, self._search.base
        ended = [trial for trial in trials if not trial.is_open]
        seconds = sum(trial.wall for trial in ended) / len(ended) if ended else None
        images = images_shown(base, base.training.iterations)
        if ended:
            images = sum(trial.images for trial in ended) // len(ended)
        limits = [self._strategy.most(), budget.trials]
        if budget.seconds is not None and seconds:
            limits.append(-int(-budget.seconds // seconds))
        if budget.images is not None and images:
            limits.append(-(-budget.images // images))
        known = [limit for limit in limits if limit is not None]
        if not known:
            return Forecast()
        again = self._search.confirm_seeds * self._search.confirm_top
        done = sum(trial.stage == "search" for trial in ended)
        left = max(min(known) - done, 0) + max(again - (len(ended) - done), 0)
        return Forecast(
            trials=left, seconds=None if seconds is None else left * seconds, images=left * images
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
            else:  # there may have been one before the reruns
                (self._path / WINNER).unlink(missing_ok=True)
            write_search_report(self._path)
        return result
