"""What runs leave on disk, read back from files that may hold anything."""

from pathlib import Path
from typing import Any

import pytest

from graftgan.core.errors import RunError
from graftgan.core.files import append_jsonl
from graftgan.core.provenance import Origin
from graftgan.experiments.records import read_manifest, read_plan, read_scores
from hostile_json import RAW, as_bytes, damaged

LAYER = {"layer": "l1", "kind": "conv", "action": "freeze", "parameters": 30, "trainable": 2}
PLAN: dict[str, Any] = {
    "notation": "D(1,0,0) G(1,0,0)",
    "frozen_statistics": "source",
    "parameters": 60,
    "trainable": 4,
    "networks": {"discriminator": [LAYER], "generator": [LAYER]},
}
PICTURE = {"name": "a.png", "split": "training", "licence": "CC0 1.0", "size": [3, 4]}
MANIFEST: dict[str, Any] = {
    "pictures": [PICTURE, {"name": "b.png", "split": "held out"}],
    "skipped": [{"name": "c.txt", "reason": "not a picture"}],
}
SCORE: dict[str, Any] = {
    "iteration": 5,
    "name": "KID(net)",
    "value": 0.5,
    "low": 0.25,
    "high": 0.75,
    "better": "lower",
    "floor": {"mean": 0.125},
    "protocol": {"side": 16},
    "decides": True,
}


def test_whole_files_come_back(tmp_path: Path):
    (tmp_path / "plan.json").write_bytes(as_bytes(PLAN))
    plan = read_plan(tmp_path)
    assert (plan.notation, plan.trainable, plan.parameters) == ("D(1,0,0) G(1,0,0)", 4, 60)
    assert plan.actions == {"discriminator": {"l1": "freeze"}, "generator": {"l1": "freeze"}}
    (tmp_path / "manifest.json").write_bytes(as_bytes(MANIFEST))
    manifest = read_manifest(tmp_path)
    assert [picture.name for picture in manifest.training] == ["a.png"]
    assert manifest.training[0].origin == Origin(licence="CC0 1.0")
    assert manifest.skipped[0].reason == "not a picture"


@pytest.mark.parametrize(
    ("name", "data", "read"),
    [("plan.json", PLAN, read_plan), ("manifest.json", MANIFEST, read_manifest)],
)
def test_a_damaged_file_is_refused_with_file_and_field(tmp_path: Path, name: str, data, read):
    refused: dict[str, str] = {}
    for what, changed in damaged(data):
        (tmp_path / name).write_bytes(as_bytes(changed))
        try:
            read(tmp_path)
        except RunError as error:
            refused[what] = str(error)
    assert len(refused) >= 40
    for what, message in refused.items():
        field = what.partition(":")[0].rpartition(".")[2]
        assert message.startswith(f"{tmp_path / name}: "), what
        assert field in message, what
        assert len(message) < 900, what
        message.encode("utf-8")
        assert "\x1b" not in message
    for content in RAW.values():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match=name):
            read(tmp_path)


def test_what_a_damaged_plan_says_is_what_to_do(tmp_path: Path):
    (tmp_path / "plan.json").write_bytes(as_bytes({**PLAN, "trainable": "many"}))
    with pytest.raises(RunError) as caught:
        read_plan(tmp_path)
    said = str(caught.value)
    assert "trainable: Input should be a valid integer, got 'many'" in said
    assert said.endswith("start a new run with the settings in experiment.toml")


def test_whole_lines_of_scores_are_kept_and_others_named(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    lines = [as_bytes(SCORE), as_bytes({**SCORE, "value": "good"}), b'{"iteration": 7', b"[]"]
    file.write_bytes(b"\n".join([*lines, as_bytes({**SCORE, "iteration": 9, "value": None})]))
    scores, problems = read_scores(file)
    assert [(score.iteration, score.value) for score in scores] == [(5, 0.5), (9, None)]
    assert scores[0].floor is not None
    assert scores[0].floor.mean == 0.125
    assert len(problems) == 3
    assert sum("it is cut short, or no JSON object" in problem for problem in problems) == 2
    assert "line 2 of metrics.jsonl: value: " in problems[-1]
    assert "'good'" in problems[-1]
    assert read_scores(tmp_path / "none.jsonl") == ([], [])


def test_a_changed_line_of_scores_is_left_out_and_named(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    append_jsonl(file, {**SCORE, "value": 737.0}, SCORE)
    assert [score.value for score in read_scores(file)[0]] == [737.0, 0.5]
    file.write_text(file.read_text().replace("737.0", "9737.0"))
    scores, problems = read_scores(file)
    assert [score.value for score in scores] == [0.5]
    assert problems == ["line 1 of metrics.jsonl: it does not match its checksum"]
