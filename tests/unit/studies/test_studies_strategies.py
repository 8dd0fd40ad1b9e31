"""Each strategy against a scorer with a known best plan; what it does while trials are open."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graftgan.core.errors import PlanError, SettingsError
from graftgan.experiments.experiment import Experiment
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings
from graftgan.studies.optuna_strategy import _first_rung
from graftgan.studies.plan_search import STRATEGIES, Budget, PlanSearch, Space
from graftgan.studies.search_result import counts_of
from graftgan.studies.strategies import MOST_UNASKED, Strategy
from graftgan.studies.trials import Pause, Trial
from graftgan.transfer import parse_plan, parse_schedule

BASE = Experiment(
    pictures=Path("pictures"),
    source="avatars-64",
    data=DataSettings(held_out=0.2),
    scoring=ScoringSettings(score_every=10),
)
Counts = Mapping[str, tuple[int, int, int]]


def space(depth: int = 4, *, actions: tuple[str, ...] = ("freeze", "adafm", "fine_tune"),
          searched: tuple[str, ...] = ("discriminator", "generator")) -> Space:  # fmt: skip
    layers = {f"layer{i + 1}": actions for i in range(depth)}
    both = {"discriminator": layers, "generator": layers}
    return Space(both, searched, parse_plan("combined"))


def strategy(name: str, folder: Path, *, where: Space | None = None, **changes: Any) -> Strategy:
    where = where or space()
    settings = {"strategy": name, "networks": "both", "tune": (), **changes}
    if len(where.searched) == 1:
        settings["networks"] = where.searched[0]
    made = STRATEGIES[name](PlanSearch(base=BASE, **settings), where, folder)
    made.check()
    return made


def choices(plan: str, where: Space) -> dict[str, dict[str, str]]:
    return {
        role: dict(parse_schedule(plan).first.for_network(role).actions(list(layers), network=role))
        for role, layers in where.layers.items()
    }


def searched_by(
    asking: Strategy,
    cost_of: Callable[[dict[str, dict[str, str]], Mapping[str, Any]], float | None],
) -> list[Trial]:
    """Ask and tell until there is nothing left, as the runner does."""
    trials: list[Trial] = []
    asking.begin(trials)
    limit = asking.search.budget.trials or 1000
    while len(trials) < limit:
        asked = asking.ask(trials)
        if isinstance(asked, Pause):
            assert asked is Pause.DONE
            break
        actions = choices(asked.overrides["plan"], asking.space)
        cost = cost_of(actions, asked.overrides)
        trial = Trial(
            number=len(trials),
            overrides=asked.overrides,
            why=asked.why,
            reference=asked.reference,
            state="diverged" if cost is None else "finished",
            actions=actions,
            cost=cost,
        )
        trials.append(trial)
        asking.tell(trial)
    asking.end()
    plans = [str(sorted(trial.overrides.items())) for trial in trials]
    assert len(set(plans)) == len(plans), "a trial was repeated"
    return trials


def best_of(trials: list[Trial]) -> Counts:
    best = min((t for t in trials if t.cost is not None), key=lambda t: t.cost or 0.0)
    return {role: counts_of(actions) for role, actions in best.actions.items()}


def distance_to(target: Counts) -> Callable[[dict[str, dict[str, str]], Mapping[str, Any]], float]:
    """Return the summed difference of counts, a little dearer in D so that no step is a tie."""

    def cost(actions: dict[str, dict[str, str]], overrides: Mapping[str, Any]) -> float:
        del overrides
        return sum(
            weight * abs(own - wanted)
            for role, weight in (("discriminator", 1.1), ("generator", 1.0))
            for own, wanted in zip(counts_of(actions[role]), target[role], strict=True)
        )

    return cost


PLANTED: Counts = {"discriminator": (1, 1, 2), "generator": (0, 0, 4)}


def test_gradual_finds_the_planted_plan_and_says_why(tmp_path: Path):
    asking = strategy("gradual", tmp_path)
    trials = searched_by(asking, distance_to(PLANTED))
    assert best_of(trials) == PLANTED
    assert len(trials) <= asking.most()
    assert trials[0].overrides["plan"] == "D(3,0,1) G(3,0,1)"
    assert trials[0].why == "the start"
    whys = {t.overrides["plan"]: t.why for t in trials}
    assert whys["D(2,0,2) G(3,0,1)"] == "release D layer3"  # D's output side, inwards
    assert whys["D(3,0,1) G(2,0,2)"] == "release G layer2"  # G's input side, inwards
    assert whys["D(1,1,2) G(0,0,4)"] == "modulate D layer2"


def test_gradual_stops_when_releasing_does_not_help(tmp_path: Path):
    start: Counts = {"discriminator": (3, 0, 1), "generator": (3, 0, 1)}
    trials = searched_by(strategy("gradual", tmp_path), distance_to(start))
    assert best_of(trials) == start
    assert len(trials) == 1 + 2 + 2  # the start, a round of releases, a round of modulations


def test_gradual_without_adafm_only_releases(tmp_path: Path):
    asking = strategy("gradual", tmp_path, actions=("freeze", "fine_tune"))
    assert best_of(searched_by(asking, distance_to(PLANTED)))["discriminator"][1] == 0
    with pytest.raises(SettingsError, match="needs the action freeze"):
        strategy("gradual", tmp_path, actions=("adafm", "fine_tune"))


def test_gradual_goes_on_past_a_trial_without_a_score(tmp_path: Path):
    def cost(actions: dict[str, dict[str, str]], overrides: Mapping[str, Any]) -> float | None:
        first = overrides["plan"] == "D(3,0,1) G(3,0,1)"
        return None if first else distance_to(PLANTED)(actions, overrides)

    assert best_of(searched_by(strategy("gradual", tmp_path), cost)) == PLANTED


def test_gradual_hands_out_a_round_to_several_processes_and_then_waits(tmp_path: Path):
    asking = strategy("gradual", tmp_path)
    start = Trial(number=0, overrides={"plan": "D(3,0,1) G(3,0,1)"}, why="", state="open")
    assert asking.ask([start]) is Pause.WAIT
    start = replace(start, state="finished", cost=1.0)
    under_way = [start]
    for number in (1, 2):
        asked = asking.ask(under_way)
        assert not isinstance(asked, Pause)
        under_way.append(Trial(number=number, overrides=asked.overrides, why=asked.why))
    assert asking.ask(under_way) is Pause.WAIT


def test_the_grid_covers_everything_once(tmp_path: Path):
    asking = strategy("grid", tmp_path, where=space(2))
    trials = searched_by(asking, distance_to({"discriminator": (1, 0, 1), "generator": (0, 1, 1)}))
    # (i,j,k) of two layers: six ways, but for the one that leaves nothing to train
    assert len(trials) == asking.most() == 5 * 5
    assert best_of(trials) == {"discriminator": (1, 0, 1), "generator": (0, 1, 1)}


def test_the_grid_can_be_restricted(tmp_path: Path):
    alone = strategy("grid", tmp_path, where=space(5, searched=("generator",)))
    plans = {p.overrides["plan"] for p in alone.known()}
    assert len(plans) == 20
    assert all(plan.startswith("D(1,*,2) G(") for plan in plans)  # D keeps its part of the base
    coarse = strategy("grid", tmp_path, where=space(5, searched=("generator",)), step=2)
    assert {p.overrides["plan"].split()[1] for p in coarse.known()} == {
        "G(0,0,5)", "G(0,2,3)", "G(0,4,1)", "G(0,5,0)", "G(2,0,3)", "G(2,2,1)", "G(2,3,0)",
        "G(4,0,1)", "G(4,1,0)",
    }  # fmt: skip
    frozen_or_tuned = space(5, actions=("freeze", "fine_tune"), searched=("generator",))
    few = strategy("grid", tmp_path, where=frozen_or_tuned, actions=("freeze", "fine_tune"))
    assert few.most() == 5


def small_space_with_a_step() -> Space:
    endings = ("", " > fine_tune@0.4")
    small = space(2, searched=("generator",))
    return replace(small, base=parse_plan("fine_tune"), endings=endings)


def test_the_grid_tries_every_plan_with_every_step(tmp_path: Path):
    where = small_space_with_a_step()
    plans = [t.overrides["plan"] for t in searched_by(
        strategy("grid", tmp_path, where=where, then=("fine_tune@0.4",)), lambda *_: 0.0
    )]  # fmt: skip
    plain = {plan for plan in plans if ">" not in plan}
    assert len(plans) == len(set(plans)) == 2 * len(plain) > 4
    assert {plan.removesuffix(" > fine_tune@0.4") for plan in plans} == plain


def test_optuna_learns_which_step_helps(tmp_path: Path):
    pytest.importorskip("optuna")
    where = small_space_with_a_step()
    asking = strategy(
        "optuna", tmp_path, where=where, then=("fine_tune@0.4",), budget=Budget(trials=12)
    )
    trials = searched_by(asking, lambda _, overrides: float(">" not in overrides["plan"]))
    assert [">" in trial.overrides["plan"] for trial in trials[:2]] == [False] * 2, "presets"
    assert sum(">" in trial.overrides["plan"] for trial in trials) >= 5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"strategy": "gradual", "then": ("fine_tune@0.4",)}, "chooses no steps"),
        ({"then": ("fine_tune",)}, "is not a schedule"),
        ({"then": ("fine_tune@0.4",), "base": replace(BASE, plan="freeze > adafm@0.2")}, "already"),
    ],
)
def test_steps_that_no_search_can_take_are_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
):
    def check() -> None:
        search = PlanSearch(**{"base": BASE, "strategy": "grid", "tune": (), **changes})
        search.check()
        STRATEGIES[search.strategy](search, space(), tmp_path).check()

    with pytest.raises((SettingsError, PlanError), match=says):
        check()


def test_a_grid_without_end_is_refused_unless_capped(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"the grid has 400 plans; say how many .*--trials"):
        strategy("grid", tmp_path, where=space(5))
    capped = strategy("grid", tmp_path, where=space(5), budget=Budget(trials=7))
    assert capped.most() == 400 > MOST_UNASKED
    assert len(searched_by(capped, distance_to(PLANTED))) == 7
    with pytest.raises(SettingsError, match="no place for lora"):
        strategy("grid", tmp_path, actions=("freeze", "lora"))


def test_optuna_begins_with_the_presets_and_finds_what_is_better(tmp_path: Path):
    pytest.importorskip("optuna")
    where = space(3)
    asking = strategy("optuna", tmp_path, where=where, budget=Budget(trials=24), pruner="none")
    target = {
        "discriminator": {"layer1": "freeze", "layer2": "adafm", "layer3": "adafm"},
        "generator": {"layer1": "fine_tune", "layer2": "freeze", "layer3": "fine_tune"},
    }

    def wrong(actions: dict[str, dict[str, str]], overrides: Mapping[str, Any]) -> float:
        del overrides
        return float(
            sum(
                actions[r][layer] != a
                for r, layers in target.items()
                for layer, a in layers.items()
            )
        )

    trials = searched_by(asking, wrong)
    # On three layers `freeze` is `combined`, and is not run twice.
    assert [trial.why for trial in trials[:3]] == ["combined", "fine_tune", "adafm"]
    assert {trial.why for trial in trials[3:]} == {"sampled"}
    presets = min(trial.cost for trial in trials[:3] if trial.cost is not None)
    assert min(t.cost for t in trials if t.cost is not None) < presets
    assert len(trials) == 24


def test_optuna_tunes_the_rate_of_modulations_only_where_there_are_any(tmp_path: Path):
    pytest.importorskip("optuna")
    asking = strategy(
        "optuna",
        tmp_path,
        where=space(3),
        tune=("modulation_rate=0.5:8", "generator_learning_rate=1e-4:1e-3"),
        budget=Budget(trials=8),
    )
    trials = searched_by(asking, lambda actions, overrides: float(len(str(actions))))
    for trial in trials:
        modulates = "adafm" in str(trial.actions)
        assert ("transfer.modulation_rate" in trial.overrides) == modulates
        assert 1e-4 <= trial.overrides["optimization.generator_learning_rate"] <= 1e-3
    usual = trials[2].overrides  # a preset runs at the rates of the base
    assert usual["transfer.modulation_rate"] == 1.0
    assert usual["optimization.generator_learning_rate"] == 2e-4


def test_optuna_goes_on_in_a_new_process_and_exhausts_a_small_space(tmp_path: Path):
    pytest.importorskip("optuna")
    where = space(1)  # adafm or fine_tune in each network: four plans that train both
    budget = Budget(trials=3)
    first = searched_by(strategy("optuna", tmp_path, where=where, budget=budget), by_length)
    taken = Trial(number=3, overrides={"plan": "lost"}, why="", state="open")
    again = strategy("optuna", tmp_path, where=where, budget=Budget(trials=9))
    again.begin(first)
    asked = again.ask(first)  # taken from the study, then the process is killed
    assert not isinstance(asked, Pause)
    after = strategy("optuna", tmp_path, where=where, budget=Budget(trials=9))
    after.begin(first)
    assert after.ask(first) == asked  # no sample is lost
    fourth = replace(taken, overrides=asked.overrides, reference=asked.reference)
    assert after.ask([*first, fourth]) is Pause.WAIT
    fourth = replace(fourth, state="finished", cost=1.0)
    after.tell(fourth)
    assert after.ask([*first, fourth]) is Pause.DONE


def test_optuna_learns_from_a_trial_that_failed_first_as_from_any_other(tmp_path: Path):
    """A full disk, say: the trial is tried again, and its score must not be lost."""
    pytest.importorskip("optuna")
    found: list[Mapping[str, float]] = []
    for name, fails in (("straight", False), ("broken", True)):
        (tmp_path / name).mkdir()
        asking = strategy("optuna", tmp_path / name, where=space(2), budget=Budget(trials=6))
        trials: list[Trial] = []
        asking.begin(trials)
        for number in range(6):
            asked = asking.ask(trials)
            assert not isinstance(asked, Pause)
            trial = Trial(
                number=number, overrides=asked.overrides, why="", reference=asked.reference
            )
            assert not asking.scored(trial, 10, 1.0)
            if fails and number == 3:
                asking.tell(replace(trial, state="failed", message="the disk is full"))
                assert not asking.scored(trial, 10, 1.0)
            trials.append(replace(trial, state="finished", cost=float(number % 4)))
            asking.tell(trials[-1])
        found.append(asking.importances())
    assert found[0]
    assert found[1] == found[0]


def by_length(actions: dict[str, dict[str, str]], overrides: Mapping[str, Any]) -> float:
    del overrides
    return float(len(str(actions)))


def test_optuna_ends_a_trial_that_falls_behind(tmp_path: Path):
    pytest.importorskip("optuna")
    asking = strategy("optuna", tmp_path, where=space(2), budget=Budget(trials=20))
    trials: list[Trial] = []
    asking.begin(trials)
    for number in range(5):
        asked = asking.ask(trials)
        assert not isinstance(asked, Pause)
        trial = Trial(number=number, overrides=asked.overrides, why="", reference=asked.reference)
        steps = [asking.scored(trial, step, 1.0) for step in (10, 400, 900)]
        assert not any(steps)
        trials.append(replace(trial, state="finished", cost=1.0))
        asking.tell(trials[-1])
    asked = asking.ask(trials)
    assert not isinstance(asked, Pause)
    slow = Trial(number=5, overrides=asked.overrides, why="", reference=asked.reference)
    assert not asking.scored(slow, 10, 9.0)  # the first fifth of a run is never pruned
    assert "fell behind" in asking.scored(slow, 400, 9.0)
    assert "fell behind" in asking.scored(slow, 400, 9.0)  # the same after a resume


def test_optuna_needs_an_end_and_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("optuna")
    with pytest.raises(SettingsError, match="say what the search may cost: --trials 20"):
        strategy("optuna", tmp_path)
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SettingsError, match="needs optuna, which is missing; run 'pip install"):
        strategy("optuna", tmp_path, budget=Budget(trials=3))


@pytest.mark.parametrize(
    ("every", "iterations", "rung"),
    [(100, 500, 200), (200, 800, 400), (50, 100, 50), (90, 100, 90)],
)
def test_halving_waits_until_a_start_is_over(every: int, iterations: int, rung: int):
    assert _first_rung(every, iterations) == rung
