"""Run what is not done yet of a comparison, one run after the other."""

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from graftgan.core.errors import GraftganError, RunError
from graftgan.core.files import read_json, remove_partial, write_json, write_text
from graftgan.core.locks import held
from graftgan.core.settings import parse, read_toml, to_plain, to_toml
from graftgan.experiments.run_card import RunState
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.build import prepare
from graftgan.runs.run import new_folder, refuse_full, resume, run
from graftgan.runs.scorer import build_scorer
from graftgan.runs.session import Observer
from graftgan.studies.comparison import (
    Comparison,
    Job,
    Overrides,
    comparison_fingerprint,
    flat,
    read_fingerprints,
)
from graftgan.studies.comparison_page import write_comparison_report
from graftgan.studies.comparison_results import ENDED, RESULTS, Results, gather
from graftgan.training import choose_hardware

SETTINGS = "comparison.toml"
WAITING = "waiting"
_EXTENDED = "extended_sha256"  # in comparison.json, until it is written again
# The precision auto becomes what the machine computes in; the other changes no result.
_MAY_DIFFER = {"training.precision", "scoring.keep_pictures"}


class ComparisonObserver(Observer):
    """What a person sees while a comparison runs. This one shows nothing."""

    def run_starts(self, job: Job, *, number: int, count: int, seconds_left: float | None) -> None:
        """Show which run begins, and how long all that are left may take."""

    def run_ended(self, job: Job, *, state: str, message: str) -> None:
        """Show how a run ended."""


def run_comparison(
    comparison: Comparison,
    destination: Path,
    *,
    device: str = "auto",
    observer: ComparisonObserver | None = None,
) -> Results:
    """Run every variant with every seed; write table and page into ``destination``.

    A folder that already holds this very comparison is gone on with; finished runs stay.

    Args:
        comparison: What to run.
        destination: A new or empty folder, or that of this comparison.
        device: auto, cpu, cuda, cuda:N or mps.
        observer: Shows what happens.

    Raises:
        GraftganError: Something does not fit, and nothing is written. What goes wrong in one of
            the runs is recorded, and the others go on.
    """
    comparison = comparison.located()
    if (destination / SETTINGS).is_file():
        if read_comparison(destination) != comparison:
            raise RunError(
                f"{destination} holds another comparison; choose another folder with --out, or go "
                f"on with that one: graftgan compare --resume {destination}"
            )
        return resume_comparison(destination, device=device, observer=observer)
    refuse_full(destination)
    check_comparison(comparison, device=device)
    with new_folder(destination) as partial:
        (partial / "runs").mkdir()
        write_text(partial / SETTINGS, to_toml(comparison))
        write_json(partial / RESULTS, to_plain(Results(settings_sha256=comparison.sha256())))
    return _work(comparison, destination, device, observer or ComparisonObserver())


def resume_comparison(
    path: Path, *, device: str = "auto", observer: ComparisonObserver | None = None
) -> Results:
    """Go on with a comparison: skip what is done, go on with what was interrupted, run the rest.

    Raises:
        RunError: ``path`` holds no comparison, or its settings or runs are not those it began with.
    """
    comparison = _unchanged(path)
    return _work(comparison, path, device, observer or ComparisonObserver())


def extend_comparison(
    path: Path,
    variants: Mapping[str, Overrides],
    seeds: tuple[int, ...] = (),
    *,
    device: str = "auto",
) -> Comparison:
    """Add variants and seeds to a comparison; ``resume_comparison`` then runs what they add.

    Args:
        path: Its folder.
        variants: As ``variants_of`` returns them.
        seeds: With which every variant, old and new, is run too.
        device: Where the new variants are checked.

    Returns:
        The comparison as it now is.

    Raises:
        GraftganError: Something is there already or does not fit, and nothing is changed.
    """
    with held(path):
        before = _unchanged(path)
        comparison = before.extended(variants, seeds).located()
        if variants:
            check_comparison(replace(comparison, variants=dict(variants)), device=device)
        # A kill may leave the first of these writes: either comparison then counts as unchanged.
        known = read_json(path / RESULTS, error=RunError)
        write_json(path / RESULTS, {**known, _EXTENDED: comparison.sha256()})
        write_text(path / SETTINGS, to_toml(comparison))
    return comparison


