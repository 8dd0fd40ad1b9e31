"""The dcgan of papers 000 and 001, layer by layer."""

import pytest
import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture
from graftgan.networks.backbone import build_pair


def pair_of(resolution: int, **changes: object):
    data = {"width": 4, "latent_size": 6, **changes}
    return build_pair(Architecture(backbone="dcgan", resolution=resolution, **data))


@pytest.mark.parametrize(("resolution", "layers"), [(32, 4), (64, 5), (128, 6), (256, 7)])
def test_every_doubling_adds_a_layer_to_both(resolution: int, layers: int):
    pair = pair_of(resolution)
    names = [f"layer{i}" for i in range(1, layers + 1)]
    assert list(pair.generator.layers()) == list(pair.discriminator.layers()) == names


def test_channels_at_64_are_those_of_the_paper():
    pair = pair_of(64, width=64, latent_size=100)
    ups = [m for m in pair.generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    downs = [m for m in pair.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in ups] == [
        (100, 512),
        (512, 256),
        (256, 128),
        (128, 64),
        (64, 3),
    ]
    assert [(m.in_channels, m.out_channels) for m in downs] == [
        (3, 64),
        (64, 128),
        (128, 256),
        (256, 512),
    ]
    assert pair.discriminator.layers()["layer5"].linear.in_features == 512 * 4 * 4


def test_deep_networks_stop_widening():
    pair = pair_of(256)
    widest = max(m.out_channels for m in pair.discriminator.modules() if isinstance(m, nn.Conv2d))
    assert widest == 8 * 4


@pytest.mark.parametrize("resolution", [16, 48, 63, 512])
def test_other_resolutions_are_refused_with_the_choices(resolution: int):
    with pytest.raises(SettingsError, match="32, 64, 128, 256 px"):
        pair_of(resolution)


@pytest.mark.parametrize("name", ["width", "latent_size", "channels", "resolution"])
@pytest.mark.parametrize("value", [0, -3])
def test_an_impossible_architecture_is_refused_by_name(name: str, value: int):
    with pytest.raises(SettingsError, match=name):
        Architecture(**{"backbone": "dcgan", "resolution": 32, name: value})


@pytest.mark.parametrize(
    ("kind", "layers_with_norm"), [("batch", 3), ("layer", 3), ("instance", 3), ("none", 0)]
)
def test_normalisation_is_as_asked_and_not_at_the_ends(kind: str, layers_with_norm: int):
    pair = pair_of(64, generator_normalisation=kind, discriminator_normalisation=kind)
    for network, extra in ((pair.generator, 1 if layers_with_norm else 0), (pair.discriminator, 0)):
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
        assert len(norms) == layers_with_norm + extra
    assert not hasattr(pair.generator.layers()["layer5"], "norm")
    first = pair.discriminator.layers()["layer1"]
    assert isinstance(first.norm, nn.Identity)
    assert first.conv.bias is not None


@pytest.mark.parametrize("kind", ["layer", "instance", "none"])
def test_without_batch_statistics_a_score_depends_on_its_own_image_alone(kind: str):
    critic = pair_of(32, discriminator_normalisation=kind).discriminator
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), alone)
    batch = pair_of(32, discriminator_normalisation="batch").discriminator
    lone = torch.cat([batch(image[None]) for image in images])
    assert not torch.allclose(batch(images), lone), "the test could not tell the difference"
