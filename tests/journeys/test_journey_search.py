"""Search for a plan through the real command line: kill it, share it, train the winner."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journey_tools import TINY, command

from feature_networks import save_brightness

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def asked(cli: Cli, pictures: Path, other_pictures: Path, tmp_path: Path) -> list:
    source, network = tmp_path / "source", save_brightness(tmp_path)
    cli("pretrain", pictures, *TINY, "--iterations", 1, "--out", source)
    return ["search", other_pictures, "--source", source, "--held-out", 0.3,
            "--score-every", 1, "--score-count", 12, "--batch-size", 8, "--iterations", 2,
            "--checkpoint-every", 1, "--log-every", 1, "--extractor", network,
            "--extractor-side", 8, "--extractor-pixels", "minus_one_one",
            "--extractor-view", "pixels"]  # fmt: skip


FAST = ["--generator-learning-rate", 0.2, "--discriminator-learning-rate", 0.2]
"""Two iterations at these rates change pictures beyond chance."""


def found_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "search.json").read_text())


def begun(said: str) -> list[int]:
    return [int(number) for number in re.findall(r"^trial (\d+) \(", said, re.MULTILINE)]


def start(arguments: list, log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as said:
        return subprocess.Popen(
            command(arguments), env={**os.environ}, stdout=said, stderr=subprocess.STDOUT, text=True
        )


def test_a_gradual_search_killed_gone_on_with_and_its_winner_trained(
    cli: Cli, asked: list, other_pictures: Path, tmp_path: Path
):
    out = tmp_path / "found"
    options = [*asked, *FAST, "--networks", "generator", "--plan", "D(2,0,2) G(0,0,*)",
               "--trials", 3, "--confirm-seeds", 1, "--confirm-top", 1, "--out", out]  # fmt: skip
    listed = cli(*options, "--dry-run").stdout
    assert "G(3,0,1)" in listed
    assert "nothing was trained" in listed
    assert not out.exists()

    process = start(options, tmp_path / "said.txt")
    second = out / "runs" / "0001"
    while process.poll() is None and not list(second.glob("checkpoints/*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    first = out / "runs" / "0000" / "card.json"
    done = first.stat().st_mtime_ns
    assert not found_in(out)["complete"]

    said = cli("search", "--resume", out).stdout
    assert begun(said) == [1, 2, 3]
    assert "at most 3 trials left, about" in " ".join(said.split())
    assert first.stat().st_mtime_ns == done
    found = found_in(out)
    assert found["complete"]
    plans = [trial["overrides"]["plan"] for trial in found["trials"]]
    assert plans[0] == "D(2,0,2) G(3,0,1)"
    assert len({*plans[:3]}) == 3
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 4
    assert [trial["stage"] for trial in found["trials"]] == ["search"] * 3 + ["confirm"]
    assert found["spent"]["trials"] == 3
    assert found["spent"]["images"] == 3 * 16
    assert sum(cell["count"] for cell in found["surface"]["generator"]) == 3
    assert found["confirmed"][0]["trial"] == found["winner"] == found["ranking"][0]
    assert found["source"]["verdict"] == "worse"
    assert "source, untouched" in said
    assert "use it: graftgan transfer" in said
    assert cli("search", "--resume", out).stdout.count("trial 0 (") == 0  # nothing is left to do
    more = cli("search", "--resume", out, "--trials", 4).stdout
    assert begun(more)[0] == 4

    page = (out / "search.html").read_text(encoding="utf-8")
    assert "4 of 4 ended" in page
    assert page.count("<img") == 1
    assert page.count('class="curves"') == 2 + 1 + 1  # two heat maps, the front, the curves
    assert not re.search(r"(src|href)=.https?:", page)

    winner = found_in(out)["trials"][found_in(out)["winner"]]
    run = tmp_path / "winner"
    cli("transfer", other_pictures, "--config", out / "winner.toml", "--out", run)
    assert json.loads((run / "plan.json").read_text())["notation"] == winner["plan"]
    lines = [
        (f / "metrics.jsonl").read_text() for f in (run, out / "runs" / f"{winner['number']:04d}")
    ]
    assert lines[0] == lines[1]  # the same run, bit for bit

    for file in (out / "trials").glob("*.json"):  # as if the source had been better than all
        trial = json.loads(file.read_text())
        trial["untouched"] |= {"value": -9.0, "low": -9.1, "high": -8.9}
        file.write_text(json.dumps(trial))
    cli("search", "--resume", out)
    assert not (out / "winner.toml").exists()


@pytest.mark.parametrize("strategy", ["grid", "optuna"])
def test_a_search_that_no_trial_wins_says_so_and_writes_no_winner(
    cli: Cli, asked: list, strategy: str, tmp_path: Path
):
    """The pictures are the source's own, so that nothing is better than to leave it as it is."""
    if strategy == "optuna":
        pytest.importorskip("optuna")
    own, out = tmp_path / "own", tmp_path / "out"
    cli("sample", tmp_path / "source", "--count", 40, "--seed", 7, "--out", own)
    options = ["--strategy", strategy, "--networks", "generator", "--trials", 2,
               "--confirm-seeds", 1, "--out", out]  # fmt: skip
    said = cli("search", own, *asked[2:], *FAST, *options).stdout
    found = found_in(out)
    assert found["complete"]
    assert "winner" not in found
    assert found["source"]["verdict"] == "best"
    assert [trial["stage"] for trial in found["trials"]] == ["search"] * 2
    score = found["score"]
    last = f"there is no winner, and no winner.toml: no trial beats the untouched source by {score}"
    rows = [line for line in said.splitlines() if line.startswith("│")]
    assert "source, untouched" in rows[0]
    for words in (said, cli("search", "--resume", out).stdout):
        assert " ".join(words.split()).endswith(last)
        assert "there is no winner, and none is run again" in " ".join(words.split())
        assert "--config" not in words
    assert not (out / "winner.toml").exists()
    page = (out / "search.html").read_text(encoding="utf-8")
    assert "No trial beats the untouched source" in page
    assert "source, untouched" in page
    assert "winner.toml" not in page


