"""StyleGAN2's operators against the published equations, written naively in float64."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import PROJECTION_LAYER, class_weights, tensors_of
from graftgan.networks.backbone import build_pair
from graftgan.networks.stylegan.layers import ClassDirections, ScaledLinear, StyleMapping
from graftgan.networks.stylegan.operators import (
    binomial_filter,
    convolved_down,
    convolved_up,
    filtered_leaky,
    lowpass_filter,
    modulated,
    resample,
)
from graftgan.networks.stylegan.stylegan2 import StyleGAN2Generator, with_deviation
from tiny_networks import latents, tiny_architecture, tiny_images

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
    line = normal(4)
    both = naive_resample(x, torch.outer(line, line), up, down, padding)
    ours = resample(x, line, up=up, down=down, padding=padding, gain=4.0)
    torch.testing.assert_close(ours, 4 * both, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("up", "down"), [(1, 2), ((2, 3), (1, 2))])
def test_bfloat16_resamples_alike_and_crops(up, down):
    x, line = normal(2, 3, 9, 7), normal(4)
    whole = resample(x, line, up=up, padding=(2, 3, 4, 1))
    factors = (down, down) if isinstance(down, int) else down
    expected = whole[:, :, 3 :: factors[1], 3 :: factors[0]]  # three fewer on the left and above
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = resample(x.bfloat16(), line, up=up, down=down, padding=(-1, 3, 1, 1))
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), expected, rtol=0.05, atol=0.05)


def test_gradients_of_gradients_go_through_resampling():
    x, line = normal(1, 2, 5, 4).requires_grad_(), normal(4)
    torch.autograd.gradgradcheck(
        lambda x: resample(x.square(), line, up=2, down=1, padding=(1, 2, 2, 1)), (x,)
    )


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
    gain = torch.tensor(0.7, dtype=torch.float64)
    expected: list[Tensor] = []
    for picture, style in zip(x, styles, strict=True):
        scaled = kernel * style[None, :, None, None]  # eq. 1
        if demodulate:  # eq. 3
            scaled = scaled / (scaled.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(picture[None] * gain, scaled, padding=1)[0])
    ours = modulated(x, kernel, styles, demodulate=demodulate, padding=1, input_gain=gain)
    torch.testing.assert_close(ours, torch.stack(expected), rtol=1e-6, atol=1e-6)


def test_a_filtered_nonlinearity_is_its_three_steps():
    x, bias, taps = normal(2, 3, 6, 6), normal(3), normal(4, 4)
    higher = naive_resample(x + bias[:, None, None], taps * 4, (2, 2), (1, 1), (3, 2, 3, 2))
    bent = torch.where(higher > 0, higher, 0.2 * higher) * math.sqrt(2)
    expected = naive_resample(bent.clamp(-1.5, 1.5), taps, (1, 1), (2, 2), (0, 0, 0, 0))
    ours = filtered_leaky(
        x, bias, up_taps=taps, down_taps=taps, up=2, down=2, padding=(3, 2, 3, 2), clamp=1.5
    )
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("taps", "cutoff", "width"), [(12, 4.0, 6.0), (24, 2.0, 1.0), (6, 3.0, 9.0)]
)
def test_low_pass_filters_are_those_of_scipy(taps: int, cutoff: float, width: float):
    signal = pytest.importorskip("scipy.signal")
    expected = torch.from_numpy(signal.firwin(taps, cutoff, width=width, fs=32)).float()
    ours = lowpass_filter(taps, cutoff=cutoff, width=width, rate=32)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
    assert lowpass_filter(1, cutoff=cutoff, width=width, rate=32) is None


def test_a_radial_filter_is_round():
    taps = lowpass_filter(24, cutoff=4.0, width=6.0, rate=32, radial=True)
    assert taps is not None
    assert float(taps.sum()) == pytest.approx(1.0, abs=1e-6)
    padded = torch.fft.fft2(taps, s=(96, 96)).abs()
    across, diagonal = padded[9, 0], padded[4, 8]  # radii of 9 and 8.94
    assert float(across) == pytest.approx(float(diagonal), rel=0.05)


def test_the_deviation_is_that_within_groups():
    maps = normal(6, 2, 3, 3)
    added = with_deviation(maps, 4)  # 6 is divided by 3: pictures 0, 2, 4 and 1, 3, 5
    assert added.shape == (6, 3, 3, 3)
    for picture in range(6):
        group = maps[picture % 2 :: 2]
        expected = group.std(dim=0, correction=0).square().add(1e-8).sqrt().mean()
        torch.testing.assert_close(added[picture, 2], expected.expand(3, 3), rtol=1e-6, atol=1e-7)
    of_all = maps.std(dim=0, correction=0).square().add(1e-8).sqrt().mean()
    added = with_deviation(maps, 0)[:, 2]
    torch.testing.assert_close(added, of_all.expand(6, 3, 3), rtol=1e-6, atol=1e-7)


def test_the_mean_style_follows_in_training_alone():
    mapping = StyleMapping(4, 5, 2).train()
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


@pytest.mark.parametrize("name", ["stylegan3t", "stylegan3r"])
def test_stylegan3_follows_what_goes_in(name: str):
    generator = build_pair(tiny_architecture(name)).generator.train()
    before = {n: b.clone() for n, b in generator.named_buffers()}
    generator(latents(4, 8))
    moved = {n.rsplit(".", 1)[1] for n, b in generator.named_buffers() if (b != before[n]).any()}
    assert moved == {"w_avg", "magnitude_ema"}
    kept = {n: b.clone() for n, b in generator.eval().named_buffers()}
    generator(latents(4, 8))
    assert all(torch.equal(b, kept[n]) for n, b in generator.named_buffers())


def test_the_rotating_form_has_kernels_of_one_pixel_and_round_filters():
    tiny = {
        name: build_pair(tiny_architecture(name)).generator for name in ("stylegan3t", "stylegan3r")
    }
    sides = {name: pair.layers()["L3"].kernel_size[0] for name, pair in tiny.items()}
    assert sides == {"stylegan3t": 3, "stylegan3r": 1}
    dims = {
        name: {b.ndim for n, b in net.named_buffers() if n.endswith("down_filter")}
        for name, net in tiny.items()
    }
    assert dims == {"stylegan3t": {1}, "stylegan3r": {1, 2}}, "critical layers have separable ones"


def test_the_rotating_form_has_twice_the_feature_maps_in_its_generator_alone():
    maps, judged = {}, {}
    for name in ("stylegan3t", "stylegan3r"):
        pair = build_pair(tiny_architecture(name, resolution=16, style=None))
        maps[name] = [layer.in_channels for layer in list(pair.generator.layers().values())[2:]]
        judged[name] = [tensor.shape for tensor in tensors_of(pair.discriminator).values()]
    for double, single in zip(maps["stylegan3r"], maps["stylegan3t"], strict=True):
        assert abs(double - 2 * single) <= 1  # both are rounded
    assert judged["stylegan3r"] == judged["stylegan3t"]


def test_a_discriminator_may_have_no_way_past_its_blocks():
    style = replace(tiny_architecture("stylegan2").style, residual=False)
    critic = build_pair(tiny_architecture("stylegan2", style=style)).discriminator
    assert not [name for name in tensors_of(critic) if "skip" in name]
    block, features = critic.layers()["b8"], torch.randn(2, 8, 8, 8, generator=RNG)
    with torch.no_grad():
        assert torch.equal(block(features), block.conv1(block.conv0(features)))


def test_a_shifted_wave_field_draws_a_shifted_picture():
    """The point of StyleGAN3: what goes in moved by whole pixels comes out moved by as many."""
    generator = build_pair(tiny_architecture("stylegan3t", width=16)).generator.eval()
    given = latents(2, 8)
    with torch.no_grad():
        still = generator(given)
        generator.layers()["input"].transform[0, 2] = 4 / 32  # of the side, so 4 pixels
        moved = generator(given)
    inner = slice(8, 24)
    shifted = still[:, :, inner, 8 + 4 : 24 + 4]
    other = still[:, :, inner, 8 - 4 : 24 - 4]
    middle = moved[:, :, inner, inner]
    gap = min(float((middle - place).square().mean()) for place in (shifted, other))
    assert gap < 0.05 * float((middle - still[:, :, inner, inner]).square().mean())


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3t"])
def test_classes_are_drawn_and_judged(name: str):
    architecture = tiny_architecture(name, classes=("a", "b", "c"))
    pair = build_pair(architecture, torch.Generator().manual_seed(1))
    assert next(iter(pair.generator.layers())) == "mapping", "classes are no layer of its own"
    assert list(pair.discriminator.layers())[-1] == PROJECTION_LAYER
    given, seen = latents(2, 8), tiny_images(2)
    with torch.no_grad():
        drawn = [
            pair.generator.eval()(architecture.with_labels(given, torch.full((2,), label)))
            for label in range(3)
        ]
        weights = [class_weights(torch.full((2,), label), 3) for label in range(3)]
        scores = [pair.discriminator.conditioned_on(of)(seen) for of in weights]
        of_none = pair.discriminator(seen)
        mixed = pair.discriminator.conditioned_on(torch.full((2, 3), 1 / 3))(seen)
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(scores[0], scores[1])
    assert scores[0].shape == of_none.shape == (2,)
    assert torch.equal(of_none, mixed)


def test_the_score_of_a_class_is_a_projection():
    """Against the published equation, by hand: y / |y| through the layers, times features."""
    directions = ClassDirections(3, 5)
    for part in directions.modules():
        if isinstance(part, ScaledLinear):
            part.start(RNG)
    features, classes = normal(2, 5), class_weights(torch.tensor([2, 0]), 3)
    embed = directions.embed.weight / math.sqrt(3)
    hidden = (classes @ embed.T).double()
    hidden = hidden / hidden.square().mean(dim=1, keepdim=True).sqrt()
    for number in range(8):
        weight = directions.get_submodule(f"fc{number}").weight.double() * 0.01 / math.sqrt(5)
        hidden = hidden @ weight.T
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden) * math.sqrt(2)
    expected = (features.double() * hidden).sum(dim=1) / math.sqrt(5)
    torch.testing.assert_close(
        directions.score(features.float(), classes).double(), expected, rtol=1e-4, atol=1e-6
    )
