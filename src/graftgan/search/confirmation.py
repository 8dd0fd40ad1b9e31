"""Run the best trials again with other seeds: the best of many noisy scores is a lucky one."""

from collections.abc import Sequence

from graftgan.search.plan_search import PlanSearch
from graftgan.search.standing import Standing, standings
from graftgan.search.strategy import Pause
from graftgan.search.trials import Proposal, Trial, ranked


def ask_to_confirm(search: PlanSearch, trials: Sequence[Trial]) -> Proposal | Pause:
    """Return the next run of a confirmation; all candidates with the first seed come first."""
    if any(trial.is_open and trial.stage == "search" for trial in trials):
        return Pause.WAIT  # its score may change which are the best
    begun = {(t.of, t.overrides["seed"]) for t in trials if t.stage == "confirm"}
    for seed in new_seeds(search):
        for trial in candidates(search, trials):
            if (trial.number, seed) not in begun:
                return Proposal(
                    overrides={**trial.overrides, "seed": seed},
                    why=f"trial {trial.number} with seed {seed}",
                    stage="confirm",
                    of=trial.number,
                )
    return Pause.WAIT if any(trial.is_open for trial in trials) else Pause.DONE


def new_seeds(search: PlanSearch) -> range:
    """Return the seeds of the confirmation; the trials were chosen by another."""
    first = search.base.seed + 1
    return range(first, first + search.confirm_seeds)


def candidates(search: PlanSearch, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are, or would be, run again."""
    return ranked(trials)[: search.confirm_top] if search.confirm_seeds else []


def confirmed(search: PlanSearch, trials: Sequence[Trial]) -> list[tuple[int, Standing]]:
    """Return where the candidates stand by their new seeds alone, the best first."""
    numbers = {str(trial.number): trial.number for trial in candidates(search, trials)}
    scores = {
        name: {
            int(trial.overrides["seed"]): score
            for trial in trials
            if trial.of == number
            and (score := trial.end if search.judge == "end" else trial.best) is not None
        }
        for name, number in numbers.items()
    }
    return [(numbers[standing.variant], standing) for standing in standings(scores)]