def test_two_processes_share_one_study(cli: Cli, asked: list, tmp_path: Path):
    pytest.importorskip("optuna")
    out = tmp_path / "shared"
    logs = [tmp_path / "one.txt", tmp_path / "two.txt"]
    options = ["--strategy", "optuna", "--trials", 5, "--pruner", "median", "--out", out]
    one = start([*asked, *options], logs[0])
    while one.poll() is None and not (out / "search.toml").exists():
        time.sleep(0.01)
    two = start(["search", "--resume", out], logs[1])
    codes = [one.wait(timeout=300), two.wait(timeout=300)]
    said = [log.read_text() for log in logs]
    assert codes == [0, 0], said
    assert all("Traceback" not in words for words in said)
    assert sorted(begun(said[0]) + begun(said[1])) == [0, 1, 2, 3, 4]  # each by one of them
    trials = found_in(out)["trials"]
    assert len({str(trial["overrides"]) for trial in trials}) == 5
    assert {trial["state"] for trial in trials} <= {"finished", "pruned"}
    assert sorted(trial["reference"] for trial in trials) == list(range(5))
    assert (out / "study.db").is_file()


def test_the_grid_of_one_network_restricted_to_a_few(cli: Cli, asked: list, tmp_path: Path):
    out = tmp_path / "grid"
    options = ["--strategy", "grid", "--networks", "discriminator", "--actions",
               "freeze,fine_tune", "--judge", "best", "--out", out]  # fmt: skip
    cli(*asked, *options)
    found = found_in(out)
    cells = {(cell["freeze"], cell["tune"]) for cell in found["surface"]["discriminator"]}
    assert cells == {(0, 4), (1, 3), (2, 2), (3, 1)}
    assert found["judge"] == "best"
    assert found["source"]["mean"] > 0
    lucky = "best of 4 scores of one run each" in " ".join(found["notes"])
    assert lucky == ("winner" in found) == (out / "winner.toml").exists()
