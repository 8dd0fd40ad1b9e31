"""Compare methods over seeds through the real command line; kill it; go on."""

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
from graftgan.checkpoints import fingerprint, load_tensors

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_brightness(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def asked(cli: Cli, pictures: Path, other_pictures: Path, network: Path, tmp_path: Path) -> list:
    source = tmp_path / "source"
    cli("pretrain", pictures, *TINY, "--iterations", 2, "--out", source)
    return ["compare", other_pictures, "--source", source, "--methods",
            "fine_tune, D(1,1,2) G(1,1,2)", "--seeds", 2, "--held-out", 0.3,
            "--score-every", 3, "--score-count", 12,
            "--batch-size", 8, "--iterations", 6, "--checkpoint-every", 2, "--log-every", 1,
            "--extractor", network, "--extractor-side", 8,
            "--extractor-pixels", "minus_one_one"]  # fmt: skip


RUNS = ["fine_tune-0", "D-1-1-2-G-1-1-2-0", "fine_tune-1", "D-1-1-2-G-1-1-2-1"]


def results_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "comparison.json").read_text())


def score_of(run: Path, iteration: int) -> float:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return next(line["value"] for line in lines if line["iteration"] == iteration)


def weights_of(run: Path) -> str:
    return fingerprint(load_tensors(run / "checkpoints" / "000006" / "generator.safetensors"))


def test_two_methods_over_two_seeds_straight_and_killed(cli: Cli, asked: list, tmp_path: Path):
    out = tmp_path / "both"
    listed = cli(*asked, "--out", out, "--dry-run").stdout
    assert all(name in listed for name in RUNS)
    assert not out.exists()

    said = " ".join(cli(*asked, "--out", out).stdout.split())
    assert "run 4 of 4: D(1,1,2) G(1,1,2), seed 1; about" in said
    assert "2 seeds paired" in said
    results = results_of(out)
    (source,) = (entry for entry in results["at_end"] if entry["is_source"])
    begun = [score_of(out / "runs" / name, 0) for name in RUNS]
    assert begun[0] == begun[1] != begun[2] == begun[3]
    assert source["mean"] == pytest.approx((begun[0] + begun[2]) / 2)
    assert "source, untouched" in said.replace("│", " ")
    beats = any(entry.get("beats_source") for entry in results["at_end"])
    no_winner = "At the end, no method beats the untouched source"
    assert (no_winner in said) != beats
    assert (no_winner in results["says"][0]) != beats
    assert [run["folder"] for run in results["runs"]] == RUNS
    assert {run["state"] for run in results["runs"]} == {"finished"}
    assert {run["images"] for run in results["runs"]} == {48}
    assert {tuple(entry["seeds"]) for entry in results["at_end"]} == {(0, 1)}
    assert {entry["verdict"] for entry in results["at_end"]} <= {
        "best", "within noise", "worse", "first, but no winner",
    }  # fmt: skip
    tuned, combined = results["runs"][:2]
    assert tuned["trainable"] == tuned["parameters"] > combined["trainable"] > 0
    assert tuned["adapter_bytes"] > combined["adapter_bytes"] > 0
    assert results["shared"]["training.iterations"] == 6
    assert "plan" not in results["shared"]

    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 2 * 6
    assert len(page) < 1_000_000
    assert "D(1,1,2) G(1,1,2)" in page
    assert not re.search(r"(src|href)=.https?:", page)
    starts = [(out / "runs" / n / "samples" / "000000.png").read_bytes() for n in RUNS]
    assert starts[0] == starts[1] != starts[2] == starts[3]  # a seed's latents, the same source
    splits = [(out / "runs" / n / "manifest.json").read_text() for n in RUNS]
    assert splits[0] == splits[1] != splits[2] == splits[3]

    broken = tmp_path / "broken"
    process = subprocess.Popen(
        command([*asked, "--out", broken]),
        env={**os.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    second = broken / "runs" / RUNS[1]
    while process.poll() is None and not list(second.glob("checkpoints/*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    first = broken / "runs" / RUNS[0]
    done = (first / "card.json").stat().st_mtime_ns

    said = cli("compare", "--resume", broken).stdout
    assert "run 1 of 4" not in said
    assert "run 2 of 4" in said
    assert (first / "card.json").stat().st_mtime_ns == done
    for name in RUNS:
        assert weights_of(broken / "runs" / name) == weights_of(out / "runs" / name)
    ends = [[run["end"] for run in results_of(folder)["runs"]] for folder in (out, broken)]
    assert ends[0] == ends[1]
