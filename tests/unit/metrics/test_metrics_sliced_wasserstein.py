"""The sliced Wasserstein distance against closed forms."""

import math

import pytest
import torch

from graftgan.metrics.pixels import SlicedWassersteinProtocol, sliced_wasserstein
from tiny_networks import tiny_pictures

PROTOCOL = SlicedWassersteinProtocol(side=4, directions=4000, count=64, seed=0)


def mean_projection(dimension: int) -> float:
    """E|<u, 1>| of a random unit vector u: sqrt(d) Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))."""
    log = math.lgamma(dimension / 2) - math.lgamma((dimension + 1) / 2)
    return math.sqrt(dimension / math.pi) * math.exp(log)


def test_a_set_is_at_no_distance_from_itself():
    pictures = tiny_pictures(20)
    assert sliced_wasserstein(pictures, pictures, PROTOCOL) == 0.0
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert sliced_wasserstein(pictures, pictures[order], PROTOCOL) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shift", [10, 51, -30])
def test_a_shift_of_every_pixel_has_a_closed_form(shift: int):
    """Moving every picture by c along (1, ..., 1) moves each projection by c <u, 1>."""
    real = tiny_pictures(30).clamp(60, 190)
    generated = (real.int() + shift).to(torch.uint8)
    dimension = 3 * 4 * 4
    expected = abs(shift) / 127.5 * mean_projection(dimension)
    found = sliced_wasserstein(generated, real, PROTOCOL)
    assert found == pytest.approx(expected, rel=5 * 0.76 / math.sqrt(PROTOCOL.directions))


def test_shifts_add_up():
    real = tiny_pictures(30).clamp(60, 190)
    near, far = ((real.int() + shift).to(torch.uint8) for shift in (8, 40))
    ratio = sliced_wasserstein(far, real, PROTOCOL) / sliced_wasserstein(near, real, PROTOCOL)
    assert ratio == pytest.approx(5.0, rel=1e-3)


def test_two_single_pictures_are_at_their_mean_projection():
    black, white = torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), 255.0)
    found = sliced_wasserstein(black.byte(), white.byte(), PROTOCOL)
    assert found == pytest.approx(2 * mean_projection(48), rel=0.06)


def test_it_is_symmetric_also_between_sets_of_different_sizes():
    few, many = tiny_pictures(7), tiny_pictures(150, seed=9) // 2
    forth = sliced_wasserstein(few, many, PROTOCOL)
    assert forth == pytest.approx(sliced_wasserstein(many, few, PROTOCOL))
    assert forth > 0.1


def test_a_collapsed_generator_is_worse_than_a_varied_one():
    real, varied = tiny_pictures(60), tiny_pictures(60, seed=11)
    collapsed = varied[:1].expand(60, -1, -1, -1)
    good = sliced_wasserstein(varied, real, PROTOCOL)
    assert sliced_wasserstein(collapsed, real, PROTOCOL) > 2 * good


def test_equal_means_are_not_enough():
    """All gray against half black, half white: every projection's mean agrees, no quantile does."""
    gray = torch.full((40, 3, 8, 8), 128, dtype=torch.uint8)
    split = torch.cat([torch.ones_like(gray[:20]), torch.full_like(gray[:20], 255)])
    found = sliced_wasserstein(gray, split, PROTOCOL)
    assert found == pytest.approx(127 / 127.5 * mean_projection(48), rel=0.08)


def test_channels_and_places_count():
    """A red square on the left is not a blue one on the right."""
    red, blue = torch.zeros(2, 4, 3, 8, 8, dtype=torch.uint8)
    red[:, 0, :, :4] = 255
    blue[:, 2, :, 4:] = 255
    assert sliced_wasserstein(red, blue, PROTOCOL) > 0.1


def test_the_protocol_decides_the_number_and_its_seed_is_the_only_chance():
    real, other = tiny_pictures(100), tiny_pictures(100, seed=4) // 3
    torch.manual_seed(0)
    first = sliced_wasserstein(other, real, PROTOCOL)
    torch.manual_seed(1)
    assert sliced_wasserstein(other, real, PROTOCOL) == first
    moved = SlicedWassersteinProtocol(side=4, directions=4000, count=64, seed=1)
    assert sliced_wasserstein(other, real, moved) != first


def test_pictures_smaller_than_the_protocol_side_are_compared_as_they_are():
    small = tiny_pictures(10, side=2)
    assert sliced_wasserstein(small, small // 2, PROTOCOL) > 0
