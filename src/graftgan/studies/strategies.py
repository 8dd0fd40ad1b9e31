"""How a search decides what to try: one small interface, strategies by name."""

import random
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from graftgan.core.errors import SettingsError
from graftgan.studies.plan_search import STRATEGIES, PlanSearch, Space
from graftgan.studies.trials import Pause, Proposal, Trial, finished_costs
from graftgan.transfer import Split

MOST_UNASKED = 200  # trials that are run without a budget that says so
Splits = Mapping[str, Split]
"""(i,j,k) of each searched network."""


class Strategy:
    """Decides what to try next from the trials so far.

    Everything it needs to remember is in the trials or in ``folder``, so that it can be made anew
    after a kill, or in a second process that shares the search. All methods but ``scored`` are
    called while the search is locked: by one process at a time.
    """

    def __init__(self, search: PlanSearch, space: Space, folder: Path) -> None:
        self.search, self.space, self.folder = search, space, folder

    def check(self) -> None:
        """Raise SettingsError, before anything is written, if the settings do not suit it."""

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


@STRATEGIES.register("grid")
class Grid(Strategy):
    """Try every ``D(i,j,k) G(i,j,k)``, in an order that covers the grid evenly.

    The order is a shuffle by the seed of the base, so that a search that ends early has seen a
    fair part of the whole.
    """

    def check(self) -> None:
        """Refuse a grid that no one would wait for, unless a budget caps it."""
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


@STRATEGIES.register("gradual")
class Gradual(Strategy):
    """Start with everything frozen but the abstract ends, and release layers while that helps.

    1. The first plan fine-tunes one layer of each searched network, its most abstract one (the
       generator's input layer, the discriminator's output layer), and freezes all others:
       ``D(n-1,0,1) G(n-1,0,1)``.
    2. *Release.* Try each network with one more layer fine-tuned: the frozen one next to the tuned
       ones. Keep the better of the two if its score is better than the plan so far, and repeat.
       Stop when neither is better.
    3. *Modulate.* From there, try each network with its innermost frozen layer under AdaFM
       instead, in the same way, and stop when that does not help either. Left out if ``adafm`` is
       not among the actions.

    Frozen layers stay on the picture's side throughout, so every plan is a ``D(i,j,k) G(i,j,k)``.
    It is greedy: it takes one path, a step that would help only together with the next is not
    found, and every step is believed by the score of a single run.
    """

    def check(self) -> None:
        """Refuse a space without the two actions that it cannot do without."""
        missing = {"freeze", "fine_tune"} - set(self.search.actions)
        if missing:
            raise SettingsError(
                f"the gradual strategy needs the action {' and '.join(sorted(missing))}"
            )

    def known(self) -> list[Proposal]:
        """Return the first plan and those of the first round."""
        first = self._first()
        steps = [(first, "the start"), *self._steps(first, "release")]
        return [Proposal(overrides={"plan": self.space.plan(s)}, why=why) for s, why in steps]

    def most(self) -> int:
        """Return the trials of the longest path: one layer released in each round."""
        frozen = sum(split.freeze or 0 for split in self._first().values())
        return 1 + len(self.space.searched) * (frozen + 1)

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Walk the path again by the scores that are known; return the first step without one."""
        costs = finished_costs(trials)
        under_way = {str(trial.overrides["plan"]) for trial in trials if trial.is_open}
        here = self._first()
        pause = self._missing([(here, "the start")], costs, under_way)
        if pause is not None:
            return pause
        for word in ("release", "modulate"):
            while word == "release" or "adafm" in self.search.actions:
                steps = self._steps(here, word)
                pause = self._missing(steps, costs, under_way)
                if pause is not None:
                    return pause
                plans = {self.space.plan(step): step for step, _ in steps}
                best = min(plans, key=lambda plan: costs[plan], default=None)
                if best is None or costs[best] >= costs[self.space.plan(here)]:
                    break
                here = plans[best]
        return Pause.DONE

    def _missing(
        self, steps: Sequence[tuple[Splits, str]], costs: Mapping[str, float], under_way: set[str]
    ) -> Proposal | Pause | None:
        """Return a step without a score, or that one is under way; None: all are known."""
        plans = {self.space.plan(step): why for step, why in steps}
        unknown = {plan: why for plan, why in plans.items() if plan not in costs}
        for plan, why in unknown.items():
            if plan not in under_way:
                return Proposal(overrides={"plan": plan}, why=why)
        return Pause.WAIT if unknown else None

    def _first(self) -> Splits:
        return {role: Split(self.space.depth(role) - 1, 0, 1) for role in self.space.searched}

    def _steps(self, here: Splits, word: str) -> list[tuple[Splits, str]]:
        """Return the plans with one more layer released, or modulated, in either network."""
        steps: list[tuple[Splits, str]] = []
        for role, split in here.items():
            freeze, modulate, tune = (n or 0 for n in (split.freeze, split.modulate, split.tune))
            if freeze:
                released = Split(freeze - 1, modulate, tune + 1)
                moved = released if word == "release" else Split(freeze - 1, modulate + 1, tune)
                layers = list(self.space.layers[role])
                inward = freeze - 1 if role == "discriminator" else len(layers) - freeze
                steps.append(({**here, role: moved}, f"{word} {role[0].upper()} {layers[inward]}"))
        return steps
