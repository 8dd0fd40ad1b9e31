"""The same picture is never trained on and held out, whatever its file is called."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data_drawings import noise, write_noise
from PIL import Image, ImageOps

from graftgan.core.randomness import Randomness
from graftgan.pictures import DataSettings, ImageSet, contents_of, load_image_set
from graftgan.pictures.split import split


def load(path: Path, seed: int = 0, **settings: object) -> ImageSet:
    return load_image_set(path, DataSettings(**settings), resolution=16, seed=seed)  # type: ignore[arg-type]


def write_doubled(folder: Path, count: int, *, doubled: float, times: int = 2) -> Path:
    """Write different pictures of which a share is there several times."""
    write_noise(folder, count)
    for i in range(round(count * doubled)):
        for copy in range(1, times):
            shutil.copy(folder / f"{i:03d}.png", folder / f"copy{copy}-of-{i:03d}.png")
    return folder


@pytest.mark.parametrize("doubled", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("times", [2, 3])
def test_no_picture_is_on_both_sides(tmp_path: Path, doubled: float, times: int):
    folder = write_doubled(tmp_path / "p", 20, doubled=doubled, times=times)
    for seed in range(5):
        images = load(folder, seed=seed, held_out=0.2)
        assert not set(contents_of(images.pictures)) & set(contents_of(images.held_out))
        count = len(images.names) + len(images.held_out_names)
        assert count == 20 + (times - 1) * round(20 * doubled)
        assert 0.2 * count - times < len(images.held_out) <= round(0.2 * count)


def test_a_mirrored_picture_is_the_same_one(tmp_path: Path):
    folder = write_noise(tmp_path / "p", 10, side=16)
    for i in range(10):
        ImageOps.mirror(noise(16, 16, seed=i)).save(folder / f"mirrored-{i:03d}.png")
    for seed in range(5):
        images = load(folder, seed=seed, held_out=0.3)
        held_out = {name.removeprefix("mirrored-") for name in images.held_out_names}
        assert len(images.held_out_names) == 6
        assert len(held_out) == 3


def test_without_doubles_the_split_is_what_it_always_was():
    """Recorded experiments depend on it; this is the rule they were made with."""
    contents = [str(i) for i in range(57)]
    for seed, limit, share in ((0, None, 0.2), (1, 40, 0.1), (2, 3, 0.9), (3, 57, 0.0)):
        randomness = Randomness(seed)
        used = torch.randperm(57, generator=randomness.generator("data/limit"))
        used = used[:limit].sort().values
        order = torch.randperm(len(used), generator=randomness.generator("data/held_out"))
        kept = min(max(1, round(share * len(used))) if share else 0, len(used) - 1)
        parts = split(contents, DataSettings(limit=limit, held_out=share), seed)
        assert parts.held_out.tolist() == used[order[:kept].sort().values].tolist()
        assert parts.training.tolist() == used[order[kept:].sort().values].tolist()


def test_a_recorded_set_has_its_recorded_hash(tmp_path: Path):
    """What the version before contents were split on gave: pixels, names, order and split."""
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:03d}.png")
    images = load(tmp_path, held_out=0.25, limit=10, seed=4)
    assert images.held_out_names == ("002.png", "008.png")
    assert images.sha256 == "0a7a9428d2e261ca0e349502ce88f550e0e1240d8d2748c95748ee5da26a58bc"


def test_a_limit_takes_different_pictures_first(tmp_path: Path):
    folder = write_doubled(tmp_path / "p", 8, doubled=1.0, times=3)
    for seed in range(5):
        assert len(set(contents_of(load(folder, seed=seed, limit=8).pictures))) == 8
    assert len(load(folder, limit=20).pictures) == 20


def test_where_every_picture_is_there_many_times_some_are_still_held_out(tmp_path: Path):
    images = load(write_doubled(tmp_path / "p", 3, doubled=1.0, times=5), held_out=0.1)
    assert (len(images.held_out), len(images.pictures)) == (5, 10)
    alone = load(write_doubled(tmp_path / "one", 1, doubled=1.0, times=4), held_out=0.5)
    assert (len(alone.held_out), len(alone.pictures)) == (0, 4)


def test_doubles_are_named(tmp_path: Path):
    folder = write_noise(tmp_path / "p", 4)
    assert load(folder).notes == ()
    shutil.copy(folder / "001.png", folder / "another.png")
    images = load(folder)
    assert "1 of 5 pictures are equal to others" in images.summary()
    assert "another.png = 001.png" in images.summary()
    doubles = {p["name"]: p["double_of"] for p in images.manifest()["pictures"] if "double_of" in p}
    assert doubles == {"another.png": "001.png"}
    json.dumps(images.manifest())


def test_equal_pictures_in_different_classes_are_said(tmp_path: Path):
    folder = write_noise(tmp_path / "p" / "cats", 4)
    shutil.copytree(folder, tmp_path / "p" / "dogs")
    assert "in different classes" in load(tmp_path / "p", labels="folders").summary()
