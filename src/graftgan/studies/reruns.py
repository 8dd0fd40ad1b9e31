"""Where trials stand, and the best run again: the best of many noisy scores is a lucky one."""

from collections.abc import Mapping, Sequence

from graftgan.metrics import Score
from graftgan.studies.plan_search import PlanSearch
from graftgan.studies.strategy import Pause
from graftgan.studies.study_statistics import (
    SourceScores,
    VariantStatistics,
    nothing_wins,
    variant_statistics,
)
from graftgan.studies.trials import Proposal, Trial, ranked

Places = list[tuple[int | None, VariantStatistics]]
"""Numbers of trials, None for their untouched source, and where they stand; the best first."""


def ask_to_confirm(search: PlanSearch, trials: Sequence[Trial]) -> Proposal | Pause:
    """Return the next rerun; those of all candidates with the first seed come first."""
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
    """Return the seeds of the reruns; the trials were chosen by another."""
    first = search.base.seed + 1
    return range(first, first + search.confirm_seeds)


def candidates(search: PlanSearch, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are, or would be, run again; none where none beats the source."""
    found = [statistics for _, statistics in places(search, trials)]
    if not search.confirm_seeds or nothing_wins(found):
        return []
    return ranked(trials)[: search.confirm_top]


def places(search: PlanSearch, trials: Sequence[Trial]) -> Places:
    """Return where the trials of the search stand by their one score."""
    return _places(search, {trial.number: [trial] for trial in ranked(trials)})


def confirmed(search: PlanSearch, trials: Sequence[Trial]) -> Places:
    """Return where the candidates stand by their new seeds alone."""
    numbers = [trial.number for trial in candidates(search, trials)]
    return _places(search, {n: [trial for trial in trials if trial.of == n] for n in numbers})


def _places(search: PlanSearch, runs: Mapping[int, Sequence[Trial]]) -> Places:
    """Return where trials stand by the scores of their ``runs``, one for each seed."""
    scores: dict[str, dict[int, Score]] = {}
    sources: dict[str, SourceScores] = {}
    for number, of in runs.items():
        seeds = {int(run.overrides.get("seed", search.base.seed)): run for run in of}
        ends = {s: run.end if search.judge == "end" else run.best for s, run in seeds.items()}
        began = {s: run.untouched for s, run in seeds.items()}
        scores[str(number)] = {s: score for s, score in ends.items() if score is not None}
        sources[str(number)] = SourceScores(
            scores={s: score for s, score in began.items() if score is not None}
        )
    return [
        (None if statistics.is_source else int(statistics.variant), statistics)
        for statistics in variant_statistics(scores, sources)
    ]
