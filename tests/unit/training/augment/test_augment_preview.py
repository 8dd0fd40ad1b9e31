"""The preview grid: size, contents, determinism."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.training.augment import (
    AugmentationSettings,
    build_augmenter,
    preview_grid,
    settings_to_show,
)


def pictures(count: int, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 64, 64), generator=rng, dtype=torch.uint8)


def grid_of(policy: str, shown: Tensor, *, rows: int = 3, seed: int = 0) -> Image.Image:
    augmenter = build_augmenter(policy, AugmentationSettings())
    return preview_grid(shown, augmenter, rows=rows, seed=seed)


def cells(grid: Image.Image, row: int) -> list[np.ndarray]:
    """Return the three pictures of a row at 64 px: cells of 128 px, margins of 8, heading of 20."""
    top = 28 + row * 136
    whole = np.asarray(grid)
    return [whole[top : top + 128 : 2, left : left + 128 : 2] for left in (8, 144, 280)]


def test_originals_beside_two_different_versions() -> None:
    shown = pictures(5)
    grid = grid_of("light", shown)
    assert grid.mode == "RGB"
    assert grid.size == (8 + 3 * 136, 28 + 3 * 136)
    for row in range(3):
        original, first, second = cells(grid, row)
        assert np.array_equal(original, shown[row].permute(1, 2, 0).numpy())
        assert not np.array_equal(first, original)
        assert not np.array_equal(first, second)


def test_no_augmentation_shows_the_same_picture_three_times() -> None:
    original, first, second = cells(grid_of("none", pictures(3)), 1)
    assert np.array_equal(original, first)
    assert np.array_equal(original, second)


def test_seed_decides() -> None:
    grids = [grid_of("diffaugment", pictures(3), seed=seed).tobytes() for seed in (1, 1, 2)]
    assert grids[0] == grids[1]
    assert grids[0] != grids[2]


def test_gray_pictures_and_fewer_than_rows() -> None:
    grid = grid_of("light", pictures(2, channels=1), rows=6)
    assert grid.size == (8 + 3 * 136, 28 + 2 * 136)
    original = cells(grid, 0)[0]
    assert (original == original[..., :1]).all()


@pytest.mark.parametrize("policy", ["bgc", "ada"])
def test_policies_that_rarely_change_a_picture_show_something(policy: str) -> None:
    settings = settings_to_show(policy, AugmentationSettings())
    grid = preview_grid(pictures(6), build_augmenter(policy, settings), rows=6, seed=0)
    changed = [not np.array_equal(*cells(grid, row)[:2]) for row in range(6)]
    assert sum(changed) >= 3


def test_what_a_person_says_is_what_is_shown() -> None:
    still = AugmentationSettings(probability=0.0)
    assert settings_to_show("ada", still) == still
    assert settings_to_show("light", AugmentationSettings()) == AugmentationSettings()
    grid = preview_grid(pictures(1), build_augmenter("ada", still), rows=1, seed=0)
    assert np.array_equal(*cells(grid, 0)[:2])


@pytest.mark.parametrize(("count", "rows"), [(0, 3), (3, 0), (3, -1)])
def test_nothing_to_show_is_an_error(count: int, rows: int) -> None:
    with pytest.raises(ImageSetError, match="nothing to preview"):
        grid_of("light", pictures(count), rows=rows)
