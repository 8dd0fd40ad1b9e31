"""Geometry: exact shifts, turns in pixels, one interpolation, and no black borders."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from graftgan.training.augment import AUGMENTATIONS
from graftgan.training.augment.operations import MatrixOperation, merge_neighbours, shift, warp

GEOMETRIC = ["flip", "rotate", "crop", "translate", "quarter_turn", "zoom", "stretch", "offset"]


def random_images(count: int, height: int, width: int) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    return torch.rand(count, 3, height, width, generator=rng) * 2 - 1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def warp_of(name: str) -> MatrixOperation:
    operation = AUGMENTATIONS[name]
    assert isinstance(operation, MatrixOperation)
    assert operation.apply is warp
    return operation


def zero_padded_shift(images: Tensor, rng: torch.Generator) -> Tensor:
    """DiffAugment's own translation, to show that the guard against borders can fail."""
    padded = functional.pad(images, (4, 4, 4, 4))
    height, width = images.shape[-2:]
    starts = torch.randint(0, 9, (len(images), 2), generator=rng).tolist()
    windows = [
        p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, starts, strict=True)
    ]
    return torch.stack(windows)


def darkest_after(change: object) -> float:
    assert callable(change)
    return float(change(torch.ones(32, 3, 32, 24), seeded()).min())


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_white_picture_stays_white(name: str, scale: float) -> None:
    operation = AUGMENTATIONS[name]
    assert darkest_after(operation.with_amount(operation.amount * scale)) > 0.999


def test_zero_padding_would_fail_the_white_picture() -> None:
    assert darkest_after(zero_padded_shift) == 0.0


def test_zero_padding_would_fail_the_white_picture_when_rotated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = functional.grid_sample

    def padded(images: Tensor, grid: Tensor, mode: str, _: str, *, align_corners: bool) -> Tensor:
        return sample(images, grid, mode, "zeros", align_corners=align_corners)

    monkeypatch.setattr(functional, "grid_sample", padded)
    assert darkest_after(AUGMENTATIONS["rotate"]) < 0.5


def test_flip_is_torch_flip_for_the_chosen_images() -> None:
    images = random_images(4, 8, 6)
    chances = torch.tensor([[0.0], [0.49], [0.5], [0.99]])
    changed = AUGMENTATIONS["flip"].change(images, chances)
    assert torch.equal(changed[:2], images[:2].flip(-1))
    assert torch.equal(changed[2:], images[2:])


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 9), st.integers(3, 9), st.data())
def test_shift_equals_padding_by_reflection(height: int, width: int, data: st.DataObject) -> None:
    y = data.draw(st.integers(1 - height, height - 1))
    x = data.draw(st.integers(1 - width, width - 1))
    images = random_images(1, height, width)
    frame = ((0, 0), (0, 0), (height - 1, height - 1), (width - 1, width - 1))
    padded = np.pad(images.numpy(), frame, mode="reflect")
    top, left = height - 1 + y, width - 1 + x
    expected = padded[:, :, top : top + height, left : left + width]
    shifted = shift(images, rows=torch.tensor([y]), columns=torch.tensor([x]))
    assert np.array_equal(shifted.numpy(), expected)


