"""Who gets which trial, when processes share a search or are killed."""

from pathlib import Path

import pytest

from graftgan.studies.trials import FAILED, Pause, Proposal, Trial, TrialStore


@pytest.fixture
def desk(tmp_path: Path) -> TrialStore:
    (tmp_path / "trials").mkdir()
    return TrialStore(tmp_path)


def ask(trials: object) -> Proposal:
    return Proposal(overrides={"plan": "combined"}, why="asked")


def nothing(trials: object) -> Pause:
    return Pause.DONE


def test_two_at_work_never_get_the_same_trial(desk: TrialStore):
    first, second = desk.claim(ask), desk.claim(ask)
    assert not isinstance(first, Pause)
    assert not isinstance(second, Pause)
    assert [first[0].number, second[0].number] == [0, 1]
    assert desk.claim(nothing) is Pause.DONE
    first[1].release()  # as the system does for a killed process
    left = desk.claim(ask)
    assert not isinstance(left, Pause)
    assert left[0] == first[0]
    left[1].release()
    second[1].release()
    assert [trial.name for trial in desk.trials()] == ["0000", "0001"]


def test_what_has_ended_is_never_handed_out_again_but_failures_are(desk: TrialStore):
    for number, state in enumerate(("finished", "pruned", "diverged", FAILED)):
        desk.write(
            Trial(number=number, overrides={"plan": "adafm"}, why="", state=state, message="why")
        )
    assert desk.claim(nothing) is Pause.DONE
    with desk.locked():
        desk.reopen_failed()
    left = desk.claim(nothing)
    assert not isinstance(left, Pause)
    assert left[0].number == 3
    assert left[0].is_open
    left[1].release()
