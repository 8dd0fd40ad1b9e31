"""Spectral normalisation against singular values from a decomposition."""

import copy

import pytest
import torch
from torch import nn

from graftgan.networks.backbone import build_pair
from graftgan.networks.blocks import SpectralConv2d, SpectralConvTranspose2d, SpectralLinear
from graftgan.transfer import apply_plan, fold, parse_plan
from tiny_networks import latents, tiny_architecture, tiny_pair

LAYERS = {
    "convolution": (lambda: SpectralConv2d(3, 5, 3, 1, 1), (2, 3, 6, 6), 0),
    "transposed": (lambda: SpectralConvTranspose2d(3, 5, 4, 2, 1), (2, 3, 6, 6), 1),
    "linear": (lambda: SpectralLinear(7, 5), (2, 7), 0),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_kernel_in_use_has_norm_one(kind: str):
    torch.manual_seed(0)
    build, shape, axis = LAYERS[kind]
    layer = build()
    given = torch.randn(shape)
    for _ in range(200):
        layer(given)
    norm = torch.linalg.svdvals(layer.weight.detach().transpose(0, axis).flatten(1))[0]
    plain = copy.deepcopy(layer)
    plain.__class__ = type(layer).__bases__[0]
    with torch.no_grad():
        plain.weight.div_(norm)
        torch.testing.assert_close(layer(given), plain(given))


def test_the_gradient_is_that_of_torchs_own():
    torch.manual_seed(0)
    ours = SpectralConv2d(3, 5, 3, 1, 1)
    theirs = nn.Conv2d(3, 5, 3, 1, 1)
    theirs.load_state_dict({n: t for n, t in ours.state_dict().items() if n != "direction"})
    theirs = nn.utils.parametrizations.spectral_norm(theirs)
    given = torch.randn(2, 3, 6, 6)
    for _ in range(200):
        ours(given), theirs(given)
    ours(given).square().sum().backward()
    theirs(given).square().sum().backward()
    original = theirs.parametrizations.weight.original
    torch.testing.assert_close(ours.weight.grad, original.grad, rtol=1e-4, atol=1e-6)


def test_evaluation_mode_holds_the_direction():
    layer = SpectralLinear(7, 5)
    before = layer.direction.clone()
    layer.eval()(torch.randn(2, 7))
    assert torch.equal(layer.direction, before)
    layer.train()(torch.randn(2, 7))
    assert not torch.equal(layer.direction, before)


@pytest.mark.parametrize("backbone", ["sngan", "dcgan"])
def test_modulations_of_a_normalised_kernel_fold_away(backbone: str):
    architecture = tiny_architecture(backbone, discriminator_normalisation="spectral")
    pair = tiny_pair(architecture)
    apply_plan(
        parse_plan("adafm"), pair, fresh=lambda: build_pair(architecture), statistics="source"
    )
    with torch.no_grad():
        for parameter in pair.discriminator.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
        folded = fold(pair).discriminator.eval()
        pictures = pair.generator(latents())
        torch.testing.assert_close(folded(pictures), pair.discriminator.eval()(pictures))
