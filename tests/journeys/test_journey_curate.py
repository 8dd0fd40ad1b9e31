"""Raw pictures to a model with a card, through the command line, killed on the way."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from journey_tools import TINY, command
from PIL import Image

from graftgan.pictures.curation import CurationSettings, curate, rules_of

COUNT = 60
FLAGS = ["--off", "text", "face", "--threshold", "small=90"]


def texture(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, size=(7, 7, 3), dtype=np.uint8))
    large = np.asarray(coarse.resize((160, 160), Image.Resampling.BICUBIC))
    noise = rng.normal(0, 18, size=large.shape)
    return Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, every tenth of them gray, each with an author; one file is none."""
    folder = tmp_path_factory.mktemp("curate") / "raw"
    folder.mkdir()
    lines: list[dict[str, str]] = []
    for number in range(COUNT):
        image = texture(number)
        if number % 10 == 0:
            image = image.convert("L")
        image.save(folder / f"{number:03d}.png")
        licence = "CC0 1.0" if number % 2 else "CC BY 4.0"
        lines.append({"name": f"{number:03d}.png", "author": "Ada", "licence": licence})
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def decisions(clean: Path) -> list[str]:
    return (clean / "decisions.jsonl").read_text().splitlines()


def read_so_far(clean: Path) -> list[str]:
    path = clean / ".curation/readings.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line for line in lines if line.endswith("}")]


def test_from_raw_pictures_to_a_model_with_a_card(cli, raw: Path, tmp_path: Path):
    clean = tmp_path / "clean"
    shown = cli("curate", raw, clean, *FLAGS, "--advise")
    assert f"{COUNT - 6} of {COUNT + 1} pictures kept" in shown.stdout
    assert "--off gray" in shown.stdout
    assert "CC0 1.0 (30), CC BY 4.0 (24)" in shown.stdout
    run = tmp_path / "run"
    cli("pretrain", clean, *TINY, "--iterations", 4, "--out", run)
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(manifest["pictures"]) == COUNT - 6
    assert {picture["author"] for picture in manifest["pictures"]} == {"Ada"}
    cli("export", run, "--to", "hub", "--out", tmp_path / "hub")
    page = (tmp_path / "hub/README.md").read_text()
    assert "CC0 1.0 (30), CC BY 4.0 (24)" in page
    assert "Ada (54)" in page


def test_killed_twice_and_run_again_equals_a_run_in_one_go(cli, raw: Path, tmp_path: Path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    cli("curate", raw, straight, *FLAGS)
    seen: list[int] = []
    for at in (5, 25):
        running = subprocess.Popen(
            command(["curate", raw, broken, *FLAGS, "--processes", 2]),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while len(read_so_far(broken)) < at:
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        seen.append(len(read_so_far(broken)))
        assert not (broken / "decisions.jsonl").exists()
        assert not (broken / "pictures").exists()
    assert seen[0] < seen[1] < COUNT
    again = cli("curate", raw, broken, *FLAGS)
    assert f"{COUNT + 1 - seen[1]} read now" in again.stdout
    assert decisions(broken) == decisions(straight)
    names = [json.loads(line)["name"] for line in read_so_far(broken)]
    assert sorted(names) == sorted([*(f"{i:03d}.png" for i in range(COUNT)), "broken.jpg"])
    assert {p.name for p in (broken / "pictures").iterdir()} == {
        p.name for p in (straight / "pictures").iterdir()
    }


def test_a_cluster_finds_the_same(raw: Path, tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    rules = rules_of(off=["text", "face"], thresholds=["small=90"])
    curate(raw, tmp_path / "here", CurationSettings(rules=rules, processes=1))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        settings = CurationSettings(rules=rules, cluster=cluster.scheduler_address)
        found = curate(raw, tmp_path / "there", settings)
    assert found.read == COUNT + 1
    assert decisions(tmp_path / "there") == decisions(tmp_path / "here")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--off", "tekst"], "no filter named 'tekst'; did you mean 'text'"),
        (["--threshold", "gray"], "write NAME=NUMBER"),
        (["--side", "64"], "add --crop"),
        (["--processes", "0"], "processes must be at least 1"),
        (["--face-detector", "none.onnx"], "cannot read the face detector none.onnx"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    raw: Path, tmp_path: Path, arguments: list[str], message: str
):
    done = subprocess.run(
        command(["curate", raw, tmp_path / "clean", *arguments]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "clean" / "pictures").exists()
