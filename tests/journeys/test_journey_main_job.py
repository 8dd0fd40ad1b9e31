"""The main job from the first picture to the folded source, through the real command line."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from graftgan.checkpoints import list_checkpoints


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


def test_from_pictures_to_a_source_of_ones_own(
    cli, pictures: Path, other_pictures: Path, tmp_path: Path
) -> None:
    source, run, folded = tmp_path / "source", tmp_path / "run", tmp_path / "folded"
    tiny = ["--batch-size", 8, "--log-every", 1]
    cli("pretrain", pictures, "--width", 4, "--resolution", 32, *tiny, "--iterations", 6,
        "--out", source)  # fmt: skip
    done = cli("transfer", other_pictures, "--source", source, "--plan", "D(1,1,2) G(1,1,2)",
               "--training.iterations", 8, *tiny, "--out", run)  # fmt: skip
    assert "24 pictures at 32 px" in done.stdout
    assert "D(1,1,2) G(1,1,2)" in done.stdout

    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in log] == list(range(1, 9))
    page = (run / "report.html").read_text()
    assert "D(1,1,2) G(1,1,2)" in page
    assert "adafm" in page
    assert list_checkpoints(run)[-1].name == "000008"
    assert pixels_of(run / "samples" / "000008.png").shape == (8 * 32, 8 * 32, 3)

    cli("adapter", "fold", run, folded)
    for model, out in ((run, "run.png"), (folded, "folded.png")):
        cli("sample", model, "--count", 6, "--seed", 5, "--out", tmp_path / out)
    pixels = [pixels_of(tmp_path / name) for name in ("run.png", "folded.png")]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1

    cli("sample", source, "--adapter", run, "--count", 6, "--seed", 5, "--out", tmp_path / "on.png")
    assert np.array_equal(pixels_of(tmp_path / "on.png"), pixels[1])

    cli("sample", folded, "--count", 3, "--out", tmp_path / "files")
    assert len(list((tmp_path / "files").glob("*.png"))) == 3
    cli("interpolate", folded, "--stops", 2, "--frames", 3, "--out", tmp_path / "walk.gif")
    with Image.open(tmp_path / "walk.gif") as video:
        assert video.n_frames == 6
    cli("preview", other_pictures, "--rows", 2, "--out", tmp_path / "preview.png")
    assert pixels_of(tmp_path / "preview.png").shape[1] > 3 * 32


def test_an_adapter_refuses_another_base(
    cli, pictures: Path, other_pictures: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        cli("pretrain", pictures, "--width", 4, "--resolution", 32, "--batch-size", 8,
            "--iterations", 2, "--seed", seed, "--out", tmp_path / f"source{seed}")  # fmt: skip
    cli("transfer", other_pictures, "--source", tmp_path / "source0", "--batch-size", 8,
        "--iterations", 2, "--out", tmp_path / "run")  # fmt: skip
    done = cli("adapter", "fold", tmp_path / "run", tmp_path / "out",
               "--source", tmp_path / "source1", code=2)  # fmt: skip
    assert "belongs to another base" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_experiment_gives_the_same_weights(cli, pictures: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cli("pretrain", pictures, "--width", 4, "--resolution", 32, "--batch-size", 8,
            "--iterations", 3, "--out", tmp_path / name)  # fmt: skip
    first, second = (
        load_file(tmp_path / name / "checkpoints" / "000003" / "generator.safetensors")
        for name in ("a", "b")
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_experiment_file_can_be_run_again(cli, pictures: Path, tmp_path: Path) -> None:
    cli("pretrain", pictures, "--width", 4, "--resolution", 32, "--batch-size", 8,
        "--iterations", 2, "--out", tmp_path / "first")  # fmt: skip
    again = cli("pretrain", "--config", tmp_path / "first" / "experiment.toml",
                "--out", tmp_path / "second")  # fmt: skip
    assert "finished at iteration 2" in again.stdout
    assert " minutes" not in again.stdout  # it took seconds
    texts = [(tmp_path / n / "experiment.toml").read_text() for n in ("first", "second")]
    assert texts[0] == texts[1]
