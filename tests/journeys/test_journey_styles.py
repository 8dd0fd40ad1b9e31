"""A StyleGAN through the real command line: trained, transferred, mixed, projected."""

import json
from pathlib import Path

from PIL import Image

from graftgan.checkpoints import load_tensors
from graftgan.core.settings import read_toml
from graftgan.experiments.run_folder import RunFolder
from tiny_networks import draw_pictures


def test_from_folders_of_classes_to_a_picture_of_ones_own(cli, tmp_path: Path) -> None:
    for hue, name in ((0, "red"), (1, "green")):
        draw_pictures(tmp_path / "set" / name, count=8, hue=hue)
    source, run = tmp_path / "source", tmp_path / "run"
    tiny = ["--batch", 4, "--log-every", 1, "--checkpoint-every", 1]
    cli("pretrain", tmp_path / "set", "--backbone", "stylegan2", "--labels", "folders",
        "--resolution", 16, "--width", 4, "--most-channels", 16, "--style-size", 16,
        "--mapping-layers", 2, "--latent-size", 16, *tiny, "--iterations", 2,
        "--out", source)  # fmt: skip
    settings = read_toml(RunFolder(source).experiment_file)
    assert settings["objective"] == "gan"
    assert settings["optimization"]["path_length"] == 2.0
    done = cli("transfer", tmp_path / "set", "--labels", "folders", "--source", source,
               "--freezed", 4, "--gamma", 1.5, "--mirror", 1, *tiny, "--kimg", 1, "--seconds", 1,
               "--out", run)  # fmt: skip
    assert "D(1,0,2) G(0,0,4)" in done.stdout
    settings = read_toml(RunFolder(run).experiment_file)
    assert settings["optimization"]["r1_gamma"] == 1.5
    assert settings["augmentation"]["flip"] is True
    assert settings["training"]["iterations"] == 250

    cli("sample", run, "--class", "green", "--seeds", "1,4-6", "--truncation", 0.5,
        "--out", tmp_path / "green.png")  # fmt: skip
    with Image.open(tmp_path / "green.png") as sheet:
        assert sheet.size == (32, 32)
    cli("styles", "mix", run, "--rows", "1-2", "--columns", "3-5", "--layers", "0-3",
        "--out", tmp_path / "mixed.png")  # fmt: skip
    with Image.open(tmp_path / "mixed.png") as sheet:
        assert sheet.size == (4 * 16, 3 * 16)
    picture = tmp_path / "set" / "red" / "000.png"
    cli("styles", "project", run, picture, "--steps", 3, "--class", "red",
        "--out", tmp_path / "found")  # fmt: skip
    assert load_tensors(tmp_path / "found" / "styles.safetensors")["styles"].shape == (1, 6, 16)
    found = json.loads((tmp_path / "found" / "projection.json").read_text())
    assert set(found) == {"000.png"}
    with Image.open(tmp_path / "found" / "projected.png") as sheet:
        assert sheet.size == (16, 32)  # the picture, and what was found under it

    wrong = cli("styles", "mix", run, "--layers", "0-9", "--out", tmp_path / "no.png", code=2)
    assert "has styles for layers 0 to 5" in wrong.stderr
    again = cli("styles", "project", run, picture, "--out", tmp_path / "found", code=2)
    assert "exists already" in again.stderr
    many = cli("sample", run, "--seeds", "0-200000000", "--out", tmp_path / "no.png", code=2)
    assert "--seeds takes at most 1,000,000 numbers" in many.stderr
    typo = cli("sample", run, "--seeds", "1;2", "--out", tmp_path / "no.png", code=2)
    assert "--seeds takes numbers such as 1,5,8-10" in typo.stderr
    assert not (tmp_path / "no.png").exists()
