"""The preview sheet: size, contents, determinism."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.training.augment import (
    AugmentationSettings,
    build_augmenter,
    preview_sheet,
    settings_to_show,
)


def pictures(count: int, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 64, 64), generator=rng, dtype=torch.uint8)


def sheet_of(policy: str, shown: Tensor, *, rows: int = 3, seed: int = 0) -> Image.Image:
    augmenter = build_augmenter(policy, AugmentationSettings())
    return preview_sheet(shown, augmenter, rows=rows, seed=seed)


def cells(sheet: Image.Image, row: int) -> list[np.ndarray]:
    """Return the three pictures of a row at 64 px: cells of 128 px, margins of 8, heading of 20."""
    top = 28 + row * 136
    whole = np.asarray(sheet)
    return [whole[top : top + 128 : 2, left : left + 128 : 2] for left in (8, 144, 280)]


def test_originals_beside_two_different_versions() -> None:
    shown = pictures(5)
    sheet = sheet_of("light", shown)
    assert sheet.mode == "RGB"
    assert sheet.size == (8 + 3 * 136, 28 + 3 * 136)
    for row in range(3):
        original, first, second = cells(sheet, row)
        assert np.array_equal(original, shown[row].permute(1, 2, 0).numpy())
        assert not np.array_equal(first, original)
        assert not np.array_equal(first, second)


def test_no_augmentation_shows_the_same_picture_three_times() -> None:
    original, first, second = cells(sheet_of("none", pictures(3)), 1)
    assert np.array_equal(original, first)
    assert np.array_equal(original, second)


def test_seed_decides() -> None:
    sheets = [sheet_of("diffaugment", pictures(3), seed=seed).tobytes() for seed in (1, 1, 2)]
    assert sheets[0] == sheets[1]
    assert sheets[0] != sheets[2]


def test_gray_pictures_and_fewer_than_rows() -> None:
    sheet = sheet_of("light", pictures(2, channels=1), rows=6)
    assert sheet.size == (8 + 3 * 136, 28 + 2 * 136)
    original = cells(sheet, 0)[0]
    assert (original == original[..., :1]).all()


@pytest.mark.parametrize("policy", ["bgc", "ada"])
def test_policies_that_rarely_change_a_picture_show_something(policy: str) -> None:
    settings = settings_to_show(policy, AugmentationSettings())
    sheet = preview_sheet(pictures(6), build_augmenter(policy, settings), rows=6, seed=0)
    changed = [not np.array_equal(*cells(sheet, row)[:2]) for row in range(6)]
    assert sum(changed) >= 3


def test_what_a_person_says_is_what_is_shown() -> None:
    still = AugmentationSettings(probability=0.0)
    assert settings_to_show("ada", still) == still
    assert settings_to_show("light", AugmentationSettings()) == AugmentationSettings()
    sheet = preview_sheet(pictures(1), build_augmenter("ada", still), rows=1, seed=0)
    assert np.array_equal(*cells(sheet, 0)[:2])


@pytest.mark.parametrize(("count", "rows"), [(0, 3), (3, 0), (3, -1)])
def test_nothing_to_show_is_an_error(count: int, rows: int) -> None:
    with pytest.raises(ImageSetError, match="nothing to preview"):
        sheet_of("light", pictures(count), rows=rows)
