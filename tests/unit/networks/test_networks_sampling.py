"""Pictures from generators: modes, chunks, walks."""

import pytest
import torch

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import StyledGenerator, to_pictures
from graftgan.networks.blocks import use_batch_statistics
from graftgan.networks.sampling import CHUNK, generate, interpolation_latents, random_latents
from tiny_networks import latents, tiny_architecture, tiny_pair


def test_drawing_pictures_leaves_a_training_generator_in_training_mode():
    generator = tiny_pair().generator.train()
    before = {n: m.training for n, m in generator.named_modules()}
    generate(generator, latents(3, 8))
    assert {n: m.training for n, m in generator.named_modules()} == before
    assert all(before.values())


def test_a_picture_depends_on_its_latent_alone():
    generator = tiny_pair().generator
    many = latents(CHUNK + 5, 8)
    pictures = generate(generator, many)
    assert pictures.dtype == torch.uint8
    assert pictures.shape == (CHUNK + 5, 3, 32, 32)
    alone = generate(generator, many[-1:])
    assert (pictures[-1:].int() - alone.int()).abs().max() <= 1


def test_a_layer_that_follows_the_batch_always_gets_a_whole_chunk():
    generator = tiny_pair().generator
    use_batch_statistics(generator.layers()["layer1"].norm)
    sizes: list[int] = []
    generator.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    pictures = generate(generator, latents(CHUNK + 5, 8))
    assert sizes == [CHUNK, CHUNK]
    assert len(pictures) == CHUNK + 5


def test_latents_are_standard_normal():
    assert float(random_latents(500, 8, seed=1).std()) == pytest.approx(1.0, abs=0.05)
    for count in (0, 1_000_000_000):
        with pytest.raises(SettingsError, match="from 1 to 1,000,000, got"):
            random_latents(count, 8, seed=0)
    with pytest.raises(SettingsError, match="got 1,000,000,000"):
        interpolation_latents(10, 100_000_000, 8, seed=0)


def test_truncation_scales_the_latents_and_leaves_the_classes():
    generator = tiny_pair(tiny_architecture(classes=("a", "b"))).generator
    given = generator.architecture.with_labels(random_latents(4, 8, seed=1))
    halved = torch.cat([0.5 * given[:, :8], given[:, 8:]], dim=1)
    near = generate(generator, given, truncation=0.5)
    assert torch.equal(near, generate(generator, halved))
    assert not torch.equal(near, generate(generator, given))
    for refused in (-0.1, float("inf"), float("nan")):
        with pytest.raises(SettingsError, match="truncation must be finite"):
            generate(generator, given, truncation=refused)


@pytest.mark.parametrize("mapper", ["none", "affine"])
def test_truncation_draws_styles_towards_their_mean(mapper: str):
    generator = tiny_pair(tiny_architecture("stylegan2", mapper=mapper)).generator
    assert isinstance(generator, StyledGenerator)
    generator.train()
    generator(latents(64, 8))  # so that the mean is not zero
    given = latents(3, 8, seed=2)
    mean = generator.mean_style.clone()
    assert mean.abs().max() > 0
    styles = generator.eval().styles(given)
    expected = to_pictures(generator.synthesize(mean + 0.7 * (styles - mean)).detach())
    near = generate(generator, given, truncation=0.7)
    assert (near.int() - expected.int()).abs().max() <= 1  # mean + 0.7 x rounds otherwise
    assert (near != generate(generator, given)).float().mean() > 0.2
    first, *others = generate(generator, given, truncation=0.0)
    assert all(torch.equal(first, other) for other in others), "all are the mean picture"


def test_a_walk_is_closed_passes_its_stops_and_stays_on_the_sphere():
    stops, between = 4, 10
    walk = interpolation_latents(stops, between, 50, seed=2)
    anchors = random_latents(stops, 50, seed=2)
    assert torch.allclose(walk[::between], anchors, atol=1e-5)
    norms, ends = walk.norm(dim=1), anchors.norm(dim=1)
    assert norms.min() > 0.9 * ends.min()  # a straight line would dip to 0.7 in the middle
    steps = (walk - walk.roll(1, dims=0)).norm(dim=1)
    assert steps.max() < 3 * steps.median()
    with pytest.raises(SettingsError, match="2 stops"):
        interpolation_latents(1, 5, 8, seed=0)