def test_shift_moves_every_image_by_its_own_numbers() -> None:
    images = random_images(3, 8, 8)
    rows, columns = torch.tensor([0, 2, -1]), torch.tensor([0, 0, 3])
    together = shift(images, rows=rows, columns=columns)
    for i in range(3):
        alone = shift(images[i : i + 1], rows=rows[i : i + 1], columns=columns[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)
    assert torch.equal(together[1, :, :6], images[1, :, 2:])  # read two rows below


def test_translate_reaches_an_eighth_of_the_side_both_ways_and_no_further() -> None:
    ramp = torch.arange(64.0).view(1, 1, 1, 64).expand(2000, 1, 16, 64)
    moved = AUGMENTATIONS["translate"](ramp, seeded())[:, 0, 0, 32] - 32
    values, counts = moved.unique(return_counts=True)
    assert values.tolist() == list(range(-8, 9))
    assert counts.min() > 2000 / 17 * 0.6


def test_rotation_by_a_quarter_turn_is_torch_rot90() -> None:
    images = random_images(1, 9, 9)
    turned = AUGMENTATIONS["rotate"].with_amount(90.0).change(images, torch.ones(1, 1))
    assert torch.allclose(turned, images.rot90(1, dims=(2, 3)), atol=1e-5)


def test_rotation_keeps_shapes_in_pictures_that_are_not_square() -> None:
    """A round spot stays round; without the aspect it would become an ellipse."""
    y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(64.0) - 31.5, indexing="ij")
    spot = (-(x**2 + y**2) / 50).exp().expand(1, 3, 32, 64)
    turned = AUGMENTATIONS["rotate"].with_amount(45.0).change(spot, torch.ones(1, 1))
    middle = (..., slice(4, -4), slice(20, -20))  # the far corners are mirrored
    assert (turned - spot)[middle].abs().max() < 0.01
    stretched = warp(spot, torch.tensor([[[0.7, -0.7, 0], [0.7, 0.7, 0], [0, 0, 1]]]))
    assert (stretched - spot)[middle].abs().max() > 0.1


def test_crop_shows_a_window_of_the_picture() -> None:
    """The window of share 0.5 at the top left, enlarged, away from the mirrored border."""
    images = random_images(1, 8, 8)
    chances = torch.tensor([[1.0, 0.0, 0.0]])  # smallest share, leftmost, topmost
    shown = AUGMENTATIONS["crop"].with_amount(0.5).change(images, chances)
    expected = functional.interpolate(images, scale_factor=2, mode="bicubic")[:, :, 4:8, 4:8]
    assert torch.allclose(shown[:, :, 4:8, 4:8], expected, atol=1e-5)


def test_crop_never_looks_outside() -> None:
    ramp = torch.linspace(-1, 1, 33).view(1, 1, 1, 33).expand(200, 3, 33, 33)
    shown = AUGMENTATIONS["crop"].with_amount(0.4)(ramp, seeded())
    steps = shown[..., 1:] - shown[..., :-1]
    assert steps.min() > -0.01  # a mirrored border would run backwards, up to -1/16 per pixel
    beyond = AUGMENTATIONS["rotate"].with_amount(180.0)(ramp, seeded())
    assert (beyond[..., 1:] - beyond[..., :-1]).min() < -0.03  # such a fall would be seen


def test_merged_warps_equal_one_after_the_other_on_a_smooth_picture() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    smooth = torch.stack([x, y, x * y]).expand(8, 3, 64, 64)
    rotate, crop = warp_of("rotate").with_amount(30.0), warp_of("crop").with_amount(0.6)
    chances = torch.rand(8, 4, generator=seeded())
    (merged,) = merge_neighbours([rotate, crop])
    once = merged.change(smooth, chances)
    twice = crop.change(rotate.change(smooth, chances[:, :1]), chances[:, 1:])
    swapped = rotate.change(crop.change(smooth, chances[:, 1:]), chances[:, :1])
    centre = (..., slice(16, -16), slice(16, -16))
    assert torch.allclose(once[centre], twice[centre], atol=1e-2)
    assert not torch.allclose(once[centre], swapped[centre], atol=5e-2)  # the order matters


def test_only_neighbours_merge() -> None:
    rotate, crop, flip = (AUGMENTATIONS[name] for name in ("rotate", "crop", "flip"))
    assert merge_neighbours([rotate, flip, crop]) == (rotate, flip, crop)
    assert len(merge_neighbours([flip, rotate, crop])) == 2
    assert merge_neighbours([]) == ()


def test_warp_agrees_with_affine_grid() -> None:
    images = random_images(4, 10, 14)
    matrices = torch.eye(3).expand(4, 3, 3) + torch.randn(4, 3, 3, generator=seeded()) * 0.2
    grid = functional.affine_grid(matrices[:, :2], list(images.shape), align_corners=False)
    expected = functional.grid_sample(images, grid, "bicubic", "reflection", align_corners=False)
    assert torch.allclose(warp(images, matrices), expected, atol=1e-4)
