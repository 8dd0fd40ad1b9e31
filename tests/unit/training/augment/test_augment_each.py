"""Operations that are drawn one by one: the matrices of ADA's paper, and how often each acts."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor

from graftgan.core.network_types import to_images, to_pictures
from graftgan.training.augment import (
    AUGMENTATIONS,
    POLICIES,
    AugmentationSettings,
    Augmenter,
    build_augmenter,
    leak_report,
)
from graftgan.training.augment.augmenter import Group, apply_by_chance
from graftgan.training.augment.operations import (
    MatrixOperation,
    change_in_turn,
    merge_neighbours,
    normal,
    recolour,
    warp,
)

EACH = sorted(name for name, policy in POLICIES.items() if policy.each)
MANY = 20_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int = 8, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(1)) * 2 - 1


def augmenter(policy: str, probability: float) -> Augmenter:
    return build_augmenter(policy, AugmentationSettings(probability=probability, fade_out=0.0))


def chance_of(deviations: float) -> float:
    """Return the uniform number that stands for so many standard deviations."""
    return NormalDist().cdf(deviations)


def changed(name: str, images: Tensor, *chances: float) -> Tensor:
    rows = torch.tensor([chances]).expand(len(images), -1)
    return AUGMENTATIONS[name].change(images, rows)


def test_normal_numbers_are_those_of_the_inverse_distribution() -> None:
    chances = torch.linspace(0.001, 0.999, 999)
    expected = [NormalDist().inv_cdf(float(chance)) for chance in chances]
    assert np.allclose(normal(chances).numpy(), expected, atol=1e-4)
    assert normal(torch.tensor([0.5])).item() == 0.0
    ends = normal(torch.tensor([0.0, 1.0]))
    assert ends.tolist() == pytest.approx([-5.17, 5.17], abs=0.2)


@pytest.mark.parametrize("policy", EACH)
def test_half_is_the_number_that_changes_nothing(policy: str) -> None:
    images = random_images()
    for step in POLICIES[policy].operations:
        operation = AUGMENTATIONS[step.operation].with_amount(step.amount)
        still = operation.change(images, torch.full((len(images), operation.draws), 0.5))
        assert torch.allclose(still, images, atol=1e-5), step.operation
    assert not torch.allclose(changed("cutout", images, 0.5, 0.5), images)  # it would not do


# ---------------------------------------------------------------- geometry, against float64

SIZE = 48
CENTRE = (SIZE - 1) / 2


def bumps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return an asymmetric smooth picture, defined everywhere, at pixels ``x`` and ``y``."""
    spots = [(20.0, 18.0, 7.0, 1.0), (30.0, 27.0, 6.0, -0.7), (22.0, 31.0, 8.0, 0.5)]
    return sum(
        weight * np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * width**2))
        for left, top, width, weight in spots
    )


def forward(*parts: np.ndarray) -> np.ndarray:
    """Return the paper's G: each part multiplied from the left, about the picture's centre."""
    product = np.eye(3)
    for part in parts:
        product = part @ product
    to_centre = np.array([[1, 0, -CENTRE], [0, 1, -CENTRE], [0, 0, 1.0]])
    return np.linalg.inv(to_centre) @ product @ to_centre


