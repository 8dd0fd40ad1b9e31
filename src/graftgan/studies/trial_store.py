"""Who does which trial: several processes may share a search, and any may be killed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from graftgan.core.files import remove_partial
from graftgan.core.locks import FileLock
from graftgan.studies.plan_search import Budget
from graftgan.studies.strategy import Pause
from graftgan.studies.trials import FAILED, OPEN, Proposal, Trial, read_trials, write_trial

Ask = Callable[[Sequence[Trial]], Proposal | Pause]


class TrialStore:
    """Hands out trials.

    Each has a record and a lock. A record that is open while nobody holds its lock belongs to a
    process that was stopped or killed: the next process resumes it.
    """

    def __init__(self, path: Path) -> None:
        self._trials = path / "trials"
        self._path = path

    def locked(self) -> FileLock:
        """Return the lock of the whole search, to be held for moments only."""
        return FileLock(self._path / "search.lock")

    def trials(self) -> list[Trial]:
        """Return every trial."""
        return read_trials(self._trials)

    def claim(self, ask: Ask) -> tuple[Trial, FileLock] | Pause:
        """Return a trial that was left, or the next one; its lock is held. Needs the search's lock.

        Raises:
            GraftganError: The strategy, or a record, is broken.
        """
        trials = self.trials()
        for trial in trials:
            lock = self._lock_of(trial)
            if trial.is_open and lock.acquire(wait=False):
                return trial, lock
        asked = ask(trials)
        if isinstance(asked, Pause):
            return asked
        trial = Trial(
            number=len(trials),
            overrides=asked.overrides,
            why=asked.why,
            reference=asked.reference,
            stage=asked.stage,
            of=asked.of,
        )
        lock = self._lock_of(trial)
        lock.acquire(wait=True)
        self.write(trial)
        return trial, lock

    def write(self, trial: Trial) -> None:
        """Write a record."""
        write_trial(self._trials, trial)

    def reopen_failed(self) -> None:
        """Let trials that failed be tried again. Needs the search's lock."""
        for trial in self.trials():
            if trial.state == FAILED:
                self.write(replace(trial, state=OPEN, message=""))

    def tidy(self) -> None:
        """Remove what killed writers left. Needs the search's lock."""
        remove_partial(self._path)
        remove_partial(self._trials)

    def _lock_of(self, trial: Trial) -> FileLock:
        return FileLock(self._trials / f"{trial.name}.lock")


def spent(trials: Sequence[Trial]) -> Budget:
    """Return what the trials of the search have cost; those under way count as begun."""
    own = [trial for trial in trials if trial.stage == "search"]
    return Budget(
        trials=len(own) or None,
        seconds=sum(trial.wall for trial in own) or None,
        images=sum(trial.images for trial in own) or None,
    )


def is_spent(budget: Budget, trials: Sequence[Trial]) -> bool:
    """Return whether no further trial may begin."""
    so_far = spent(trials)
    pairs = (
        (budget.trials, so_far.trials),
        (budget.seconds, so_far.seconds),
        (budget.images, so_far.images),
    )
    return any(limit is not None and (done or 0) >= limit for limit, done in pairs)
