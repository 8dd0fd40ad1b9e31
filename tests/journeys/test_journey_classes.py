"""Several domains in one network, through the real command line."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from graftgan.pictures import DataSettings, load_image_set
from tiny_networks import draw_pictures


def shape_of(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).shape


def test_from_two_labelled_folders_to_pictures_of_either_class(
    cli, pictures: Path, tmp_path: Path
) -> None:
    source, run, folded = tmp_path / "source", tmp_path / "run", tmp_path / "folded"
    for hue, name in ((1, "grass"), (2, "sea")):
        draw_pictures(tmp_path / "set" / name, count=10, hue=hue)
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "set").rglob("*.png")):
            file.write(path, path.relative_to(tmp_path))
    tiny = ["--batch-size", 8, "--log-every", 1]
    cli("pretrain", pictures, "--width", 4, "--resolution", 32, *tiny, "--iterations", 2,
        "--out", source)  # fmt: skip
    done = cli("transfer", archive, "--labels", "folders", "--source", source,
               "--plan", "D(1,1,2) G(1,1,2)", *tiny, "--iterations", 4, "--out", run)  # fmt: skip
    assert "classes: grass 10, sea 10" in done.stdout
    assert "D(1,1,2) G(1,1,2)" in done.stdout
    assert "D projection" in done.stdout
    assert shape_of(run / "samples" / "000004.png") == (8 * 32, 8 * 32, 3)
    entries = json.loads((run / "manifest.json").read_text())["pictures"]
    assert {entry["class"] for entry in entries} == {"grass", "sea"}
    cli("transfer", "--resume", run, "--iterations", 5)

    cli("sample", run, "--class", "sea", "--count", 4, "--out", tmp_path / "sea.png")
    assert shape_of(tmp_path / "sea.png") == (64, 64, 3)
    cli("sample", run, "--count", 6, "--out", tmp_path / "both.png")
    assert shape_of(tmp_path / "both.png") == (4 * 32, 2 * 32, 3), "a class begins a row"
    cli("sample", run, "--count", 10, "--out", tmp_path / "drawn")
    assert len(list((tmp_path / "drawn" / "grass").glob("*.png"))) == 5
    drawn = load_image_set(
        tmp_path / "drawn", DataSettings(labels="folders"), resolution=32, seed=0
    )
    assert drawn.labelling.notes[0] == "classes: grass 5, sea 5"
    cli("adapter", "fold", run, folded)
    cli("interpolate", folded, "--stops", 2, "--frames", 3, "--out", tmp_path / "walk.gif")
    with Image.open(tmp_path / "walk.gif") as video:
        assert video.n_frames == 6

    wrong = cli("sample", folded, "--class", "see", "--out", tmp_path / "no.png", code=2)
    assert "no class is named 'see'; did you mean 'sea'?" in wrong.stderr
    plain = cli("transfer", pictures, "--source", run, "--out", tmp_path / "no", code=2)
    assert (
        "the source draws the classes grass, sea, and the pictures have no labels" in plain.stderr
    )
    assert not (tmp_path / "no").exists()
