"""What a search says of its trials: the winner, what it beats, and how far to trust it."""

from dataclasses import replace
from pathlib import Path

from search_scores import score

from graftgan.data import DataSettings
from graftgan.experiment import Experiment
from graftgan.metrics import ScoringSettings
from graftgan.search import Findings, PlanSearch, Trial
from graftgan.search.findings import gather_findings, winner_toml, winning_experiment
from graftgan.search.space import Space
from graftgan.transfer import parse_plan

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


def findings(*trials: Trial, **changes: object) -> Findings:
    search = replace(PlanSearch(base=BASE), **changes)  # type: ignore[arg-type]
    return gather_findings(search, SPACE, trials, importances={}, complete=True)


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
    assert found.spent.trials == 4  # the confirmation is on top
    assert not any("one run each" in note for note in found.notes)
    assert any("chosen by the new seeds alone" in note for note in found.notes)


def test_nothing_with_a_score_has_no_winner():
    found = findings(trial(0, None, state="diverged", message="not-a-number"))
    assert (found.winner, found.says) == (None, ("There is no score yet.",))
    assert any("trial 0 diverged: not-a-number" in note for note in found.notes)


def test_the_winner_is_the_experiment_of_its_trial():
    search = PlanSearch(base=BASE)
    experiment = winning_experiment(search, TRIALS[1])
    assert experiment.plan == "D(0,0,2) G(1,0,1)"
    assert experiment.transfer.modulation_rate == 2.0
    text = winner_toml(search, TRIALS[1], score="KID")
    assert text.startswith("# Found by graftgan search --strategy gradual: trial 1, KID 2.\n")
