"""AdaFM and scale/shift against their formulas written out by hand, and their folding."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from graftgan.checkpoints import copy_matching
from graftgan.core.network_types import NetworkPair, tensors_of
from graftgan.networks.blocks import evaluation_mode
from graftgan.transfer import apply_plan, fold, parse_plan
from graftgan.transfer.actions import ACTIONS, Context
from tiny_networks import assert_same_tensors, everything_in, latents, tiny_images, tiny_pair

KERNELS = {
    "conv": (nn.Conv2d(3, 2, 4, stride=2, padding=1), (2, 3, 6, 6)),
    "strided": (nn.Conv2d(3, 5, (3, 1)), (2, 3, 6, 6)),
    "transposed": (nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1), (2, 2, 3, 3)),
    "linear": (nn.Linear(4, 3), (2, 4)),
    "pointwise": (nn.Conv2d(2, 3, 1), (2, 2, 5, 5)),
    "transposed pointwise": (nn.ConvTranspose2d(2, 3, 1), (2, 2, 5, 5)),
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def modulated(kind: str, action: str = "adafm") -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a layer, the same under ``action``, and an input."""
    shape = KERNELS[kind][1]
    plain = KERNELS[kind][0]
    changed = copy.deepcopy(plain)
    changed.requires_grad_(False)
    ACTIONS[action].apply(changed, Context("source", plain))
    return plain, changed, torch.randn(shape, generator=rng())


def randomise(module: nn.Module, seed: int = 3) -> None:
    """Give every modulation numbers far from its start."""
    found = 0
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith((".gamma", ".beta")):
                parameter.copy_(torch.randn(parameter.shape, generator=rng(seed + found)))
                found += 1
    assert found, "nothing is modulated"


def gamma_beta(module: nn.Module) -> tuple[Tensor, Tensor]:
    (adafm,) = module.parametrizations["weight"]
    return adafm.gamma.detach(), adafm.beta.detach()


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("action", ["adafm", "filter_scale_shift"])
def test_at_the_start_nothing_changes(kind: str, action: str):
    plain, changed, given = modulated(kind, action)
    assert parametrize.is_parametrized(changed)
    assert torch.equal(plain(given), changed(given))
    assert torch.equal(plain.weight, changed.weight)
    assert torch.equal(plain.bias, changed.bias)


