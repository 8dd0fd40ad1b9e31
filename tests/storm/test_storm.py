"""A short storm over the cheapest commands, and the proof that the storm finds what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storm.cases import Case, chosen_cases
from storm.disturbances import DISTURBANCES
from storm.scenarios import SCENARIOS

TESTS = Path(__file__).parents[1]
SHORT = [
    *(f"pretrain:{kind}:0" for kind in ("event", "damage", "term", "second", "no-space")),
    "transfer:adapter:0",
    *(f"{name}:{kind}:0" for name in ("curate", "collect", "export") for kind in ("kill", "event")),
]


def storm(tmp_path: Path, *words: str, code: int) -> list[dict[str, Any]]:
    """Run a storm in a process of its own; return its cases."""
    file = tmp_path / "storm.json"
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "storm", "--json", str(file), "--folder", str(tmp_path), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(file.read_text())["cases"]


def only(cases: list[str]) -> list[str]:
    return [word for case in cases for word in ("--only", case)]


def test_disturbed_commands_end_as_their_twins(tmp_path: Path):
    cases = storm(tmp_path, *only(SHORT), "--seed", "1", code=0)
    assert {case["case"] for case in cases} >= set(SHORT)
    assert sum(case["kills"] for case in cases) >= len(SHORT) / 2  # most met a living process


def test_planted_faults_are_found(tmp_path: Path):
    planted = {
        "done-too-early": "adapter.safetensors is missing",
        "doubled-score": "metrics.jsonl differs",
        "other-weight": "last/generator.safetensors differs",
        "leftover": "left behind: .out.partial-",
    }
    plants = [word for plant in planted for word in ("--plant", plant)]
    cases = storm(tmp_path, *only(["transfer:adapter:0", "transfer:checkpoint:0"]), *plants, code=1)
    assert all(case["verdict"] == "equal" for case in cases if not case["plant"])  # the twins
    for plant, words in planted.items():
        said = [fault for case in cases if case["plant"] == plant for fault in case["faults"]]
        assert any(words in fault for fault in said), f"{plant}: {said}"


@pytest.mark.parametrize(
    "name", ["pretrain:kill", "pretrian:kill:0", "pretrain:kil:0", "export:damage:0"]
)
def test_a_case_that_is_none_is_refused(name: str):
    with pytest.raises(ValueError, match=f"there is no case {name}"):
        Case.named(name)


def test_each_pair_comes_before_any_comes_twice():
    cases = chosen_cases(400)
    firsts = [case for case in cases if case.number == 0]
    assert cases[: len(firsts)] == firsts
    assert len({*cases}) == len(cases) == 400
    assert {case.scenario for case in firsts} == {*SCENARIOS}
    assert {case.disturbance for case in firsts} == {*DISTURBANCES}
