"""StyleGAN2's operators against the published equations, written naively in float64."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.backbones import build_pair
from graftgan.backbones.stylegan.filters import binomial_filter
from graftgan.backbones.stylegan.judgement import with_deviation
from graftgan.backbones.stylegan.mapping import Mapping
from graftgan.backbones.stylegan.modulation import modulated
from graftgan.backbones.stylegan.resample import (
    convolved_down,
    convolved_up,
    resample,
)
from graftgan.backbones.stylegan.stylegan2 import StyleGAN2Generator
from graftgan.errors import SettingsError
from tiny_networks import latents, tiny_architecture

RNG = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=RNG, dtype=torch.float64)


def naive_resample(
    x: Tensor, taps: Tensor, up: tuple[int, int], down: tuple[int, int], padding: tuple[int, ...]
) -> Tensor:
    """Zeros in between, zeros around, a sum over mirrored taps, every so many kept."""
    batch, channels, height, width = x.shape
    left, right, top, bottom = padding
    spread = torch.zeros(
        batch, channels, height * up[1] + top + bottom, width * up[0] + left + right, dtype=x.dtype
    )
    for i, j in product(range(height), range(width)):
        spread[:, :, top + i * up[1], left + j * up[0]] = x[:, :, i, j]
    rows, columns = taps.shape
    out = [
        [
            sum(
                spread[:, :, i + n, j + m] * taps[rows - 1 - n, columns - 1 - m]
                for n, m in product(range(rows), range(columns))
            )
            for j in range(0, spread.shape[3] - columns + 1, down[0])
        ]
        for i in range(0, spread.shape[2] - rows + 1, down[1])
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in out], dim=-2)


@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [
        ((1, 1), (1, 1), (1, 2, 2, 1)),
        ((2, 3), (1, 2), (0, 1, 3, 2)),
        ((1, 1), (2, 3), (2, 0, 1, 1)),
    ],
)
def test_resampling_is_the_plain_sum(up, down, padding):
    x, taps = normal(2, 3, 5, 4), normal(3, 4)  # no symmetry that could hide a mirrored filter
    expected = naive_resample(x, taps, up, down, padding)
    ours = resample(x, taps, up=up, down=down, padding=padding)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    ours = resample(x, taps, up=up, down=down, padding=padding, gain=4.0)
    torch.testing.assert_close(ours, 4 * expected, rtol=1e-10, atol=1e-10)


def test_a_convolution_up_is_zeros_kernel_and_filter_in_turn():
    x, kernel, taps = normal(2, 3, 4, 4), normal(5, 3, 3, 3), binomial_filter().double()
    spread = naive_resample(x, torch.ones(1, 1).double(), (2, 2), (1, 1), (2, 1, 2, 1))
    blurred = F.conv2d(spread, kernel.flip((2, 3)))
    expected = naive_resample(blurred, taps * 4, (1, 1), (1, 1), (1, 1, 1, 1))
    ours = convolved_up(x, kernel, taps)
    assert ours.shape == (2, 5, 8, 8)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("side", [1, 3])
def test_a_convolution_down_filters_first(side: int):
    x, kernel, taps = normal(2, 3, 8, 8), normal(5, 3, side, side), binomial_filter().double()
    around = side // 2 + 1
    blurred = naive_resample(x, taps, (1, 1), (1, 1), (around, around, around, around))
    expected = F.conv2d(blurred, kernel)[:, :, ::2, ::2]
    ours = convolved_down(x, kernel, taps)
    assert ours.shape == (2, 5, 4, 4)
    torch.testing.assert_close(ours, expected[:, :, :4, :4], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_one_with_each_pictures_own_kernel(demodulate: bool):
    x, kernel, styles = normal(3, 4, 6, 6), normal(5, 4, 3, 3), normal(3, 4)
    expected: list[Tensor] = []
    for picture, style in zip(x, styles, strict=True):
        scaled = kernel * style[None, :, None, None]  # eq. 1
        if demodulate:  # eq. 3
            scaled = scaled / (scaled.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(picture[None], scaled, padding=1)[0])
    ours = modulated(x, kernel, styles, demodulate=demodulate, padding=1)
    torch.testing.assert_close(ours, torch.stack(expected), rtol=1e-6, atol=1e-6)


def test_the_deviation_is_that_within_groups():
    maps = normal(6, 2, 3, 3)
    added = with_deviation(maps, 4)  # 6 is divided by 3: pictures 0, 2, 4 and 1, 3, 5
    assert added.shape == (6, 3, 3, 3)
    for picture in range(6):
        group = maps[picture % 2 :: 2]
        expected = group.std(dim=0, correction=0).square().add(1e-8).sqrt().mean()
        torch.testing.assert_close(added[picture, 2], expected.expand(3, 3), rtol=1e-6, atol=1e-7)


def test_the_mean_style_follows_in_training_alone():
    mapping = Mapping(4, 5, 2).train()
    with torch.no_grad():
        styles = mapping(torch.randn(8, 4, generator=RNG))
    torch.testing.assert_close(mapping.w_avg, 0.002 * styles.mean(dim=0), rtol=1e-4, atol=1e-7)
    before = mapping.eval().w_avg.clone()
    mapping(torch.randn(8, 4, generator=RNG))
    assert torch.equal(mapping.w_avg, before)


def test_noise_is_kept_when_sampling_and_fresh_in_training():
    generator = build_pair(tiny_architecture("stylegan2")).generator.eval()
    assert isinstance(generator, StyleGAN2Generator)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
        given = latents(3, 8)
        assert torch.equal(generator(given), generator(given))
        first, again, other = (
            generator.in_training(given, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    same = generator.in_training(given[:1].expand(2, -1), torch.Generator().manual_seed(1))
    assert not torch.equal(same[0], same[1]), "each picture has noise of its own"


@pytest.mark.parametrize("resolution", [8, 48, 2048])
def test_impossible_sizes_are_refused(resolution: int):
    with pytest.raises(SettingsError, match=r"not \d+ px"):
        build_pair(tiny_architecture("stylegan2", resolution=resolution))
