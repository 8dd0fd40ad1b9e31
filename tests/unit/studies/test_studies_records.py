"""Records of comparisons and searches read back from files that may hold anything."""

import json
from pathlib import Path
from typing import Any

import pytest

from graftgan.core.errors import RunError
from graftgan.core.settings import to_plain
from graftgan.studies.comparison import Fingerprints, read_fingerprints
from graftgan.studies.comparison_results import deciding_score
from graftgan.studies.source_ranking import Experience, experience_in
from graftgan.studies.trials import Trial, TrialStore
from hostile_json import RAW, as_bytes, damaged
from plain_scores import score

TRIAL = Trial(
    number=3,
    overrides={"plan": "D(0,0,2) G(1,0,1)"},
    why="sampled",
    state="finished",
    plan="D(0,0,2) G(1,0,1)",
    actions={"generator": {"layer1": "freeze"}},
    cost=2.5,
    end=score(2.5),
    best=score(2.0),
    best_iteration=4,
    curve=((2, 3.0), (4, 2.5)),
    iteration=4,
    images=32,
    seconds=1.5,
    trainable=10,
    parameters=20,
)


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    (tmp_path / "trials").mkdir()
    return TrialStore(tmp_path)


def test_a_trial_comes_back(store: TrialStore):
    store.write(TRIAL)
    assert store.trials() == [TRIAL]


def test_a_damaged_trial_is_one_clear_error(tmp_path: Path, store: TrialStore):
    store.write(TRIAL)
    path = tmp_path / "trials/0003.json"
    data = json.loads(path.read_text())
    refused: dict[str, str] = {}
    for what, changed in damaged(data):
        path.write_bytes(as_bytes(changed))
        try:
            store.trials()
        except RunError as error:
            refused[what] = str(error)
    assert len(refused) >= 200
    for what, message in refused.items():
        assert message.startswith(f"{path}: "), what
        assert what.partition(":")[0].rpartition(".")[2] in message, what
        assert message.endswith("to try another in its place"), what
        assert message.isprintable(), what
    for content in RAW.values():
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"0003\.json"):
            store.trials()


def test_fingerprints_are_read_whatever_else_is_damaged(tmp_path: Path):
    """The remedy for damaged results is to write them again, which asks for these alone."""
    path = tmp_path / "search.json"
    data = {"settings_sha256": "now", "trials": [[]], "winner": "none"}
    path.write_text(json.dumps(data))
    assert read_fingerprints(path).know({"now", "other"})
    assert not read_fingerprints(path).know({"other"})
    path.write_text(json.dumps({**data, "extended_sha256": "since"}))
    assert read_fingerprints(path).know({"since"})
    for wrong in ([], {"a": 1}, 5, None):
        path.write_text(json.dumps({**data, "settings_sha256": wrong}))
        with pytest.raises(RunError, match=r"search\.json: settings_sha256"):
            read_fingerprints(path)
    path.write_text(json.dumps({"trials": []}))
    assert read_fingerprints(path) == Fingerprints()
    assert not Fingerprints().know({"now"})


def line_of(iteration: int, value: Any, **more: Any) -> bytes:
    return as_bytes({"iteration": iteration, **to_plain(score(1.0)), "value": value, **more})


def test_a_damaged_score_is_named_with_its_iteration(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(line_of(2, 0.5, decides=True) + b"\n" + line_of(4, "good", decides=True))
    found = deciding_score(file, 2)
    assert found is not None
    assert found.value == 0.5
    assert deciding_score(file, 3) is None
    with pytest.raises(RunError, match=r"the score at 4 in .*metrics\.jsonl: value: .*'good'"):
        deciding_score(file, 4)


def test_experience_comes_from_whole_lines_alone(tmp_path: Path):
    whole = {"iteration": 0, "name": "KID(net)", "value": 0.5}
    run = {"settings": {"source": "s"}, "scores": [whole, {**whole, "iteration": 9, "value": 0.25}]}
    file = tmp_path / "runs.jsonl"
    lines = [as_bytes(run), *RAW.values(), *(as_bytes(changed) for _, changed in damaged(run))]
    file.write_bytes(b"\n".join(lines))
    found = experience_in([file], score="KID(net)")
    assert Experience(0.5, 0.25) in found
    assert {type(one.before) for one in found} == {float}
