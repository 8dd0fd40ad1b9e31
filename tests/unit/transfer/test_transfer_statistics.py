"""What frozen normalisations normalise with, in training and in sampling."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.network_types import NetworkPair
from graftgan.networks.blocks import evaluation_mode, layers_on_batch_statistics
from graftgan.transfer import apply_plan, parse_plan
from tiny_networks import assert_same_tensors, latents, tiny_images, tiny_pair


def norm_pass(layer: nn.Module, run: object) -> tuple[nn.BatchNorm2d, Tensor, Tensor]:
    """Return the layer's norm with what went into it and came out of it in ``run``."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = layer.norm.register_forward_hook(
        lambda _, given, output: seen.append((given[0].detach().clone(), output.detach().clone()))
    )
    run()
    handle.remove()
    ((given, output),) = seen
    return layer.norm, given, output


def by_batch(norm: nn.BatchNorm2d, given: Tensor) -> Tensor:
    return F.batch_norm(given, None, None, norm.weight, norm.bias, True, 0.1, norm.eps)


def by_running(norm: nn.BatchNorm2d, given: Tensor) -> Tensor:
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    return F.batch_norm(given, mean, variance, norm.weight, norm.bias, False, 0.1, norm.eps)


@pytest.mark.parametrize("action", ["freeze", "adafm", "fine_tune"])
@pytest.mark.parametrize("statistics", ["source", "batch"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "sampling"])
def test_what_a_norm_normalises_with(
    pair: NetworkPair, action: str, statistics: str, training: bool
):
    plan = parse_plan(f"D[layer2={action}, *=fine_tune] G[layer2={action}, *=fine_tune]")
    apply_plan(plan, pair, fresh=lambda: tiny_pair(seed=2), statistics=statistics)
    if not training:
        for _, network in pair.items():
            evaluation_mode(network)
    on_batch = {
        "fine_tune": training,
        "adafm": training and statistics == "batch",
        "freeze": statistics == "batch",
    }[action]
    for network, given in ((pair.generator, latents()), (pair.discriminator, tiny_images())):
        layer = network.layers()["layer2"]
        norm, before, after = norm_pass(layer, lambda n=network, g=given: n(g))
        batch, running = by_batch(norm, before), by_running(norm, before)
        assert not torch.allclose(batch, running, atol=1e-2), "the test could not tell them apart"
        torch.testing.assert_close(after, batch if on_batch else running)


@pytest.mark.parametrize("statistics", ["source", "batch"])
def test_frozen_buffers_do_not_move_by_passes_alone(pair: NetworkPair, statistics: str):
    apply_plan(
        parse_plan("D(*,0,1) G(*,0,1)"),
        pair,
        fresh=lambda: tiny_pair(seed=2),
        statistics=statistics,
    )
    held = {
        f"{role}.{name}.{n}": buffer
        for role, network in pair.items()
        for name, layer in list(network.layers().items())
        for n, buffer in layer.named_buffers()
        if not any(p.requires_grad for p in layer.parameters())
    }
    assert len([n for n in held if n.endswith("num_batches_tracked")]) >= 3
    before = {name: buffer.clone() for name, buffer in held.items()}
    for _ in range(3):
        pair.discriminator(pair.generator(latents()))
    assert_same_tensors(before, held)


def test_layers_on_batch_statistics_are_named(pair: NetworkPair):
    assert layers_on_batch_statistics(pair.generator.layers().items()) == ()
    apply_plan(
        parse_plan("D(1,1,2) G(3,0,1)"), pair, fresh=lambda: tiny_pair(seed=2), statistics="batch"
    )
    # layer4, to the pixels, has no norm.
    assert layers_on_batch_statistics(pair.generator.layers().items()) == ("layer2", "layer3")


def test_a_frozen_generator_on_source_statistics_is_a_fixed_function(pair: NetworkPair):
    apply_plan(
        parse_plan("D(0,0,4) G(4,0,0)"), pair, fresh=lambda: tiny_pair(seed=2), statistics="source"
    )
    together = pair.generator(latents(4))
    alone = torch.cat([pair.generator(z[None]) for z in latents(4)])
    torch.testing.assert_close(together, alone)


def test_spectral_norm_vectors_are_held(pair: NetworkPair):
    """Evaluation mode stops the power iteration; no backbone has it yet, a person's may."""
    layer = pair.discriminator.layers()["layer1"]
    layer.conv = nn.utils.parametrizations.spectral_norm(layer.conv)
    apply_plan(parse_plan("D(1,0,3) G(0,0,4)"), pair, fresh=lambda: pair, statistics="source")
    before = {n: b.clone() for n, b in layer.named_buffers()}
    for _ in range(2):
        pair.discriminator(tiny_images())
    assert_same_tensors(before, dict(layer.named_buffers()))
