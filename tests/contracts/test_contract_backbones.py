"""What every registered backbone owes the other rooms."""

import math

import pytest
import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import LayeredNetwork, NetworkPair
from graftgan.networks.backbone import BACKBONES, build_pair
from graftgan.networks.blocks import NORMALISATIONS
from tiny_networks import (
    assert_same_tensors,
    everything_in,
    latents,
    tiny_architecture,
    tiny_images,
)

SIDES = {
    "dcgan": (32, 64, 128, 256),
    "mlp": (8, 32),
    "began": (32, 64),
    "sngan": (32, 64, 128),
}
CASES = [(name, side) for name in BACKBONES for side in SIDES.get(name, (32,))]
NORMALISED = [name for name in BACKBONES if BACKBONES[name].normalisation != "none"]
NETWORKS = ("discriminator", "generator")


def build(name: str, side: int, *, seed: int = 0, **changes: object) -> NetworkPair:
    data = {"resolution": side, "width": 2, "latent_size": 6, "channels": 3, **changes}
    return build_pair(tiny_architecture(name, **data), torch.Generator().manual_seed(seed))


def test_there_are_backbones_to_hold_to_the_contract():
    assert {"dcgan", "mlp", "began", "sngan"} <= set(BACKBONES)
    assert "dcgan" in NORMALISED
    assert len(CASES) >= 6
    assert {"batch", "instance", "layer", "spectral", "none"} <= set(NORMALISATIONS)


@pytest.mark.parametrize(("name", "side"), CASES)
def test_every_tensor_lies_in_exactly_one_layer(name: str, side: int):
    for role, network in build(name, side).items():
        own = [*network.parameters(), *network.buffers()]
        assert own
        claims = [
            id(tensor)
            for layer in network.layers().values()
            for tensor in (*layer.parameters(), *layer.buffers())
        ]
        assert len(claims) == len(set(claims)), f"a tensor of the {role} lies in two layers"
        assert set(claims) == {id(tensor) for tensor in own}


@pytest.mark.parametrize(("name", "side"), CASES)
def test_layers_run_in_the_order_they_are_listed(name: str, side: int):
    pair = build(name, side)
    for network, given in ((pair.generator, latents(2, 6)), (pair.discriminator, None)):
        ran: list[str] = []
        for layer, module in network.layers().items():
            module.register_forward_hook(lambda *_, layer=layer, ran=ran: ran.append(layer))
        network(tiny_images(2, side=side) if given is None else given)
        assert len(ran) >= 4
        assert ran == list(network.layers())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "side"), CASES)
def test_shapes_and_range(name: str, side: int, channels: int):
    pair = build(name, side, channels=channels)
    with torch.no_grad():
        for parameter in pair.generator.parameters():
            parameter.mul_(50)  # so that an unbounded output would show
        images = pair.generator(latents(3, 6))
        logits = pair.discriminator(images)
    assert images.shape == (3, channels, side, side)
    assert not BACKBONES[name].bounded or images.abs().max() <= 1
    assert images.abs().max() > 0.5
    assert logits.shape == (3,)
    assert pair.architecture.resolution == side


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_every_normalisation_builds_runs_and_trains(name: str, kind: str):
    pair = build(name, 32, generator_normalisation=kind, discriminator_normalisation=kind, width=4)
    logits = pair.discriminator(pair.generator(latents(4, 6)))
    logits.square().sum().backward()
    for role, network in pair.items():
        idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle, f"no gradient in the {role} with {kind}: {idle}"


@pytest.mark.parametrize(("name", "side"), CASES)
def test_a_score_can_go_up_for_real_and_is_no_probability(name: str, side: int):
    critic = build(name, side).discriminator
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(30)
        scores = critic(tiny_images(8, side=side) * 5)
    assert scores.min() < 0 or scores.max() > 1, "a sigmoid at the end makes no critic"


def test_fresh_weights_are_normal_with_the_papers_spread():
    for _, network in build("dcgan", 32, width=16, latent_size=50).items():
        kernels = torch.cat([p.detach().flatten() for p in kernels_of(network)])
        n = len(kernels)
        assert n > 40_000
        assert abs(kernels.mean()) < 5 * 0.02 / math.sqrt(n)
        assert abs(kernels.std() - 0.02) < 5 * 0.02 / math.sqrt(2 * n)
        kurtosis = (kernels / kernels.std()).pow(4).mean()
        assert abs(kurtosis - 3) < 5 * math.sqrt(24 / n), "3 for a normal, 1.8 for a uniform"
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                assert abs(part.weight.mean() - 1) < 5 * 0.02 / math.sqrt(len(part.weight))
                assert 0 < part.weight.std() < 0.05
                assert not part.bias.any()
            elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert part.bias is None or not part.bias.any()


@pytest.mark.parametrize("name", ["mlp", "sngan"])
def test_fresh_weights_are_normal_by_fan_in(name: str):
    for _, network in build(name, 32, width=16, latent_size=50).items():
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                kernel = part.weight.detach()
                spread = math.sqrt(2 / kernel[0].numel())
                assert abs(kernel.std() - spread) < 5 * spread / math.sqrt(2 * kernel.numel())
                assert part.bias is None or not part.bias.any()


@pytest.mark.parametrize("name", BACKBONES)
def test_the_generator_of_numbers_alone_decides_the_weights(name: str):
    torch.manual_seed(0)
    first = everything_in(build(name, 32, seed=4))
    torch.manual_seed(1)
    assert_same_tensors(first, everything_in(build(name, 32, seed=4)))
    other = everything_in(build(name, 32, seed=5))
    assert any(not torch.equal(first[n], other[n]) for n in first)


@pytest.mark.parametrize("name", BACKBONES)
def test_without_numbers_the_weights_are_still_fixed(name: str):
    architecture = tiny_architecture(name, width=2)
    first, second = build_pair(architecture), build_pair(architecture)
    assert_same_tensors(everything_in(first), everything_in(second))
    assert first.architecture == architecture


def test_an_unknown_backbone_or_normalisation_is_explained():
    with pytest.raises(SettingsError, match="did you mean 'dcgan'"):
        build("dcgam", 32)
    with pytest.raises(SettingsError, match="did you mean 'batch'"):
        build("dcgan", 32, generator_normalisation="bach")


@pytest.mark.parametrize("name", BACKBONES)
def test_a_fresh_network_lets_the_signal_through(name: str):
    pair = build(name, 64 if name != "mlp" else 32, width=16, latent_size=50)
    pictures = pair.generator(latents(8, 50))
    assert pictures.std() > 1e-4, "all pictures are one gray"
    pair.discriminator(pictures).sum().backward()
    first = next(iter(pair.generator.layers().values()))
    assert sum(float(p.grad.abs().sum()) for p in first.parameters()) > 1e-6


def kernels_of(network: LayeredNetwork) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.dim() > 1]


@pytest.mark.parametrize("name", ["mlp", "began"])
def test_a_normalisation_that_would_be_ignored_is_refused(name: str):
    with pytest.raises(SettingsError, match=f"{name} has no normalisation"):
        build(name, 32, discriminator_normalisation="batch")
