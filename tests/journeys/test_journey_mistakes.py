"""A person's mistakes: one clear line, exit code 2, nothing half-written."""

import os
import subprocess
from pathlib import Path

import pytest
from journey_tools import TINY, command


def mistake(cli, *arguments: object, says: str) -> None:
    done = cli(*arguments, code=2)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert says in lines[0], lines[0]


@pytest.fixture
def source(cli, pictures: Path, tmp_path: Path) -> Path:
    path = tmp_path / "source"
    cli("pretrain", pictures, *TINY, "--iterations", 2, "--out", path)
    return path


def test_wrong_plan_resolution_and_settings(cli, source: Path, pictures: Path, tmp_path) -> None:
    out = tmp_path / "out"
    ask = ("transfer", pictures, "--source", source, "--out", out)
    mistake(cli, *ask, "--plan", "D(2,2,2) G(1,1,2)", says="must add up to 4")
    mistake(cli, *ask, "--plan", "combind", says="is not a plan")
    mistake(cli, *ask, "--resolution", 64, says="resolution is 32 in the source")
    mistake(cli, *ask, "--objective", "wgangp", says="did you mean")
    mistake(cli, *ask, "--objective", "wgan_gp", says="without batch normalisation")
    mistake(cli, *ask, "--training.iteratoins", 5, says="training.iterations")
    mistake(cli, *ask, "--plan", "D(4,0,0) G(4,0,0)", says="nothing to train")
    mistake(cli, *ask, "--iterations", "abc", says="--iterations takes a whole number, got 'abc'")
    mistake(
        cli, *ask, "--iteratoins", 5, says="no option --iteratoins; did you mean '--iterations'?"
    )
    mistake(cli, *ask, "--backbone", "mlp", says="backbone is dcgan in the source")
    mistake(cli, *ask, "--objective", "wgan", "--beta1", "0.9", says="mean nothing for rmsprop")
    assert not out.exists()


def test_missing_source_and_pictures(cli, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mistake(cli, "transfer", pictures, "--source", "nowhere", "--out", out, says="no source")
    mistake(cli, "pretrain", tmp_path / "nothing", *TINY, "--out", out, says="nothing")
    mistake(cli, "transfer", "--resume", tmp_path / "norun", says="not a run folder")
    mistake(cli, "sample", tmp_path, says="no source")
    mistake(cli, "tranfser", says="did you mean 'transfer'")
    assert not out.exists()


def test_a_run_that_was_tampered_with_is_not_resumed(cli, source: Path) -> None:
    settings, card = source / "experiment.toml", source / "card.json"
    before = settings.read_text()
    settings.write_text(before.replace("batch_size = 8", "batch_size = 4"))
    mistake(cli, "pretrain", "--resume", source, says="was changed since the run began")
    settings.write_text(before)
    mistake(cli, "pretrain", "--resume", source, "--iterations", 1, says="has done 2 iterations")
    newest = source / "checkpoints" / "000002" / "average.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    mistake(cli, "pretrain", "--resume", source, says="remove the folder")
    card.write_text("{}")  # its copy stands in for it
    mistake(cli, "pretrain", "--resume", source, says="remove the folder")
    card.with_name(".card.json").write_text("{}")
    mistake(cli, "pretrain", "--resume", source, says="card.json is damaged")


def test_a_folder_that_holds_something_is_left_alone(cli, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    mistake(cli, "pretrain", pictures, *TINY, "--out", out, says="is not empty")
    assert (out / "thesis.txt").read_text() == "years of work"


def test_a_place_that_cannot_be_written(cli, pictures: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("a file where a folder should be")
    mistake(cli, "pretrain", pictures, *TINY, "--out", blocker / "run", says="cannot write")
    assert blocker.read_text() == "a file where a folder should be"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file limit")
def test_a_full_disk_leaves_nothing_half_written(
    pictures: Path, tmp_path: Path, own_places: None
) -> None:
    """A limit on the size of files stands in for the full disk: writing fails midway."""
    out = tmp_path / "run"
    limited = ["bash", "-c", 'ulimit -f 60; trap "" XFSZ; exec "$@"', "bash"]
    done = subprocess.run(
        [*limited, *command(["pretrain", pictures, *TINY, "--iterations", 2, "--out", out])],
        capture_output=True, text=True, timeout=120, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.rglob(".*partial*"))
    assert not list((out / "checkpoints").glob("0*"))


def test_flags_of_a_new_run_are_not_for_an_old_one(cli, source: Path) -> None:
    says = "--dry-run is for a new run; --resume keeps the settings"
    mistake(cli, "pretrain", "--resume", source, "--dry-run", says=says)
    mistake(cli, "pretrain", "--resume", source, "--beta1", 0.5, says="--beta1 is for a new run")
    mistake(cli, "pretrain", "--resume", source, "--training.batch-size", 5, says="--batch-size is")
    for verb, what in (("compare", "comparison"), ("search", "search")):
        says = f"--dry-run is for a new {what}; --resume keeps the settings that a {what} began"
        mistake(cli, verb, "--resume", source, "--dry-run", says=says)


def test_pictures_that_were_drawn_stay(cli, source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("samples.png", "samples_2.png", "samples_3.png")):
        assert f"4 pictures in {name}" in cli("sample", source, "--count", 4, "--seed", seed).stdout
    drawn = [(tmp_path / f"samples{end}.png").read_bytes() for end in ("", "_2", "_3")]
    assert len({*drawn}) == 3
