"""StyleGAN's operators and networks against numbers of an official implementation.

``stylegan/`` holds numbers alone: random weights and inputs, and what an official implementation
computes from them on a CPU in float32.
Whole networks are compared where GRAFTGAN_GOLDEN names a folder with
``stylegan2_64.safetensors`` and ``stylegan3t_64.safetensors``.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from graftgan.core.network_types import Architecture, NetworkPair, StyleArchitecture
from graftgan.networks.backbone import build_pair
from graftgan.networks.sampling import truncated
from graftgan.networks.stylegan.operators import (
    binomial_filter,
    convolved_down,
    convolved_up,
    filtered_leaky,
    leaky,
    lowpass_filter,
    modulated,
    resample,
    upsampled,
)
from graftgan.networks.stylegan.stylegan2 import Drawing

HERE = Path(__file__).parent / "stylegan"
NUMBERS = load_file(HERE / "operators.safetensors")
TAPS = binomial_filter()
KAISER = lowpass_filter(12, cutoff=4.0, width=6.0, rate=32)
RADIAL = lowpass_filter(12, cutoff=4.0, width=6.0, rate=32, radial=True)


def given(case: str) -> dict[str, Tensor]:
    start = f"{case}/in/"
    return {name.removeprefix(start): t for name, t in NUMBERS.items() if name.startswith(start)}


CASES: dict[str, Callable[..., Tensor]] = {
    "upsample2d_x2": lambda x: upsampled(x, TAPS),
    "downsample2d_x2": lambda x: resample(x, TAPS, down=2, padding=(1, 1, 1, 1)),
    "upfirdn2d_general": lambda x: resample(
        x, TAPS, up=(2, 3), down=(1, 2), padding=(1, 2, 0, 3), gain=1.5
    ),
    # Theirs takes the kernel of a correlation here, ours as it is stored in the networks.
    "conv_up2": lambda x, w: convolved_up(x, w.flip((2, 3)), TAPS),
    "conv_down2": lambda x, w: convolved_down(x, w, TAPS),
    "bias_lrelu_clamp": lambda x, b: leaky(x, b, gain=1.2, clamp=1.0),
    "modulated_conv_demod_True": lambda x, w, styles, noise: (
        modulated(x, w, styles, padding=1) + noise
    ),
    "modulated_conv_demod_False": lambda x, w, styles: modulated(
        x, w, styles, padding=1, demodulate=False
    ),
    "modulated_conv_up2": lambda x, w, styles: modulated(x, w, styles, padding=1, up_taps=TAPS),
    "modulated_conv_sg3": lambda x, w, styles: modulated(
        x, w, styles, padding=2, input_gain=torch.tensor(0.7)
    ),
    "filtered_lrelu": lambda x, b: filtered_leaky(
        x, b, up_taps=KAISER, down_taps=KAISER, up=2, down=2, padding=(9, 8, 9, 8), clamp=256.0
    ),
    "filtered_lrelu_radial": lambda x, b: filtered_leaky(
        x, b, up_taps=KAISER, down_taps=RADIAL, up=4, down=2, padding=(12, 11, 12, 11), clamp=256.0
    ),
}


def test_every_operator_of_the_numbers_is_compared():
    assert {name.split("/")[0] for name in NUMBERS if "/in/" in name} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_the_official_numbers(case: str):
    torch.testing.assert_close(
        CASES[case](**given(case)), NUMBERS[f"{case}/out"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "taps"),
    [("filter_1331", TAPS), ("lowpass_kaiser", KAISER), ("lowpass_radial", RADIAL)],
)
def test_filters_are_the_official_ones(name: str, taps: Tensor):
    torch.testing.assert_close(taps, NUMBERS[name], rtol=1e-6, atol=1e-8)


def pair_of_the_numbers(backbone: str) -> NetworkPair:
    style = StyleArchitecture(style_size=64, mapping_layers=2, most_channels=64)
    sizes = {"resolution": 64, "latent_size": 64, "width": 32}
    norms = {"generator_normalisation": "none", "discriminator_normalisation": "none"}
    return build_pair(Architecture(backbone=backbone, style=style, **sizes, **norms))


def test_mapping_and_first_block_give_the_official_numbers():
    numbers = load_file(HERE / "stylegan2_first_block.safetensors")
    layers = pair_of_the_numbers("stylegan2").generator.layers()
    for name, prefix in (("mapping", "G.mapping."), ("b4", "G.synthesis.b4.")):
        state = {k.removeprefix(prefix): v for k, v in numbers.items() if k.startswith(prefix)}
        layers[name].load_state_dict(state)  # strict: names map one to one
    mapping, block = layers["mapping"].eval(), layers["b4"]
    with torch.no_grad():
        styles = mapping(numbers["out.z"])
        drawing = block(Drawing(styles[:, None].expand(-1, 2, -1)))
    torch.testing.assert_close(styles, numbers["out.w"], rtol=1e-5, atol=1e-5)
    for ours, theirs in ((drawing.features, "act.b4.0"), (drawing.pixels, "act.b4.1")):
        expected = numbers[theirs]  # of the first picture
        torch.testing.assert_close(ours[: len(expected)], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif("GRAFTGAN_GOLDEN" not in os.environ, reason="needs the whole networks' numbers")
@pytest.mark.parametrize("backbone", ["stylegan2", "stylegan3t"])
def test_whole_networks_give_the_official_numbers(backbone: str):
    numbers = load_file(Path(os.environ["GRAFTGAN_GOLDEN"]) / f"{backbone}_64.safetensors")
    pair = pair_of_the_numbers(backbone)
    for network, prefix in ((pair.generator, "G."), (pair.discriminator, "D.")):
        state = {k.removeprefix(prefix): v for k, v in numbers.items() if k.startswith(prefix)}
        network.load_state_dict(state)
        network.eval()
    with torch.no_grad():
        images = pair.generator(numbers["out.z"])
        near = truncated(pair.generator, 0.7)(numbers["out.z"])
        logits = pair.discriminator(numbers["out.img"])
    torch.testing.assert_close(images, numbers["out.img"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(near, numbers["out.img_psi0.7"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, numbers["out.logits"].flatten(), rtol=1e-4, atol=1e-4)


def test_a_leaky_relu_keeps_the_size_of_normal_features():
    features = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    assert float(leaky(features).square().mean()) == pytest.approx(1 + 0.2**2, rel=0.02)
    assert math.isclose(leaky(torch.ones(1, 1)).item(), math.sqrt(2), rel_tol=1e-6)
