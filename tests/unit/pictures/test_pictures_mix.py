"""Mixes hold their proportions, their pictures' bytes, and repeat nothing."""

import hashlib
import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from graftgan.cli import mix as verb
from graftgan.core.errors import ImageSetError, SettingsError
from graftgan.pictures import DataSettings, Part, load_image_set, mix_sets, parse_part
from tiny_networks import draw_pictures


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    red, blue = (
        draw_pictures(tmp_path / n, count=c, hue=h) for n, c, h in (("red", 9, 0), ("blue", 20, 2))
    )
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "gray.npz", images=rng.integers(0, 256, (12, 8, 8), dtype=np.uint8))
    return {"red": red, "blue": blue, "gray": tmp_path / "gray.npz"}


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if name != "mix.json"]


def test_as_many_as_the_shares_allow_each_at_most_once(sets: dict[str, Path], tmp_path: Path):
    parts = [Part(sets["red"], 0.5), Part(sets["blue"], 0.3), Part(sets["gray"], 0.2)]
    found = mix_sets(parts, tmp_path / "mixed.zip")
    assert found.counts == {"red": 9, "blue": 5, "gray": 4}  # 18 pictures: 9 red ones are half
    names = names_in(tmp_path / "mixed.zip")
    assert Counter(name.split("/")[0] for name in names) == found.counts
    assert len(set(names)) == 18


@pytest.mark.parametrize(
    ("shares", "count", "expected"),
    [((1, 1), 7, [4, 3]), ((2, 1), 10, [7, 3]), ((0.1, 0.9), 10, [1, 9]), ((5, 5), 2, [1, 1])],
)
def test_shares_hold_to_one_picture(sets, tmp_path: Path, shares, count, expected):
    parts = [Part(sets["red"], shares[0]), Part(sets["blue"], shares[1])]
    found = mix_sets(parts, tmp_path / "mixed.zip", count=count)
    assert list(found.counts.values()) == expected


def test_pictures_keep_their_bytes_and_arrays_their_pixels(sets, tmp_path: Path):
    mix_sets([Part(sets["red"]), Part(sets["gray"])], tmp_path / "mixed.zip", count=8)
    with zipfile.ZipFile(tmp_path / "mixed.zip") as archive:
        known = json.loads(archive.read("mix.json"))
        for picture in known["pictures"]:
            if picture["name"].startswith("red/"):
                original = (sets["red"] / picture["from"]).read_bytes()
                assert archive.read(picture["name"]) == original
                assert hashlib.sha256(original).hexdigest() == picture["sha256"]
    assert [(s["name"], s["pictures"], s["share"]) for s in known["sets"]] == [
        ("red", 4, 0.5),
        ("gray", 4, 0.5),
    ]
    images = load_image_set(
        tmp_path / "mixed.zip", DataSettings(channels=1, minimum_side=4), resolution=8, seed=0
    )
    arrays = np.load(sets["gray"])["images"]
    gray = [p for p, n in zip(images.pictures, images.names, strict=True) if n.startswith("gray/")]
    assert len(gray) == 4
    assert all(any((p[0].numpy() == array).all() for array in arrays) for p in gray)


def test_equal_seeds_give_equal_files_and_others_not(sets, tmp_path: Path):
    parts = [Part(sets["red"]), Part(sets["blue"])]
    for name, seed in (("a.zip", 0), ("b.zip", 0), ("c.zip", 1)):
        mix_sets(parts, tmp_path / name, count=6, seed=seed)
    first, second, other = ((tmp_path / n).read_bytes() for n in ("a.zip", "b.zip", "c.zip"))
    assert first == second
    assert names_in(tmp_path / "a.zip") != names_in(tmp_path / "c.zip")
    assert first != other


def test_what_cannot_be_used_is_replaced_and_listed(sets, tmp_path: Path):
    for number in range(8):
        (sets["blue"] / f"x{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    found = mix_sets([Part(sets["red"]), Part(sets["blue"])], tmp_path / "mixed.zip", count=18)
    assert found.counts == {"red": 9, "blue": 9}
    assert found.skipped
    assert all("damaged" in skipped.reason for skipped in found.skipped)
    assert not any("x" in name.split("/")[1] for name in names_in(tmp_path / "mixed.zip"))


def test_sets_of_one_name_stay_apart(sets, tmp_path: Path):
    other = draw_pictures(tmp_path / "more" / "red", count=9, hue=0)
    found = mix_sets([Part(sets["red"]), Part(other)], tmp_path / "mixed.zip")
    assert found.counts == {"red": 9, "red_2": 9}


def test_mistakes_are_explained_and_leave_nothing(sets, tmp_path: Path):
    red, blue = Part(sets["red"]), Part(sets["blue"])
    out = tmp_path / "mixed.zip"
    with pytest.raises(ImageSetError, match=r"red has 9 usable pictures, and 15 are needed"):
        mix_sets([red, blue], out, count=30)
    with pytest.raises(SettingsError, match="two sets or more"):
        mix_sets([red], out)
    with pytest.raises(SettingsError, match=r"call it mixed\.zip"):
        mix_sets([red, blue], tmp_path / "mixed")
    with pytest.raises(ImageSetError, match="there is no"):
        mix_sets([red, Part(tmp_path / "nowhere")], out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blue", "gray.npz", "red"]
    out.write_bytes(b"mine")
    with pytest.raises(SettingsError, match="exists already"):
        mix_sets([red, blue], out)
    assert out.read_bytes() == b"mine"


@pytest.mark.parametrize("text", ["a.zip:0", "a.zip:-1", "a.zip:half", "a.zip:nan"])
def test_a_share_is_a_positive_number(text: str):
    with pytest.raises(SettingsError, match="has no share"):
        parse_part(text)


def test_the_verb_says_what_is_in_it(sets, tmp_path: Path, capsys):
    words = [f"{sets['red']}:3", f"{sets['blue']}:1", "--out", str(tmp_path / "m.zip")]
    assert verb.main(words) == 0
    said = capsys.readouterr().out
    assert "red: 9 pictures (75.0%)" in said
    assert "12 pictures in" in said
