"""Labels come from folders and stay with their pictures."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graftgan.core.errors import ImageSetError, SettingsError
from graftgan.core.settings import parse, to_plain
from graftgan.pictures import DataSettings, ImageSet, find_classes, load_image_set

COLOURS = {"azure": (20, 60, 230), "crimson": (230, 20, 60), "moss": (60, 150, 20)}
COUNTS = {"azure": 3, "crimson": 7, "moss": 4}


def draw(folder: Path, **counts: int) -> Path:
    """Write pictures of which the class can be told by the colour, with names that mix classes."""
    for name, count in (counts or COUNTS).items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            place = folder / name / f"{number:02d}.png"
            picture = Image.new("RGB", (20 + number, 20), COLOURS[name])
            picture.putpixel((picture.width // 2, number), (255, 255, 255))  # no two are equal
            picture.save(place)
    return folder


def load(path: Path, seed: int = 0, **settings: object) -> ImageSet:
    plain = {"labels": "folders", **settings}
    return load_image_set(path, DataSettings(**plain), resolution=16, seed=seed)  # type: ignore[arg-type]


def zipped(folder: Path, path: Path, *, below: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png"), reverse=True):
            archive.write(file, below + file.relative_to(folder).as_posix())
    return path


def assert_labelled_by_colour(images: ImageSet) -> None:
    labels = images.labels
    assert labels is not None
    assert labels.dtype == torch.int64
    assert len(labels) == len(images.pictures) == len(images.names)
    for picture, label, name in zip(images.pictures, labels, images.names, strict=True):
        wanted = torch.tensor(COLOURS[images.classes[int(label)]])
        assert (picture.float().mean(dim=(1, 2)) - wanted).abs().max() < 2, name


def test_the_folder_is_the_class(tmp_path: Path):
    images = load(draw(tmp_path / "set"))
    assert images.classes == ("azure", "crimson", "moss")
    assert_labelled_by_colour(images)
    assert torch.bincount(images.labels).tolist() == [3, 7, 4]
    assert "classes: azure 3, crimson 7, moss 4" in images.summary()
    assert "fewer than 10 pictures of azure, crimson, moss" in images.summary()


@pytest.mark.parametrize("below", ["", "wrapped/", "a/b/"])
def test_zips_are_labelled_too_also_those_with_a_folder_around(tmp_path: Path, below: str):
    archive = zipped(draw(tmp_path / "set"), tmp_path / "set.zip", below=below)
    assert find_classes(archive) == ("azure", "crimson", "moss")
    assert_labelled_by_colour(load(archive))


def test_labels_stay_with_their_pictures_under_split_limit_and_cache(tmp_path: Path):
    folder = draw(tmp_path / "set", azure=8, crimson=14, moss=9)
    for seed in range(4):
        first = load(folder, seed=seed, held_out=0.2, limit=25)
        assert len(first.pictures) == 20
        assert_labelled_by_colour(first)
        again = load(folder, seed=seed, held_out=0.2, limit=25)  # from the cache
        assert torch.equal(first.labels, again.labels)
        assert first.sha256 == again.sha256
    assert_labelled_by_colour(load(folder, memory_limit_mb=0))


def test_what_is_skipped_moves_no_label(tmp_path: Path):
    folder = draw(tmp_path / "set")
    (folder / "azure" / "00.png").write_bytes(b"no picture")
    (folder / "crimson" / "005.png").touch()
    images = load(folder)
    assert len(images.skipped) == 2
    assert_labelled_by_colour(images)


def test_deeper_folders_belong_to_their_class(tmp_path: Path):
    folder = draw(tmp_path / "set")
    (folder / "moss" / "azure").mkdir()
    shutil.move(folder / "moss" / "00.png", folder / "moss" / "azure" / "00.png")
    assert_labelled_by_colour(load(folder))


def test_the_manifest_says_the_class_of_every_picture(tmp_path: Path):
    manifest = load(draw(tmp_path / "set", moss=8, azure=9, crimson=9), held_out=0.1).manifest()
    assert manifest["classes"] == ["azure", "crimson", "moss"]
    for entry in manifest["pictures"]:
        assert entry["class"] == entry["name"].split("/")[0]
    plain = load(tmp_path / "set", labels=None)
    assert (plain.labels, plain.classes) == (None, ())
    assert "classes" not in plain.manifest()
    assert all("class" not in entry for entry in plain.manifest()["pictures"])


def test_without_labels_nothing_of_them_is_in_the_settings():
    assert "labels" not in to_plain(DataSettings())
    with pytest.raises(SettingsError, match="labels"):
        parse(DataSettings, {"labels": "names"}, where="here")


def test_pictures_that_lie_in_no_class_are_named(tmp_path: Path):
    flat = draw(tmp_path / "set") / "moss"
    with pytest.raises(ImageSetError, match=r"are not in several folders; put the pictures"):
        load(flat)
    shutil.copy(flat / "00.png", tmp_path / "set" / "loose.png")
    with pytest.raises(
        ImageSetError, match=r"1 of its 15 pictures are not in the folder.*loose\.png"
    ):
        load(tmp_path / "set")


def test_one_folder_is_no_set_of_classes(tmp_path: Path):
    with pytest.raises(ImageSetError, match="are not in several folders"):
        load(draw(tmp_path / "set", moss=4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageSetError, match="are not in several folders"):
        find_classes(tmp_path / "empty")
    np.savez(tmp_path / "set.npz", images=np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(ImageSetError, match="are not in several folders"):
        find_classes(tmp_path / "set.npz")


def test_a_class_with_hardly_any_picture_is_refused_by_name(tmp_path: Path):
    folder = draw(tmp_path / "set", moss=4, azure=1)
    with pytest.raises(ImageSetError, match=r"at least 2 usable pictures.* 'azure' has 1"):
        load(folder)
    (folder / "crimson").mkdir()
    (folder / "crimson" / "broken.png").touch()
    with pytest.raises(ImageSetError, match="'azure' has 1, 'crimson' has 0"):
        load(folder)