def check_comparison(comparison: Comparison, *, device: str = "auto") -> None:
    """Build every variant once and draw nothing, so that a mistake is found before hours of work.

    Raises:
        GraftganError: Something is missing or does not fit.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError("a comparison runs in one process; start it without torchrun")
    comparison.check()
    for position, job in enumerate(comparison.jobs()[: len(comparison.variants)]):
        hardware = choose_hardware(device, job.experiment.training.precision)
        with _naming(job.variant):
            prepared = prepare(job.experiment, hardware, only_check=True)
            if position == 0:
                build_scorer(Path(os.devnull), prepared)  # measures the floor, which is kept


def job_state(folder: RunFolder) -> tuple[str, str]:
    """Return how a run stands, and its message; ``waiting`` before it has a folder."""
    if not folder.experiment_file.is_file():
        return WAITING, ""
    try:
        card = folder.card()
    except RunError as error:
        return "failed", str(error)
    return card.state, card.message


def read_comparison(path: Path) -> Comparison:
    """Return the comparison of a folder.

    Raises:
        RunError: ``path`` holds none.
    """
    file = path / SETTINGS
    if not file.is_file():
        raise RunError(f"{path} holds no comparison: there is no {SETTINGS}")
    return parse(Comparison, read_toml(file), where=str(file))


def _unchanged(path: Path) -> Comparison:
    """Return the comparison of a folder, as it began or as it was extended.

    Raises:
        RunError: ``path`` holds none, or its settings are others.
    """
    comparison = read_comparison(path)
    found = {comparison.sha256(), comparison_fingerprint(read_toml(path / SETTINGS))}
    if not read_fingerprints(path / RESULTS).know(found):
        raise RunError(
            f"{path / SETTINGS} was changed since the comparison began; put it back, or start a "
            "new comparison"
        )
    return comparison


def _work(comparison: Comparison, path: Path, device: str, observer: ComparisonObserver) -> Results:
    """Do every run that is not done; write the results after each."""
    with held(path):
        return _work_alone(comparison, path, device, observer)


def _work_alone(
    comparison: Comparison, path: Path, device: str, observer: ComparisonObserver
) -> Results:
    jobs, runs = comparison.jobs(), path / "runs"
    for job in jobs:
        _refuse_foreign(job, RunFolder(runs / job.name))
    remove_partial(path)
    remove_partial(runs)
    failures: dict[str, str] = {}
    results: Results | None = None
    clock = _Clock(
        len(jobs), [_seconds(RunFolder(runs / job.name)) for job in jobs if _is_done(runs, job)]
    )
    for number, job in enumerate(jobs, start=1):
        folder = RunFolder(runs / job.name)
        if _is_done(runs, job):
            continue
        observer.run_starts(job, number=number, count=len(jobs), seconds_left=clock.left())
        with clock.measuring():
            failure = _run(job, folder, device, observer)
        state, message = job_state(folder)
        if failure and state not in ENDED:
            state, message = "failed", failure
            failures[job.name] = failure
        observer.run_ended(job, state=state, message=message)
        results = _write(comparison, path, failures)
        if state == RunState.INTERRUPTED or observer.stopped_by:
            break
    return results or _write(comparison, path, failures)


def _run(job: Job, folder: RunFolder, device: str, observer: Observer) -> str:
    """Start the run or go on with it; return what went wrong, or nothing."""
    try:
        if job_state(folder)[0] == WAITING:
            run(job.experiment, folder.path, device=device, observer=observer)
        else:
            resume(folder.path, device=device, observer=observer)
    except Exception as error:  # recorded: one run must not cost the others
        return str(error) or type(error).__name__
    return ""


def _write(comparison: Comparison, path: Path, failures: dict[str, str]) -> Results:
    results = gather(comparison, path, failures)
    write_json(path / RESULTS, to_plain(results))
    write_comparison_report(path)
    return results


def _is_done(runs: Path, job: Job) -> bool:
    return job_state(RunFolder(runs / job.name))[0] in ENDED


def _refuse_foreign(job: Job, folder: RunFolder) -> None:
    """Check that a folder that is there holds the run that the comparison asks for.

    Raises:
        RunError: It is another one.
    """
    if not folder.experiment_file.is_file():
        return
    found = flat(to_plain(folder.experiment()))
    asked = flat(to_plain(job.experiment))
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


def _seconds(folder: RunFolder) -> float:
    return folder.card().seconds


@contextmanager
def _naming(variant: str) -> Generator[None]:
    """Say in a message which variant it is about."""
    try:
        yield
    except GraftganError as error:
        raise type(error)(f"the variant '{variant}': {error}") from None


class _Clock:
    """Estimates the time left from the runs that are done.

    Those of this session are measured whole; of earlier ones the seconds in the loop are known.
    """

    def __init__(self, count: int, earlier: list[float]) -> None:
        self._left, self._earlier = count - len(earlier), earlier
        self._measured: list[float] = []

    def left(self) -> float | None:
        """Return the seconds left, the run about to begin included; None: nothing to go by."""
        known = self._measured or self._earlier
        return self._left * sum(known) / len(known) if known else None

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Measure a run."""
        begin = time.perf_counter()
        yield
        self._measured.append(time.perf_counter() - begin)
        self._left -= 1
