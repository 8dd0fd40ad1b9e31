"""The response surface, the Pareto front, and who is run again."""

from dataclasses import replace
from pathlib import Path

import pytest

from graftgan.core.errors import SettingsError
from graftgan.experiments.experiment import Experiment
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings
from graftgan.studies.plan_search import Budget, PlanSearch
from graftgan.studies.search_result import Cell, early_trials, pareto_front, surface
from graftgan.studies.trials import Pause, Trial, ask_to_confirm, confirmed, is_spent, spent
from plain_scores import score

TUNED, FROZEN, SCALED = "fine_tune", "freeze", "adafm"


def trial(number: int, cost: float | None, trainable: int = 1, *actions: str) -> Trial:
    generator = {f"layer{i + 1}": action for i, action in enumerate(actions)}
    return Trial(
        number=number,
        overrides={"plan": str(number)},
        why="",
        state="finished",
        cost=cost,
        trainable=trainable,
        actions={"generator": generator, "discriminator": {"layer1": TUNED}},
    )


def search(**changes: object) -> PlanSearch:
    base = Experiment(
        pictures=Path("pictures"),
        source="avatars-64",
        data=DataSettings(held_out=0.2),
        scoring=ScoringSettings(score_every=10),
    )
    return replace(PlanSearch(base=base), **changes)  # type: ignore[arg-type]


def test_a_field_of_the_surface_takes_all_trials_with_its_counts_together():
    trials = [
        trial(0, 5.0, 1, TUNED, SCALED, FROZEN),
        trial(1, 3.0, 1, FROZEN, TUNED, SCALED),  # the same counts in another order
        trial(2, 9.0, 1, TUNED, TUNED, FROZEN),
        trial(3, None, 1, TUNED, TUNED, FROZEN),  # ended early: no score to compare
        trial(4, 1.0, 1, "reset", "lora", FROZEN),  # trained in full, modulated, frozen
    ]
    assert surface(trials, "generator") == [
        Cell(freeze=1, modulate=0, tune=2, count=1, best=9.0, mean=9.0),
        Cell(freeze=1, modulate=1, tune=1, count=3, best=1.0, mean=3.0),
    ]
    assert [cell.count for cell in surface(trials, "discriminator")] == [4]


def test_trials_that_were_ended_are_compared_where_all_still_ran():
    trials = [
        replace(trial(0, 0.2, 1, TUNED), curve=((0, 0.9), (10, 0.8), (20, 0.4), (30, 0.2))),
        replace(trial(1, None, 1, FROZEN), curve=((0, 0.9), (10, 0.7))),
        replace(trial(2, None, 1, SCALED), curve=((0, 0.9), (10, 0.6), (20, 0.5))),
        trial(3, None, 1, SCALED),  # failed before any score
    ]
    iteration, found = early_trials(trials, 1)
    assert iteration == 10
    assert [(one.number, one.cost) for one in found] == [(0, 0.8), (1, 0.7), (2, 0.6)]
    assert early_trials(trials, -1)[1][0].cost == -0.8
    assert early_trials(trials[3:], 1) == (0, [])
    assert early_trials([replace(trials[1], curve=((0, 0.9),))], 1) == (0, [])


def test_the_front_holds_what_nothing_beats_in_both():
    trials = [
        trial(0, 4.0, 100),
        trial(1, 6.0, 10),
        trial(2, 6.5, 50),  # beaten by 1
        trial(3, 4.0, 200),  # as good as 0, for more
        trial(4, 1.0, 900),
        trial(5, None, 1),
        trial(6, 6.0, 10),  # equal to 1, which came first
    ]
    assert [one.number for one in pareto_front(trials)] == [1, 0, 4]
    assert pareto_front([]) == []


def test_a_budget_is_spent_by_trials_of_the_search_only():
    done = [replace(trial(n, 1.0), wall=2.0, images=30) for n in range(3)]
    again = replace(trial(3, 1.0), stage="confirm", of=0, wall=100.0, images=1000)
    trials = [*done, again]
    assert spent(trials) == Budget(trials=3, seconds=6.0, images=90)
    for limit, over in (("trials", 3), ("seconds", 6.0), ("images", 90)):
        assert is_spent(Budget(**{limit: over}), trials)
        assert not is_spent(Budget(**{limit: over + 1}), trials)
    assert not is_spent(Budget(), trials)
    with pytest.raises(SettingsError, match="must be finite and positive"):
        Budget(trials=0)


def test_the_best_are_run_again_with_new_seeds_which_alone_choose():
    asked = search(confirm_seeds=2, confirm_top=2)
    trials = [trial(0, 3.0), trial(1, 1.0), trial(2, 2.0)]
    assert ask_to_confirm(search(), trials) is Pause.DONE
    under_way = replace(trials[0], state="open", cost=None)
    assert ask_to_confirm(asked, [*trials, replace(under_way, number=3)]) is Pause.WAIT
    luck = {1: 7.0, 2: 5.0}  # the best of the search was lucky
    while not isinstance(proposal := ask_to_confirm(asked, trials), Pause):
        assert proposal.of is not None
        trials.append(
            Trial(
                number=len(trials),
                overrides=proposal.overrides,
                why=proposal.why,
                stage=proposal.stage,
                of=proposal.of,
                state="finished",
                end=score(luck[proposal.of]),
            )
        )
    assert proposal is Pause.DONE
    again = [(t.of, t.overrides["seed"]) for t in trials if t.stage == "confirm"]
    assert again == [(1, 1), (2, 1), (1, 2), (2, 2)]
    found = confirmed(asked, trials)
    assert [(number, statistics.mean) for number, statistics in found] == [(2, 5.0), (1, 7.0)]


def test_what_makes_no_search_is_refused():
    for changes, says in (
        ({"tune": ("modulation_rate",)}, "NAME=LOW:HIGH"),
        ({"tune": ("modulation_rate=3:1",)}, "positive and ascending"),
        ({"tune": ("modulaton_rate=1:3",)}, "modulation_rate"),
        ({"base": replace(search().base, source=None)}, "needs a --source"),
        ({"base": replace(search().base, scoring=ScoringSettings())}, "--score-every"),
    ):
        with pytest.raises(SettingsError, match=says):
            search(**changes).check()
    with pytest.raises(SettingsError, match="two or more different ones"):
        search(actions=("freeze", "frieze"))
    assert search().sha256() == search(budget=Budget(trials=3)).sha256()
    assert search().sha256() != search(judge="best").sha256()