@pytest.mark.parametrize(
    "text", ["D(0,*,0) G(0,*,0)", "D[*=filter_scale_shift] G[*=filter_scale_shift]"]
)
def test_a_modulated_pair_starts_as_the_source(pair: NetworkPair, text: str):
    source = tiny_pair()
    apply_plan(parse_plan(text), pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    for _, network in source.items():
        network.eval()
    assert torch.equal(pair.generator(latents()), source.generator(latents()))
    assert torch.equal(pair.discriminator(tiny_images()), source.discriminator(tiny_images()))


def test_adafm_on_a_convolution():
    plain, changed, given = modulated("conv")
    randomise(changed)
    gamma, beta = gamma_beta(changed)
    assert gamma.shape == beta.shape == (2, 3, 1, 1)
    columns = F.unfold(given, 4, stride=2, padding=1).view(2, 3, 16, 9)
    kernel = plain.weight.view(2, 3, 16)
    wanted = torch.einsum("oi,oit,bitp->bop", gamma[..., 0, 0], kernel, columns)
    wanted += torch.einsum("oi,bitp->bop", beta[..., 0, 0], columns)
    wanted = wanted.view(2, 2, 3, 3) + plain.bias[:, None, None]
    torch.testing.assert_close(changed(given), wanted)


def test_adafm_on_a_transposed_convolution():
    """The kernel's axes are (in, out, height, width): 2 inputs, 3 outputs tell them apart."""
    plain, changed, given = modulated("transposed")
    randomise(changed)
    gamma, beta = gamma_beta(changed)
    assert gamma.shape == beta.shape == (2, 3, 1, 1)
    padded = torch.zeros(2, 3, 8, 8)
    for i in range(2):
        for o in range(3):
            kernel = gamma[i, o, 0, 0] * plain.weight[i, o] + beta[i, o, 0, 0]
            for y in range(3):
                for x in range(3):
                    patch = given[:, i, y, x, None, None] * kernel
                    padded[:, o, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += patch
    wanted = padded[:, :, 1:-1, 1:-1] + plain.bias[:, None, None]
    torch.testing.assert_close(changed(given), wanted)


def test_adafm_on_a_linear_layer():
    plain, changed, given = modulated("linear")
    randomise(changed)
    gamma, beta = gamma_beta(changed)
    assert gamma.shape == (3, 1)
    wanted = torch.einsum("o,oi,bi->bo", gamma[:, 0], plain.weight, given)
    wanted += torch.einsum("o,bi->bo", beta[:, 0], given) + plain.bias
    torch.testing.assert_close(changed(given), wanted)


@pytest.mark.parametrize("kind", ["pointwise", "transposed pointwise"])
def test_adafm_on_kernels_of_one_weight_has_a_pair_for_each_unit(kind: str):
    plain, changed, given = modulated(kind)
    randomise(changed)
    gamma, beta = (numbers.flatten() for numbers in gamma_beta(changed))
    assert gamma.shape == (3,)
    weight = plain.weight[..., 0, 0]
    by_unit = weight if kind == "pointwise" else weight.T
    kernel = gamma[:, None] * by_unit + beta[:, None]
    wanted = torch.einsum("oi,bixy->boxy", kernel, given) + plain.bias[:, None, None]
    torch.testing.assert_close(changed(given), wanted)


@pytest.mark.parametrize("kind", KERNELS)
def test_scale_and_shift_on_the_output(kind: str):
    """With h = w x + b the output is gamma (h - b) + b + beta, channel by channel."""
    plain, changed, given = modulated(kind, "filter_scale_shift")
    randomise(changed)
    gamma = changed.parametrizations["weight"][0].gamma
    beta = changed.parametrizations["bias"][0].beta
    output = plain(given)
    channels = output.shape[1]
    assert gamma.shape == beta.shape == (channels,)
    shape = (1, channels) + (1,) * (output.dim() - 2)
    bias = plain.bias.view(shape)
    wanted = gamma.view(shape) * (output - bias) + bias + beta.view(shape)
    torch.testing.assert_close(changed(given), wanted)


def test_scale_and_shift_come_after_the_normalisation(pair: NetworkPair):
    source = tiny_pair()
    plan = parse_plan(
        "D[layer3=filter_scale_shift, *=fine_tune] G[layer2=filter_scale_shift, *=fine_tune]"
    )
    apply_plan(plan, pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    for changed, plain, shape in (
        (pair.generator.layers()["layer2"], source.generator.layers()["layer2"], (3, 16, 4, 4)),
        (
            pair.discriminator.layers()["layer3"],
            source.discriminator.layers()["layer3"],
            (3, 8, 8, 8),
        ),
    ):
        randomise(changed)
        assert parametrize.is_parametrized(changed.norm)
        assert not parametrize.is_parametrized(changed.conv)
        gamma = changed.norm.parametrizations["weight"][0].gamma.view(1, -1, 1, 1)
        beta = changed.norm.parametrizations["bias"][0].beta.view(1, -1, 1, 1)
        given = torch.randn(shape, generator=rng())
        plain.eval()
        normed = plain.norm(plain.conv(given))
        bias = plain.norm.bias.view(1, -1, 1, 1)
        wanted = plain.activation(gamma * (normed - bias) + bias + beta)
        torch.testing.assert_close(changed(given), wanted)


@pytest.mark.parametrize("statistics", ["source", "batch"])
@pytest.mark.parametrize("action", ["adafm", "filter_scale_shift"])
def test_folding_keeps_the_function_and_drops_the_modulations(
    pair: NetworkPair, action: str, statistics: str
):
    plan = parse_plan(f"D[*={action}] G[layer1=freeze, *={action}]")
    apply_plan(plan, pair, fresh=lambda: tiny_pair(seed=2), statistics=statistics)
    for _, network in pair.items():
        randomise(network)
    before = everything_in(pair)
    folded = fold(pair)
    assert_same_tensors(before, everything_in(pair))
    for (_, network), (_, plain) in zip(pair.items(), folded.items(), strict=True):
        assert not any(parametrize.is_parametrized(m) for m in plain.modules())
        evaluation_mode(network)
        evaluation_mode(plain)
    difference = folded.generator(latents()) - pair.generator(latents())
    assert difference.abs().max() < 1e-6
    scores = pair.discriminator(tiny_images())
    torch.testing.assert_close(folded.discriminator(tiny_images()), scores, rtol=1e-5, atol=1e-6)
    changed = tiny_pair()
    for (_, network), (_, plain) in zip(changed.items(), folded.items(), strict=True):
        copy_matching(network, tensors_of(plain)).require_complete(what="the folded network")
    assert any(
        not torch.equal(a, b)
        for a, b in zip(
            everything_in(changed).values(), everything_in(tiny_pair()).values(), strict=True
        )
    )


def test_no_gradient_is_spent_on_a_modulated_kernel(pair: NetworkPair):
    apply_plan(
        parse_plan("D(0,*,0) G(0,*,0)"), pair, fresh=lambda: tiny_pair(seed=2), statistics="source"
    )
    pair.discriminator(pair.generator(latents())).sum().backward()
    for _, network in pair.items():
        for name, parameter in network.named_parameters():
            modulation = name.endswith((".gamma", ".beta"))
            assert (parameter.grad is not None) == modulation, name


def test_a_biased_convolution_before_a_norm_is_left_alone():
    """A scale before a batch normalisation would be undone by it."""
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    ACTIONS["filter_scale_shift"].apply(layer, Context("source", layer))
    assert parametrize.is_parametrized(layer[1])
    assert not parametrize.is_parametrized(layer[0])
