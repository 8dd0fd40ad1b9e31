"""Avatars are CC0, depend on style, number and seed alone, and appear whole."""

import importlib
import json
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from graftgan.core.errors import ImageSetError
from graftgan.pictures import CC0_STYLES, avatars, render_avatars

pytest.importorskip("dicebear", reason="needs the extra 'demo'")
pytest.importorskip("resvg_py", reason="needs the extra 'demo'")


def draw(folder: Path, *styles: str, count: int = 4, seed: int = 0, size: int = 32) -> Path:
    return render_avatars(folder, styles=styles, count=count, seed=seed, size=size)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (32, 32))
        return np.asarray(image)


def test_the_list_of_styles_is_every_cc0_style_but_text() -> None:
    cc0: list[str] = []
    for file in files("dicebear_styles").iterdir():
        if file.name.endswith(".json"):
            licence = json.loads(file.read_text(encoding="utf-8"))["meta"]["license"]
            cc0 += [file.name[:-5]] if licence["name"] == "CC0 1.0" else []
    assert len(cc0) > 20
    assert set(CC0_STYLES) <= set(cc0)
    assert "initials" not in CC0_STYLES


def test_pictures_are_opaque_and_in_rotation(tmp_path: Path) -> None:
    folder = draw(tmp_path / "a", "lorelei", "thumbs", count=5)
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.json", "lorelei-00000.png", "lorelei-00001.png", "lorelei-00002.png",
        "thumbs-00000.png", "thumbs-00001.png",
    ]  # fmt: skip
    assert len(np.unique(pixels(folder / "lorelei-00000.png").reshape(-1, 3), axis=0)) > 20
    card = json.loads((folder / "card.json").read_text())
    assert card["styles"]["lorelei"]["licence"] == "CC0 1.0"
    assert card["styles"]["lorelei"]["creator"] == "Lisa Wischofsky"
    assert (card["count"], card["seed"], card["size"]) == (5, 0, 32)
    assert set(card["versions"]) == {"dicebear-core", "dicebear-styles", "resvg-py", "pillow"}


def test_a_picture_depends_on_style_number_and_seed_alone(tmp_path: Path) -> None:
    alone = draw(tmp_path / "alone", "critters", count=2)
    mixed = draw(tmp_path / "mixed", "thumbs", "critters", count=4)
    other = draw(tmp_path / "other", "critters", count=2, seed=1)
    for name in ("critters-00000.png", "critters-00001.png"):
        assert (alone / name).read_bytes() == (mixed / name).read_bytes()
        assert (alone / name).read_bytes() != (other / name).read_bytes()


def test_what_is_there_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw(tmp_path / "a", "thumbs")

    def fail(*_: object, **__: object) -> NoReturn:
        raise AssertionError("drawn again")

    monkeypatch.setattr(avatars, "_draw_all", fail)
    assert draw(folder, "thumbs") == folder
    with pytest.raises(ImageSetError, match="already exists"):
        draw(folder, "thumbs", seed=1)
    (folder / "thumbs-00000.png").unlink()
    with pytest.raises(ImageSetError, match="nothing was changed"):
        draw(folder, "thumbs")


def test_somebodys_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ImageSetError, match="already exists"):
        draw(tmp_path, "thumbs")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_avatars(tmp_path / "a", styles=["thumbs"], count=3, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("styles", "count", "size", "message"),
    [
        (["lorelie"], 1, 64, "did you mean 'lorelei'"),
        (["adventurer"], 1, 64, "licensed 'CC BY 4.0', not CC0"),
        (["../escape"], 1, 64, "no avatar style"),
        ([], 1, 64, "one or more different styles"),
        (["thumbs", "thumbs"], 1, 64, "different styles"),
        (["thumbs"], 0, 64, "at least 1"),
        (["thumbs"], 1, 4, "8 to 1024"),
    ],
)
def test_unusable_arguments(
    tmp_path: Path, styles: list[str], count: int, size: int, message: str
) -> None:
    with pytest.raises(ImageSetError, match=message):
        render_avatars(tmp_path / "a", styles=styles, count=count, size=size)
    assert list(tmp_path.iterdir()) == []


def test_the_missing_extra_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> NoReturn:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImageSetError, match="its extra `demo`"):
        draw(tmp_path / "a", "thumbs")
