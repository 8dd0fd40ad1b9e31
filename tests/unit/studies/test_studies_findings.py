"""What a search says of its trials: the winner, what it beats, and how far to trust it."""

from dataclasses import replace
from pathlib import Path

from graftgan.experiments.experiment import Experiment
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings
from graftgan.studies.comparison import overridden
from graftgan.studies.plan_search import PlanSearch, Space
from graftgan.studies.search_result import SearchResult, gather_result, winner_toml
from graftgan.studies.trials import Pause, Trial, ask_to_confirm
from graftgan.transfer import parse_plan
from plain_scores import score

BASE = Experiment(
    pictures=Path("pictures"),
    source="avatars-64",
    data=DataSettings(held_out=0.2),
    scoring=ScoringSettings(score_every=10),
)
LAYERS = {"layer1": ("freeze", "fine_tune"), "layer2": ("freeze", "fine_tune")}
SPACE = Space(
    {"discriminator": LAYERS, "generator": LAYERS}, ("generator",), parse_plan("fine_tune")
)


def trial(number: int, value: float | None, why: str = "sampled", **more: object) -> Trial:
    made = Trial(
        number=number,
        overrides={"plan": "D(0,0,2) G(1,0,1)", "transfer.modulation_rate": 1.0 + number},
        why=why,
        state="finished" if value is not None else "pruned",
        plan="D(0,0,2) G(1,0,1)",
        actions={"generator": {"layer1": "fine_tune", "layer2": "freeze"}},
        cost=value,
        end=None if value is None else score(value),
        trainable=10,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def findings(*trials: Trial, **changes: object) -> SearchResult:
    search = replace(PlanSearch(base=BASE), **changes)  # type: ignore[arg-type]
    return gather_result(search, SPACE, trials, importances={}, complete=True)


TRIALS = (trial(0, 3.0, "combined"), trial(1, 2.0), trial(2, None), trial(3, 4.0, "adafm"))


def test_one_run_each_makes_a_lucky_winner_and_says_so():
    found = findings(*TRIALS)
    assert found.winner == 1
    assert found.ranking == (1, 0, 3)
    said = " ".join(found.says)
    assert "Of 3 trials with a score, trial 1 has the best at the end: 2 with" in said
    assert "The best preset, combined (trial 0), has 3." in said
    notes = " ".join(found.notes)
    assert "The winner is the best of 3 scores of one run each" in notes
    assert "1 of 4 trials were ended early" in notes


def test_new_seeds_overrule_the_score_that_chose():
    again = [
        trial(4 + i, value, stage="confirm", of=of, overrides={"plan": "p", "seed": 1}, cost=None)
        for i, (of, value) in enumerate(((1, 9.0), (0, 5.0)))
    ]
    found = findings(*TRIALS, *again, confirm_seeds=1, confirm_top=2)
    assert found.winner == 0
    assert [entry.trial for entry in found.confirmed] == [0, 1]
    assert found.spent.trials == 4  # the reruns are on top
    assert not any("one run each" in note for note in found.notes)
    assert any("chosen by the new seeds alone" in note for note in found.notes)


def test_nothing_with_a_score_has_no_winner():
    found = findings(trial(0, None, state="diverged", message="not-a-number"))
    assert (found.winner, found.says) == (None, ("There is no score yet.",))
    assert any("trial 0 diverged: not-a-number" in note for note in found.notes)


def test_the_winner_is_the_experiment_of_its_trial():
    search = PlanSearch(base=BASE)
    experiment = overridden(search.base, TRIALS[1].overrides)
    assert experiment.plan == "D(0,0,2) G(1,0,1)"
    assert experiment.transfer.modulation_rate == 2.0
    text = winner_toml(search, TRIALS[1], score="KID")
    assert text.startswith("# Found by graftgan search --strategy gradual: trial 1, KID 2.\n")


def after(source: float, *trials: Trial) -> tuple[Trial, ...]:
    """Return the trials as they are where the untouched source has this score."""
    return tuple(replace(one, untouched=score(source)) for one in trials)


def confirming(number: int, of: int, value: float) -> Trial:
    overrides = {"plan": "p", "seed": 1}
    return trial(number, value, stage="confirm", of=of, overrides=overrides, cost=None)


def test_a_source_that_no_trial_beats_leaves_no_winner_and_nothing_to_confirm():
    trials = after(1.0, *TRIALS)
    found = findings(*trials, confirm_seeds=2)
    assert (found.winner, found.ranking) == (None, (1, 0, 3))
    assert found.source is not None
    assert (found.source.mean, found.source.verdict) == (1.0, "best")
    said = " ".join(found.says)
    assert "The untouched source has 1." in said
    assert found.says[-1] == (
        "No trial beats the untouched source by KID; there is no winner, and none is run again."
    )
    assert "winner.toml" not in said
    so_far = gather_result(PlanSearch(base=BASE), SPACE, trials, importances={}, complete=False)
    assert so_far.says[-1].endswith("there is no winner so far.")
    assert not any("winner" in note for note in found.notes)
    search = replace(PlanSearch(base=BASE), confirm_seeds=2)
    assert ask_to_confirm(search, trials) is Pause.DONE


def test_a_trial_that_beats_the_source_wins_as_before():
    found = findings(*after(2.5, *TRIALS))
    assert found.winner == 1
    assert found.says[-1].startswith("winner.toml holds the settings of trial 1")
    assert found.source is not None
    assert found.source.verdict == "worse"
    search = replace(PlanSearch(base=BASE), confirm_seeds=1)
    assert not isinstance(ask_to_confirm(search, after(2.5, *TRIALS)), Pause)


def test_a_trial_within_chance_of_the_source_is_no_winner():
    found = findings(*after(2.1, *TRIALS))  # trial 1 has 2; each half of an interval is 0.1
    assert found.winner is None
    assert found.says[-1] == "No trial beats the untouched source by KID; there is no winner."


def test_the_winner_is_the_best_of_those_that_beat_the_source():
    wide = trial(0, 2.0, end=score(2.0, half=1.0))
    found = findings(*after(2.5, wide, trial(1, 2.2)))
    assert (found.ranking, found.winner) == ((0, 1), 1)


def test_new_seeds_may_take_the_winner_away():
    again = after(2.5, confirming(4, 1, 2.6), confirming(5, 0, 2.45))
    found = findings(*after(2.5, *TRIALS), *again, confirm_seeds=1, confirm_top=2)
    assert found.winner is None
    assert [(entry.trial, entry.statistics.mean) for entry in found.confirmed] == [
        (0, 2.45), (None, 2.5), (1, 2.6),
    ]  # fmt: skip
    assert found.says[-1] == (
        "With new seeds, no trial beats the untouched source by KID; there is no winner."
    )
    assert not any("Not all new seeds" in note for note in found.notes)
    kept = after(2.5, confirming(4, 1, 2.6), confirming(5, 0, 2.3))
    assert findings(*after(2.5, *TRIALS), *kept, confirm_seeds=1, confirm_top=2).winner == 0


def test_records_from_before_the_source_was_kept_win_as_they_did():
    found = findings(*TRIALS)
    assert (found.winner, found.source) == (1, None)
    assert not any("source" in sentence for sentence in found.says)
