"""Runs that are stopped: kill -9, Ctrl-C, two processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from journey_tools import command
from safetensors.torch import load_file

from graftgan.checkpoints import list_checkpoints
from graftgan.experiments.run_folder import load_run
from graftgan.experiments.run_page import write_run_report

ITERATIONS = 60
RUN = ["--width", "4", "--resolution", "32", "--batch-size", "8", "--iterations", str(ITERATIONS),
       "--checkpoint-every", "3", "--sample-every", "2", "--log-every", "1",
       "--augment", "diffaugment"]  # fmt: skip


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    folder = run / "checkpoints" / f"{ITERATIONS:06d}"
    files = sorted(folder.glob("*.safetensors"))
    assert [f.stem for f in files] == ["average", "discriminator", "generator", "training"]
    return {f"{f.stem}.{n}": t for f in files for n, t in load_file(f).items()}


def assert_equal_weights(first: Path, second: Path) -> None:
    one, two = final_weights(first), final_weights(second)
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert not different


def start(arguments: list[object]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(arguments),
        env={**os.environ},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def iteration_of(run: Path) -> int:
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
    return len(lines)


@pytest.mark.parametrize("objective", ["hinge", "wgan_gp"])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(
    cli, pictures: Path, tmp_path: Path, objective: str
) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    run = [*RUN, "--objective", objective]
    cli("pretrain", pictures, *run, "--out", straight)
    rng = random.Random(objective)
    kills = 0
    process = start(["pretrain", pictures, *run, "--out", broken])
    for _ in range(5):
        target = min(iteration_of(broken) + rng.randrange(0, 6), ITERATIONS - 1)
        while process.poll() is None and iteration_of(broken) < target:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if (broken / "experiment.toml").exists():
            write_run_report(broken)  # whatever the moment, the folder can be read
            if list_checkpoints(broken):
                load_run(broken)
            process = start(["pretrain", "--resume", broken])
        else:
            process = start(["pretrain", pictures, *run, "--out", broken])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert kills >= 3  # most kills hit a living process
    assert_equal_weights(straight, broken)
    iterations = [
        json.loads(x)["iteration"] for x in (broken / "log.jsonl").read_text().split("\n") if x
    ]
    assert iterations == list(range(1, ITERATIONS + 1))
    assert not list(broken.rglob(".*partial*"))


def test_killed_while_what_it_begins_with_is_trained(cli, pictures: Path, tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    run = [*RUN, "--start", "vae", "--vae-iterations", 40]
    cli("pretrain", pictures, *run, "--out", straight)
    process = start(["pretrain", pictures, *run, "--out", broken])
    while process.poll() is None and iteration_of(broken / "start") < 8:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (broken / "log.jsonl").exists()
    cli("pretrain", "--resume", broken)
    assert_equal_weights(straight, broken)
    assert json.loads((broken / "card.json").read_text())["start"]["iterations"] == 40
    shown = cli("converge", straight, broken).stdout
    assert "a vae: 40" in " ".join(shown.split())


def test_interrupt_saves_and_resume_equals_uninterrupted(
    cli, pictures: Path, tmp_path: Path
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    cli("pretrain", pictures, *RUN, "--out", straight)
    process = start(["pretrain", pictures, *RUN, "--out", stopped])
    while process.poll() is None and iteration_of(stopped) < 4:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    card = json.loads((stopped / "card.json").read_text())
    assert card["state"] == "interrupted"
    assert 4 <= card["iteration"] < ITERATIONS
    assert int(list_checkpoints(stopped)[-1].name) == card["iteration"]
    assert "interrupted" in (stopped / "report.html").read_text()
    cli("pretrain", "--resume", stopped)
    assert_equal_weights(straight, stopped)


def test_two_processes_keep_equal_weights(pictures: Path, tmp_path: Path, own_places: None) -> None:
    """Each process writes a digest of its weights through the environment's hook below."""
    script = tmp_path / "two.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "import graftgan.runs.run as composer\n"
        "from graftgan.checkpoints import fingerprint\n"
        "from graftgan.core.network_types import tensors_of\n"
        "from graftgan.training import Training\n"
        "run = Training.run\n"
        "def spy(self):\n"
        "    run(self)\n"
        "    prints = [fingerprint(tensors_of(n)) for _, n in self.pair.items()]\n"
        "    prints.append(fingerprint(self.average.tensors()))\n"
        f"    Path({str(tmp_path)!r}, 'rank' + os.environ['RANK']).write_text(' '.join(prints))\n"
        "Training.run = spy\n"
        "import runpy\n"
        "runpy.run_module('graftgan', run_name='__main__')\n"
    )
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script), "pretrain", str(pictures), *RUN, "--out", str(run)],
        capture_output=True, text=True, timeout=240, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = [(tmp_path / f"rank{r}").read_text() for r in (0, 1)]
    assert ranks[0] == ranks[1]
    assert len(final_weights(run)) > 20
    assert done.stdout.count("finished at iteration") == 1  # one process speaks
