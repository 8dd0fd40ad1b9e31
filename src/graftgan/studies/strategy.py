"""How a search decides what to try: one small interface, strategies by name."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from graftgan.studies.plan_search import PlanSearch
from graftgan.studies.search_space import Space
from graftgan.studies.trials import Proposal, Trial


class Pause(Enum):
    """Why a strategy has nothing to try."""

    WAIT = "trials under way must end first"
    DONE = "there is nothing left to try"


class Strategy:
    """Decides what to try next from the trials so far.

    Everything it needs to remember is in the trials or in ``folder``, so that it can be made anew
    after a kill, or in a second process that shares the search. All methods but ``scored`` are
    called while the search is locked: by one process at a time.
    """

    def __init__(self, search: PlanSearch, space: Space, folder: Path) -> None:
        self.search, self.space, self.folder = search, space, folder

    def check(self) -> None:
        """Check before anything is written that the settings suit this strategy.

        Raises:
            SettingsError: They do not.
        """

    def begin(self, trials: Sequence[Trial]) -> None:
        """Prepare for this session."""

    def end(self) -> None:
        """Give back what this session took."""

    def known(self) -> list[Proposal]:
        """Return what is known to be tried before any score is there, for a dry run."""
        return []

    def most(self) -> int | None:
        """Return the largest number of trials that it asks for; None: as many as it may."""
        return None

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Return what to try next."""
        del trials
        return Pause.DONE

    def tell(self, trial: Trial) -> None:
        """Take note of a trial that has ended."""

    def scored(self, trial: Trial, iteration: int, cost: float) -> str:
        """Take note of a score under way; return why the trial should end here, or nothing."""
        del trial, iteration, cost
        return ""

    def importances(self) -> Mapping[str, float]:
        """Return how much each choice matters, where the strategy can tell; shares of 1."""
        return {}
