"""Single operations: closed forms, identity at amount 0, determinism, types."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import UnknownName
from graftgan.training.augment import AUGMENTATIONS
from graftgan.training.augment.operations import change_in_turn

EXPECTED = {
    "flip",
    "rotate",
    "crop",
    "brightness",
    "saturation",
    "contrast",
    "translate",
    "cutout",
    "quarter_turn",
    "zoom",
    "stretch",
    "offset",
    "exposure",
    "gain",
    "luma_flip",
    "hue",
    "vividness",
}
NAMES = sorted(EXPECTED)


def random_images(count: int = 8, channels: int = 3, height: int = 16, width: int = 12) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, height, width, generator=rng) * 2 - 1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_registry_holds_the_expected_operations() -> None:
    assert set(AUGMENTATIONS) == EXPECTED


def test_unknown_operation_helps() -> None:
    with pytest.raises(UnknownName, match="did you mean 'rotate'"):
        AUGMENTATIONS["rotat"]


@pytest.mark.parametrize("name", NAMES)
def test_amount_zero_is_the_identity_and_default_is_not(name: str) -> None:
    images = random_images()
    operation = AUGMENTATIONS[name]
    assert torch.equal(operation.with_amount(0.0)(images, seeded()), images)
    assert not torch.equal(operation(images, seeded()), images)


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_amount_is_nearly_the_identity(name: str) -> None:
    """The formula itself, not only the shortcut at 0, is centred on the identity."""
    images = random_images()
    assert torch.allclose(
        AUGMENTATIONS[name].with_amount(1e-7)(images, seeded()), images, atol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_same_generator_same_result_bit_for_bit(name: str) -> None:
    images = random_images()
    operation = AUGMENTATIONS[name]
    assert torch.equal(operation(images, seeded(3)), operation(images, seeded(3)))
    assert not torch.equal(operation(images, seeded(3)), operation(images, seeded(4)))


@pytest.mark.parametrize("name", NAMES)
def test_copies_of_one_picture_come_out_different(name: str) -> None:
    copies = random_images(count=1).repeat(16, 1, 1, 1)
    changed = AUGMENTATIONS[name](copies, seeded())
    assert any(not torch.equal(changed[0], other) for other in changed[1:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_shape_and_type_and_agrees_with_float32(name: str, dtype: torch.dtype) -> None:
    images = random_images().to(dtype)
    changed = AUGMENTATIONS[name](images, seeded())
    reference = AUGMENTATIONS[name](images.float(), seeded())
    assert changed.dtype == dtype
    assert changed.shape == images.shape
    assert torch.allclose(changed.float(), reference, atol=3e-2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_channels(name: str, channels: int) -> None:
    images = random_images(channels=channels)
    changed = AUGMENTATIONS[name](images, seeded())
    assert changed.shape == images.shape
    assert changed.isfinite().all()


def test_brightness_adds_one_number_per_image() -> None:
    images = random_images()
    chances = torch.linspace(0, 1, len(images))[:, None]
    added = AUGMENTATIONS["brightness"].change(images, chances) - images
    expected = chances - 0.5  # U(-0.5, 0.5)
    assert torch.allclose(added, expected[:, :, None, None].expand_as(images), atol=1e-6)


def test_saturation_keeps_the_mean_over_channels_and_scales_the_rest() -> None:
    images = random_images()
    chances = torch.linspace(0, 1, len(images))[:, None]
    changed = AUGMENTATIONS["saturation"].change(images, chances)
    gray = images.mean(1, keepdim=True)
    factor = 2 * chances[:, :, None, None]  # U(0, 2)
    assert torch.allclose(changed.mean(1, keepdim=True), gray, atol=1e-6)
    assert torch.allclose(changed - gray, (images - gray) * factor, atol=1e-5)
    assert torch.allclose(changed[0], gray[0].expand_as(changed[0]), atol=1e-6)  # factor 0: gray


def test_contrast_keeps_the_mean_of_the_image_and_scales_the_rest() -> None:
    images = random_images()
    chances = torch.linspace(0, 1, len(images))[:, None]
    changed = AUGMENTATIONS["contrast"].change(images, chances)
    mean = images.mean((1, 2, 3), keepdim=True)
    factor = 0.5 + chances[:, :, None, None]  # U(0.5, 1.5)
    assert torch.allclose(changed.mean((1, 2, 3), keepdim=True), mean, atol=1e-6)
    assert torch.allclose(changed - mean, (images - mean) * factor, atol=1e-5)


@pytest.mark.parametrize("name", ["saturation", "contrast"])
def test_colour_factors_never_turn_into_a_negative(name: str) -> None:
    images = random_images(count=1)
    darkest = AUGMENTATIONS[name].with_amount(2.0).change(images, torch.zeros(1, 1))
    dims = (1,) if name == "saturation" else (1, 2, 3)
    flat = images.mean(dims, keepdim=True).expand_as(images)
    assert torch.allclose(darkest, flat, atol=1e-6)


def test_cutout_hides_half_the_side_and_keeps_the_rest() -> None:
    images = torch.ones(1, 3, 16, 12)
    hidden = AUGMENTATIONS["cutout"].change(images, torch.full((1, 2), 0.5)) == 0
    expected = torch.zeros(16, 12, dtype=torch.bool)
    expected[4:12, 3:9] = True
    assert torch.equal(hidden[0], expected.expand(3, 16, 12))


def test_cutout_may_fall_partly_outside() -> None:
    images = torch.ones(1, 1, 16, 16)
    corner = AUGMENTATIONS["cutout"].change(images, torch.tensor([[0.0, 0.9999]]))
    assert (corner[0, 0, :4, 12:] == 0).all()
    assert corner.sum() == 16 * 16 - 4 * 4


def test_operations_in_turn_take_numbers_of_their_own() -> None:
    images = random_images(count=2)
    brightness, cutout = AUGMENTATIONS["brightness"], AUGMENTATIONS["cutout"]
    chances = torch.tensor([[0.0, 0.25, 0.5, 1.0], [1.0, 0.5, 0.5, 0.5]])
    seen = change_in_turn(images, [brightness, cutout, brightness], chances)
    expected = cutout.change(
        images + torch.tensor([-0.5, 0.5])[:, None, None, None], chances[:, 1:3]
    )
    expected = expected + torch.tensor([0.5, 0.0])[:, None, None, None]
    assert torch.allclose(seen, expected, atol=1e-6)
