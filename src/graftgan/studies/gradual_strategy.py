"""The papers' own way: release one layer at a time, and watch the score."""

from collections.abc import Iterator, Mapping, Sequence

from graftgan.core.errors import SettingsError
from graftgan.studies.plan_search import STRATEGIES
from graftgan.studies.strategy import Pause, Strategy
from graftgan.studies.trials import Proposal, Trial, finished_costs
from graftgan.transfer import Split

Splits = Mapping[str, Split]
"""(i,j,k) of each searched network."""


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
        """Refuse a space without the two actions that it cannot do without.

        Raises:
            SettingsError: ``freeze`` or ``fine_tune`` is missing.
        """
        missing = {"freeze", "fine_tune"} - set(self.search.actions)
        if missing:
            raise SettingsError(
                f"the gradual strategy needs the action {' and '.join(sorted(missing))}"
            )

    def known(self) -> list[Proposal]:
        """Return the first plan and those of the first round."""
        first = self._first()
        return [self._proposal(*step) for step in [(first, "the start"), *self._released(first)]]

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
        for moves in (self._released, self._modulated):
            while True:
                steps = list(moves(here))
                pause = self._missing(steps, costs, under_way)
                if pause is not None:
                    return pause
                best = min(
                    (step for step, _ in steps),
                    key=lambda s: costs[self.space.plan(s)],
                    default=here,
                )
                if costs[self.space.plan(best)] >= costs[self.space.plan(here)]:
                    break
                here = best
        return Pause.DONE

    def _missing(
        self,
        steps: Sequence[tuple[Splits, str]],
        costs: Mapping[str, float],
        under_way: set[str],
    ) -> Proposal | Pause | None:
        """Return a step without a score, or that one is under way; None: all are known."""
        unknown = [(step, why) for step, why in steps if self.space.plan(step) not in costs]
        for step, why in unknown:
            if self.space.plan(step) not in under_way:
                return self._proposal(step, why)
        return Pause.WAIT if unknown else None

    def _first(self) -> dict[str, Split]:
        return {role: Split(self.space.depth(role) - 1, 0, 1) for role in self.space.searched}

    def _released(self, here: Splits) -> Iterator[tuple[dict[str, Split], str]]:
        yield from self._moved(here, modulated=0, tuned=1, word="release")

    def _modulated(self, here: Splits) -> Iterator[tuple[dict[str, Split], str]]:
        if "adafm" in self.search.actions:
            yield from self._moved(here, modulated=1, tuned=0, word="modulate")

    def _moved(
        self, here: Splits, *, modulated: int, tuned: int, word: str
    ) -> Iterator[tuple[dict[str, Split], str]]:
        for role, split in here.items():
            freeze, modulate, tune = (n or 0 for n in (split.freeze, split.modulate, split.tune))
            if freeze:
                moved = Split(freeze - 1, modulate + modulated, tune + tuned)
                layers = list(self.space.layers[role])
                inward = freeze - 1 if role == "discriminator" else len(layers) - freeze
                yield {**here, role: moved}, f"{word} {role[0].upper()} {layers[inward]}"

    def _proposal(self, splits: Splits, why: str) -> Proposal:
        return Proposal(overrides={"plan": self.space.plan(splits)}, why=why)