def scaled(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def turned(degrees: float) -> np.ndarray:
    """Return a turn that shows what lay at this angle, rows counted downwards."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])


def moved(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def assert_draws(seen: Tensor, matrix: np.ndarray) -> None:
    """Check that ``seen`` is the picture of bumps sent through ``matrix``, pixel to pixel.

    The tolerance is what bicubic reading loses on slopes of this picture.
    """
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    inverse = np.linalg.inv(matrix)
    read_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    read_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    inside = (np.minimum(read_x, read_y) > 2) & (np.maximum(read_x, read_y) < SIZE - 3)
    assert inside.mean() > 0.3
    assert np.abs(seen[0, 0].double().numpy() - bumps(read_x, read_y))[inside].max() < 0.012


def picture() -> Tensor:
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    return torch.from_numpy(bumps(x, y)).float()[None, None]


def test_each_warp_is_the_papers_matrix() -> None:
    image = picture()
    up = 2**0.3  # 1.5 standard deviations of 0.2
    assert_draws(changed("zoom", image, chance_of(1.5)), forward(scaled(up, up)))
    assert_draws(changed("stretch", image, chance_of(1.5)), forward(scaled(up, 1 / up)))
    shift = SIZE * 0.125
    assert_draws(
        changed("offset", image, chance_of(-0.7), chance_of(0.4)),
        forward(moved(0.7 * shift, -0.4 * shift)),
    )
    with pytest.raises(AssertionError):
        assert_draws(changed("zoom", image, chance_of(1.5)), forward(scaled(1 / up, 1 / up)))


def test_the_whole_geometry_is_the_papers_product_in_one_read() -> None:
    operations = [
        AUGMENTATIONS[step.operation].with_amount(step.amount)
        for step in POLICIES["geom"].operations
    ]
    (whole,) = merge_neighbours(operations)
    assert isinstance(whole, MatrixOperation)
    assert whole.apply is warp
    drawn = [chance_of(1.0), 0.6, chance_of(-1.5), 0.45, chance_of(0.3), chance_of(-0.2)]
    up, wide, shift = 2**0.2, 2**-0.3, SIZE * 0.125
    first, last = 180 * (2 * 0.6 - 1), 180 * (2 * 0.45 - 1)
    parts = [
        scaled(up, up),
        turned(first),
        scaled(wide, 1 / wide),
        turned(last),
        moved(-0.3 * shift, 0.2 * shift),
    ]
    seen = whole.change(picture(), torch.tensor([drawn]))
    assert_draws(seen, forward(*parts))
    with pytest.raises(AssertionError):
        assert_draws(seen, forward(*reversed(parts)))


def test_quarter_turns_are_torch_rot90_and_equally_likely() -> None:
    images = random_images(count=4, size=9)
    chances = torch.tensor([[0.1], [0.4], [0.6], [0.9]])
    turned_images = AUGMENTATIONS["quarter_turn"].change(images, chances)
    for image, seen, turns in zip(images, turned_images, (2, -1, 0, 1), strict=True):
        assert torch.allclose(seen, image.rot90(turns, dims=(1, 2)), atol=1e-5)


# ------------------------------------------------------------------------ colour, closed forms


def test_exposure_and_gain_add_and_scale() -> None:
    images = random_images()
    assert torch.allclose(changed("exposure", images, chance_of(1.5)), images + 0.3, atol=1e-5)
    assert torch.allclose(changed("gain", images, chance_of(2.0)), images * 2, atol=1e-4)


def test_luma_flip_reverses_the_gray_and_keeps_the_colour() -> None:
    images = random_images()
    seen = changed("luma_flip", images, 0.2)
    gray = images.mean(1, keepdim=True)
    assert torch.allclose(seen, images - 2 * gray, atol=1e-6)
    assert torch.allclose(changed("luma_flip", images, 0.7), images, atol=1e-7)


def test_a_third_of_a_turn_of_hue_moves_every_channel_to_the_next() -> None:
    images = random_images()
    third = 0.5 + 120 / 360
    assert torch.allclose(changed("hue", images, third), images[:, [2, 0, 1]], atol=1e-5)


def test_hue_keeps_the_gray_and_the_distance_from_it() -> None:
    images = random_images()
    seen = changed("hue", images, 0.61)
    gray = images.mean(1, keepdim=True)
    assert torch.allclose(seen.mean(1, keepdim=True), gray, atol=1e-6)
    assert torch.allclose((seen - gray).norm(dim=1), (images - gray).norm(dim=1), atol=1e-5)
    assert not torch.allclose(seen, images, atol=0.1)


def test_vividness_scales_the_distance_from_gray() -> None:
    images = random_images()
    gray = images.mean(1, keepdim=True)
    expected = gray + 2 * (images - gray)
    assert torch.allclose(changed("vividness", images, chance_of(1.0)), expected, atol=1e-4)


def test_all_colours_are_one_product_in_the_papers_order() -> None:
    images = random_images()
    operations = [
        AUGMENTATIONS[step.operation].with_amount(step.amount)
        for step in POLICIES["color"].operations
    ]
    (whole,) = merge_neighbours(operations)
    assert isinstance(whole, MatrixOperation)
    assert whole.apply is recolour
    chances = torch.rand(len(images), 5, generator=seeded(4))
    seen = whole.change(images, chances)
    assert torch.allclose(seen, change_in_turn(images, operations, chances), atol=1e-4)
    swapped = change_in_turn(images, operations[::-1], chances.flip(1))
    assert not torch.allclose(seen, swapped, atol=1e-2)


def test_gray_pictures_know_no_hue_and_become_their_negative() -> None:
    gray = random_images()[:, :1]
    for name in ("hue", "vividness"):
        assert torch.allclose(changed(name, gray, 0.9), gray, atol=1e-6)
    assert torch.allclose(changed("luma_flip", gray, 0.1), -gray, atol=1e-6)
    for name in ("exposure", "gain", "luma_flip"):
        as_colour = changed(name, gray.expand(-1, 3, -1, -1), 0.3)
        assert torch.allclose(changed(name, gray, 0.3), as_colour[:, :1], atol=1e-6)


# ------------------------------------------------------------------------ how often, how far


@pytest.mark.parametrize(("name", "deviation"), [("zoom", 0.2), ("stretch", 0.2)])
def test_sizes_are_log_normal(name: str, deviation: float) -> None:
    operation = AUGMENTATIONS[name]
    assert isinstance(operation, MatrixOperation)
    assert operation.apply is warp
    matrices = operation.formula(torch.rand(MANY, 1, generator=seeded()), operation.amount, 1.0)
    logs = matrices[:, 0, 0].log2()
    assert float(logs.mean()) == pytest.approx(0.0, abs=0.005)
    assert float(logs.std()) == pytest.approx(deviation, rel=0.02)
    other = matrices[:, 1, 1].log2()
    assert torch.allclose(other, logs if name == "zoom" else -logs, atol=1e-5)


def test_offsets_are_normal_and_independent() -> None:
    operation = AUGMENTATIONS["offset"]
    assert isinstance(operation, MatrixOperation)
    assert operation.apply is warp
    matrices = operation.formula(torch.rand(MANY, 2, generator=seeded()), operation.amount, 1.0)
    pairs = matrices[:, :2, 2] / 2  # the side is 2 long
    assert pairs.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.003)
    assert pairs.std(0).tolist() == pytest.approx([0.125, 0.125], rel=0.02)
    assert float(torch.corrcoef(pairs.T)[0, 1]) == pytest.approx(0.0, abs=0.03)


def test_factors_of_colour_are_log_normal() -> None:
    for name, deviation in (("gain", 0.5), ("vividness", 1.0)):
        operation = AUGMENTATIONS[name]
        assert isinstance(operation, MatrixOperation)
        assert operation.apply is recolour
        chances = torch.rand(MANY, 1, generator=seeded())
        matrices = operation.formula(chances, operation.amount, 1.0)[:, :3, :3]
        blue_yellow = torch.tensor([1.0, 1.0, -2.0])  # across the gray axis
        logs = ((matrices @ blue_yellow)[:, 0]).log2()
        assert float(logs.mean()) == pytest.approx(0.0, abs=0.02)
        assert float(logs.std()) == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.7, 1.0])
def test_each_gate_probability_of_the_probability_and_twins_together_do(probability: float) -> None:
    groups = [Group(1), Group(2, one_of=2), Group(0, one_of=2)]
    chances = torch.rand(MANY, 2 + 3 + 1, generator=seeded())
    for given in (probability, torch.tensor(probability)):
        any_open, behind = apply_by_chance(chances, groups, given)
        alone, twin = behind[:, 0] != 0.5, (behind[:, 1:] != 0.5).any(1)
        other = chances[:, 5] < 1 - math.sqrt(1 - probability)
        assert float(alone.float().mean()) == pytest.approx(probability, abs=0.01)
        assert float((twin | other).float().mean()) == pytest.approx(probability, abs=0.01)
        assert float(twin.float().mean()) == pytest.approx(1 - math.sqrt(1 - probability), abs=0.01)
        assert torch.equal(any_open, alone | twin | other)
        assert float((alone & twin).float().mean()) == pytest.approx(
            float(alone.float().mean() * twin.float().mean()), abs=0.01
        )


def test_pictures_are_changed_by_some_operations_and_not_by_others() -> None:
    """With p = 0.2 a flip of luma acts on 0.1 of the pictures, the other four on 0.2 each."""
    images = torch.rand(1, 3, 2, 2, generator=seeded(3)).expand(4000, 3, 2, 2).contiguous()
    seen = augmenter("color", 0.2).real(images, seeded(), progress=0.0)
    kept = (seen - images).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert float(kept.float().mean()) == pytest.approx(0.8**4 * 0.9, abs=0.025)


@pytest.mark.parametrize("policy", EACH)
def test_pictures_without_an_open_gate_are_the_same_bit_for_bit(policy: str) -> None:
    images = random_images(count=256)
    seen = augmenter(policy, 0.02).real(images, seeded(), progress=0.0)
    same = (seen == images).flatten(1).all(1)
    assert 0.5 < float(same.float().mean()) < 1.0


@pytest.mark.parametrize("policy", EACH)
def test_more_probability_adds_operations_and_draws_the_same_numbers(policy: str) -> None:
    images = random_images(count=256)
    states, shares = [], []
    for probability in (0.05, 0.3, 1.0):
        rng = seeded()
        seen = augmenter(policy, probability).fake(images, rng, progress=0.0)
        states.append(rng.get_state())
        shares.append(float((seen != images).flatten(1).any(1).float().mean()))
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    assert shares == sorted(shares)
    assert shares[0] < 0.6 < 0.95 < shares[2]


# ------------------------------------------------------------------------ leaks


def letters(count: int, seed: int) -> Tensor:
    """Upright reddish L shapes with jitter."""
    rng = seeded(seed)
    pictures = torch.tensor([200.0, 160.0, 120.0])[None, :, None, None].expand(count, 3, 32, 32)
    pictures = pictures.clone()
    for shape in pictures:
        y, x = torch.randint(-2, 3, (2,), generator=rng).tolist()
        shape[:, 5 + y : 27 + y, 8 + x : 14 + x] = 60
        shape[:, 21 + y : 27 + y, 8 + x : 24 + x] = 60
    return (pictures + 8 * torch.randn(pictures.shape, generator=rng)).clamp(0, 255).byte()


def leaked(policy: str, probability: float) -> Tensor:
    images = to_images(letters(150, 0))
    return to_pictures(augmenter(policy, probability).fake(images, seeded(), progress=0.0))


def test_the_marks_of_the_operations_are_seen_where_they_leak() -> None:
    real = letters(100, 7)
    assert not leak_report(real, leaked("bgc", 0.0)).leaking
    assert leak_report(real, leaked("blit", 0.8)).turns.seen
    assert not leak_report(real, leaked("blit", 0.8)).colours.seen
    assert leak_report(real, leaked("color", 0.8)).colours.seen
    assert leak_report(real, leaked("bgc", 0.8)).leaking


def test_reflection_leaves_no_dark_borders() -> None:
    report = leak_report(letters(100, 7), leaked("bg", 1.0))
    assert not report.borders.seen
