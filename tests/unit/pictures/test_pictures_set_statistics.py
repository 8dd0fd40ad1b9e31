"""Diversity and recall of sets against what is known of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graftgan.cli import main
from graftgan.core.errors import GraftganError, SettingsError
from graftgan.metrics.diversity import pairwise_distance
from graftgan.pictures.set_statistics import set_statistics


def draw(folder: Path, colours: list[tuple[int, int, int]], count: int = 16) -> Path:
    """Write ``count`` pictures of the colours in turn, with a little noise."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        pixels = np.empty((32, 32, 3))
        pixels[:] = colours[number % len(colours)]
        pixels += rng.normal(0, 6, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


RED, GREEN, BLUE, GRAY = (220, 30, 30), (30, 200, 40), (40, 40, 210), (120, 120, 120)


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return [
        draw(tmp_path / "red", [RED]),
        draw(tmp_path / "mixed", [RED, GREEN, BLUE, GRAY], count=24),
        draw(tmp_path / "blue", [BLUE]),
    ]


def test_the_mean_distance_is_that_of_all_pairs():
    rows = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    wanted = (1 - cosines)[~torch.eye(9, dtype=torch.bool)].mean()
    assert pairwise_distance(rows) == pytest.approx(float(wanted), abs=1e-5)


def test_a_mix_is_more_diverse_and_covers_its_parts(sets: list[Path]):
    red, mixed, blue = set_statistics(sets, resolution=32)
    assert (red.measured, red.total, mixed.total) == (16, 16, 24)
    for one in (red, blue):
        assert mixed.vendi.low > one.vendi.high
        assert mixed.distance.low > one.distance.high
        assert one.vendi.low <= one.vendi.value <= one.vendi.high
    assert red.recalled_by["blue"].value == 0
    assert red.recalled_by["mixed"].value > red.recalled_by["blue"].value
    assert set(mixed.recalled_by) == {"red", "blue"}


def test_the_verb_writes_table_and_page(sets: list[Path], tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["data", "stats", *map(str, sets), "--resolution", "32", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    for name in ("red", "mixed", "blue"):
        assert name in said
    page = (tmp_path / "sets.html").read_text(encoding="utf-8")
    assert page.count("<img") == 3
    assert "What share of each lies within the others" in page


def test_mistakes_are_explained(sets: list[Path], tmp_path: Path):
    with pytest.raises(SettingsError, match="different names"):
        set_statistics([sets[0], sets[0]])
    few = draw(tmp_path / "few", [RED], count=3)
    with pytest.raises(GraftganError, match="at least 6 pictures, there are 3"):
        set_statistics([sets[0], few], resolution=32)
