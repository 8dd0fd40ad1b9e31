"""Every (i,j,k) of both networks."""

import random
from collections.abc import Sequence
from itertools import product

from graftgan.core.errors import SettingsError
from graftgan.studies.plan_search import STRATEGIES
from graftgan.studies.strategy import Pause, Strategy
from graftgan.studies.trials import Proposal, Trial

MOST_UNASKED = 200  # trials that are run without a budget that says so


@STRATEGIES.register("grid")
class Grid(Strategy):
    """Try every ``D(i,j,k) G(i,j,k)``, in an order that covers the grid evenly.

    The order is a shuffle by the seed of the base, so that a search that ends early has seen a
    fair part of the whole.
    """

    def check(self) -> None:
        """Refuse a grid that no one would wait for, unless a budget caps it.

        Raises:
            SettingsError: There are too many plans, or none.
        """
        foreign = set(self.search.actions) - {"freeze", "adafm", "fine_tune"}
        if foreign:
            raise SettingsError(
                f"(i,j,k) has no place for {', '.join(sorted(foreign))}; leave it out of "
                "--actions, or take --strategy optuna"
            )
        count = self.most()
        if not count:
            raise SettingsError("no plan has something to train; allow adafm or fine_tune")
        if count > MOST_UNASKED and self.search.budget.unlimited:
            raise SettingsError(
                f"the grid has {count} plans; say how many to try (--trials 100), search one "
                "network (--networks generator), cut coarser (--grid-step 2), or take --strategy "
                "gradual or optuna"
            )

    def known(self) -> list[Proposal]:
        """Return all of them, in the order in which they are tried."""
        roles = self.space.searched
        splits = [self.space.splits(role, step=self.search.step) for role in roles]
        plans = [self.space.plan(dict(zip(roles, part, strict=True))) for part in product(*splits)]
        random.Random(self.search.base.seed).shuffle(plans)
        return [Proposal(overrides={"plan": plan}, why="grid") for plan in plans]

    def most(self) -> int:
        """Return how many there are."""
        return len(self.known())

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Return the first that has no trial."""
        begun = {trial.overrides["plan"] for trial in trials}
        left = (p for p in self.known() if p.overrides["plan"] not in begun)
        return next(left, Pause.DONE)
