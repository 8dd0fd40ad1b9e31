"""Each real file counts once, however many links lead to it."""

import os
from pathlib import Path

from data_drawings import write_noise

from graftgan.pictures import DataSettings, ImageSet, find_classes, load_image_set


def load(path: Path) -> ImageSet:
    return load_image_set(path, DataSettings(), resolution=16, seed=0)


def test_a_loop_of_links_gives_each_picture_once(tmp_path: Path):
    write_noise(tmp_path / "a", 5)
    for i in range(5, 10):  # others than those in a
        write_noise(tmp_path / "all", 10)
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "all" / f"{i:03d}.png").rename(tmp_path / "b" / f"{i:03d}.png")
    for rest in (tmp_path / "all").iterdir():
        rest.unlink()
    (tmp_path / "a" / "x").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "y").symlink_to(tmp_path / "a")
    images = load(tmp_path)
    assert images.names == tuple(
        [f"a/{i:03d}.png" for i in range(5)] + [f"b/{i:03d}.png" for i in range(5, 10)]
    )
    assert images.notes == ("left out 2 links to what is in the folder already",)


def test_a_link_that_comes_first_in_the_alphabet_takes_no_class_away(tmp_path: Path):
    write_noise(tmp_path / "p" / "cats", 2)
    write_noise(tmp_path / "p" / "dogs", 2)
    (tmp_path / "p" / "cats" / "all").symlink_to(tmp_path / "p" / "dogs")
    assert find_classes(tmp_path / "p") == ("cats", "dogs")


def test_links_to_files_count_where_the_file_is_elsewhere(tmp_path: Path):
    store = write_noise(tmp_path / "store", 2)
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "a.png").symlink_to(store / "000.png")
    (folder / "b.png").symlink_to(store / "000.png")
    os.link(store / "001.png", folder / "c.png")
    os.link(store / "001.png", folder / "d.png")
    (folder / "more").symlink_to(store)
    images = load(folder)
    assert images.names == ("a.png", "c.png")
    assert len(images.skipped) == 0
    assert images.notes == ("left out 4 links to what is in the folder already",)


def test_broken_links_are_listed_whatever_they_are_called(tmp_path: Path):
    write_noise(tmp_path / "p", 1)
    (tmp_path / "p" / "unplugged").symlink_to("/no/such/drive")
    (tmp_path / "p" / "round.png").symlink_to("round.png")
    assert {s.name: s.reason for s in load(tmp_path / "p").skipped} == {
        "round.png": "a broken link",
        "unplugged": "a broken link",
    }
