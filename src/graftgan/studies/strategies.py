"""Search strategies by name: what to try next."""

import random
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from graftgan.core.errors import SettingsError
from graftgan.studies.plan_search import STRATEGIES, PlanSearch, Space
from graftgan.studies.trials import Pause, Proposal, Trial, finished_costs
from graftgan.transfer import Split

MOST_UNASKED = 200  # trials that are run without a budget
Splits = Mapping[str, Split]
"""(i,j,k) of each searched network."""


class Strategy:
    """Decides what to try next from the trials so far.

    Its whole state is in the trials or in ``folder``, so that it can be created again after a kill
    or in another process that shares the search. All methods but ``scored`` are called under the
    lock of the search.
    """

    def __init__(self, search: PlanSearch, space: Space, folder: Path) -> None:
        self.search, self.space, self.folder = search, space, folder

    def check(self) -> None:
        """Raise SettingsError if the settings do not suit it, before anything is written."""

    def begin(self, trials: Sequence[Trial]) -> None:
        """Begin a session."""

    def end(self) -> None:
        """Release the resources of the session."""

    def known(self) -> list[Proposal]:
        """Return the proposals that depend on no score, for a dry run."""
        return []

    def most(self) -> int | None:
        """Return the largest number of trials that it asks for; None: there is no limit."""
        return None

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Return what to try next."""
        del trials
        return Pause.DONE

    def tell(self, trial: Trial) -> None:
        """Take a trial that has ended."""

    def scored(self, trial: Trial, iteration: int, cost: float) -> str:
        """Take a score of a running trial; return why it should end here, or an empty string."""
        del trial, iteration, cost
        return ""

    def importances(self) -> Mapping[str, float]:
        """Return the importance of each choice, as shares of 1; empty: not known."""
        return {}


@STRATEGIES.register("grid")
class Grid(Strategy):
    """Try every ``D(i,j,k) G(i,j,k)``, shuffled by the seed of the base.

    So a search that ends early has tried a fair sample of the grid.
    """

    def check(self) -> None:
        """Refuse actions that do not fit, and a large grid without a budget."""
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
        """Return all plans, in the order in which they are tried."""
        roles = self.space.searched
        splits = [self.space.splits(role, step=self.search.step) for role in roles]
        plans = [
            self.space.plan(dict(zip(roles, part, strict=True)), ending)
            for part in product(*splits)
            for ending in self.space.endings
        ]
        random.Random(self.search.base.seed).shuffle(plans)
        return [Proposal(overrides={"plan": plan}, why="grid") for plan in plans]

    def most(self) -> int:
        """Return the number of plans."""
        return len(self.known())

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Return the first plan that has no trial."""
        begun = {trial.overrides["plan"] for trial in trials}
        left = (p for p in self.known() if p.overrides["plan"] not in begun)
        return next(left, Pause.DONE)


@STRATEGIES.register("gradual")
class Gradual(Strategy):
    """Start with all layers frozen but the most abstract ones, and release more while that helps.

    1. The first plan fine-tunes the most abstract layer of each searched network (the generator's
       input layer, the discriminator's output layer) and freezes all others:
       ``D(n-1,0,1) G(n-1,0,1)``.
    2. *Release.* For each network, try fine-tuning one more layer: the frozen one next to the
       fine-tuned ones. Keep the better of the two if it improves the score, and repeat.
    3. *Modulate.* In the same way, try AdaFM on the innermost frozen layer. This step is left out
       if ``adafm`` is not among the actions.

    Frozen layers stay on the picture's side, so every plan is a ``D(i,j,k) G(i,j,k)``. The search
    is greedy: it misses a step that helps only together with the next, and each decision relies on
    the score of a single run.
    """

    def check(self) -> None:
        """Refuse a space without the two actions that it needs, and steps to choose from."""
        if self.search.then:
            raise SettingsError(
                "the gradual strategy chooses no steps; give one schedule as --plan, or take "
                "--strategy grid or optuna with --then"
            )
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
        """Return the number of trials on the longest path: one layer released in each round."""
        frozen = sum(split.freeze or 0 for split in self._first().values())
        return 1 + len(self.space.searched) * (frozen + 1)

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Follow the path by the known scores; return the first step without a score."""
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
        """Return a step without a score, or WAIT if all such steps run; None: all are scored."""
        plans = {self.space.plan(step): why for step, why in steps}
        unknown = {plan: why for plan, why in plans.items() if plan not in costs}
        for plan, why in unknown.items():
            if plan not in under_way:
                return Proposal(overrides={"plan": plan}, why=why)
        return Pause.WAIT if unknown else None

    def _first(self) -> Splits:
        layers = self.space.layers
        return {role: Split(len(layers[role]) - 1, 0, 1) for role in self.space.searched}

    def _steps(self, here: Splits, word: str) -> list[tuple[Splits, str]]:
        """Return the plans with one more layer released or modulated, in each network."""
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
