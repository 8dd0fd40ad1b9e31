"""Classes around a pair: no effect at the start, each class its own numbers afterwards."""

import copy
from dataclasses import replace

import pytest
import torch

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import ADDED_LAYERS, Architecture, NetworkPair, class_weights
from graftgan.networks.backbone import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    build_pair,
    surrounded,
    with_classes,
)
from tiny_networks import latents, tiny_architecture, tiny_images, tiny_pair

CLASSES = ("anime", "bird", "cat")


def conditional(**changes: object) -> tuple[NetworkPair, NetworkPair]:
    """Return a pair, and the same one with classes around it."""
    plain = tiny_pair(tiny_architecture(**changes))
    return plain, with_classes(copy.deepcopy(plain), CLASSES)


def stirred(pair: NetworkPair) -> NetworkPair:
    """Give every class numbers of its own."""
    rng = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for layer in added(pair):
            for parameter in layer.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=0.3)
    return pair


def added(pair: NetworkPair) -> tuple[torch.nn.Module, torch.nn.Module]:
    return pair.generator.layers()["classes"], pair.discriminator.layers()["projection"]


def labels(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("norm", ["batch", "instance", "layer"])
def test_at_the_start_every_class_draws_and_scores_as_the_source(norm: str, mode: bool):
    plain, pair = conditional(generator_normalisation=norm)
    images = tiny_images(4)
    for one, other in zip(plain.items(), pair.items(), strict=True):
        one[1].train(mode)
        other[1].train(mode)
    drawn = plain.generator(latents(4))
    scores = plain.discriminator(images)
    for label in range(3):
        given = pair.architecture.with_labels(latents(4), labels(*[label] * 4))
        again, twin = copy.deepcopy(pair), copy.deepcopy(plain)
        assert torch.equal(again.generator(given), twin.generator(latents(4)))
        weights = class_weights(labels(*[label] * 4), 3)
        assert torch.equal(again.discriminator(images, weights), twin.discriminator(images))
    assert drawn.std() > 0
    assert scores.std() > 0


def test_a_class_scales_and_shifts_what_its_normalisation_returns():
    plain, pair = conditional(generator_normalisation="layer")
    pair = stirred(pair)
    given = pair.architecture.with_labels(latents(3), labels(2, 0, 1))
    features: dict[str, torch.Tensor] = {}

    def keep(module: torch.nn.Module, taken: object, out: torch.Tensor) -> None:
        del module, taken
        features["plain"] = out.clone()  # the activation works in place

    norm = plain.generator.layers()["layer1"].norm
    assert isinstance(norm, torch.nn.Module)
    norm.register_forward_hook(keep)
    plain.generator(latents(3))
    activation = pair.generator.layers()["layer1"].activation
    assert isinstance(activation, torch.nn.Module)
    activation.register_forward_pre_hook(lambda _, taken: features.update(given=taken[0].clone()))
    pair.generator(given)
    affine = pair.generator.layers()["classes"].affines["layer1"]
    for row, label in enumerate((2, 0, 1)):
        scale, shift = (t[label][:, None, None] for t in (affine.scale, affine.shift))
        torch.testing.assert_close(features["given"][row], scale * features["plain"][row] + shift)


def test_the_score_is_that_of_miyato_and_koyama():
    plain, pair = conditional()
    pair = stirred(pair)
    critic, images = pair.discriminator.eval(), tiny_images(4)
    taken: list[torch.Tensor] = []
    last = plain.discriminator.eval().layers()["layer4"].linear
    assert isinstance(last, torch.nn.Linear)
    last.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    psi = plain.discriminator(images)
    directions = critic.layers()["projection"].directions
    wanted = psi + torch.stack([taken[0][i] @ directions[y] for i, y in enumerate((1, 0, 2, 1))])
    weights = class_weights(labels(1, 0, 2, 1), 3)
    torch.testing.assert_close(critic(images, weights), wanted)
    torch.testing.assert_close(critic.conditioned_on(weights)(images), wanted)
    assert torch.equal(critic(images), psi), "without classes it is psi alone"
    assert (wanted - psi).abs().min() > 1e-4


def test_the_numbers_of_a_class_learn_from_its_pictures_alone():
    _, pair = conditional()
    given = pair.architecture.with_labels(latents(4), labels(0, 2, 2, 0))
    pair.discriminator(pair.generator(given), given[:, 8:]).square().sum().backward()
    count = 0
    for layer in added(pair):
        for parameter in layer.parameters():
            reached = parameter.grad.abs().flatten(1).sum(dim=1) > 0
            assert reached.tolist() == [True, False, True]
            count += 1
    assert count == 2 * 3 + 1


def test_shares_of_classes_lie_between_them():
    _, pair = conditional(generator_normalisation="layer")
    generator = stirred(pair).generator
    z = latents(1)
    ends = [torch.cat([z, class_weights(labels(y), 3)], dim=1) for y in (0, 1)]
    between = [generator(torch.lerp(*ends, share)) for share in (0.0, 0.5, 1.0)]
    assert torch.equal(between[0], generator(ends[0]))
    assert torch.equal(between[2], generator(ends[1]))
    whole = (between[0] - between[2]).norm()
    assert (between[0] - between[1]).norm() < whole
    assert (between[1] - between[2]).norm() < whole


def test_latents_without_classes_are_refused_with_what_is_missing():
    _, pair = conditional()
    with pytest.raises(SettingsError, match=r"3 classes \(anime, bird, cat\).* 8 \+ 3, got 8"):
        pair.generator(latents(2))


def test_nothing_stays_on_the_backbone_after_a_pass():
    _, pair = conditional()
    given = pair.architecture.with_labels(latents(2))
    pair.discriminator(pair.generator(given), given[:, 8:])
    for _, network in pair.items():
        for module in network.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


def test_an_architecture_with_classes_builds_and_describes_itself():
    architecture = tiny_architecture(classes=CLASSES)
    pair = build_pair(architecture)
    assert isinstance(pair.generator, ConditionalGenerator)
    assert isinstance(pair.discriminator, ConditionalDiscriminator)
    assert pair.architecture == pair.discriminator.architecture == architecture
    plain = {**architecture.as_dict(), "classes": list(CLASSES)}
    assert Architecture(**plain) == architecture
    assert next(iter(pair.generator.layers())) == "classes"
    assert list(pair.discriminator.layers())[-1] == "projection"
    bare = build_pair(replace(architecture, classes=()))
    for _, network in bare.items():
        assert not ADDED_LAYERS & set(network.layers())


def test_classes_stand_around_a_latent_map():
    architecture = tiny_architecture(classes=CLASSES, mapper="affine")
    pair = build_pair(architecture)
    assert list(pair.generator.layers())[:2] == ["classes", "mapper"]
    assert pair.generator(pair.architecture.with_labels(latents(2))).shape == (2, 3, 32, 32)
    rng = torch.Generator()
    with pytest.raises(SettingsError, match="so it cannot take a mapper"):
        surrounded(build_pair(replace(architecture, mapper="none")), architecture, rng)


def test_what_cannot_take_classes_says_why():
    with pytest.raises(SettingsError, match="mlp has no normalisation in its generator"):
        build_pair(tiny_architecture("mlp", classes=CLASSES))
    with pytest.raises(SettingsError, match="dcgan has no normalisation"):
        build_pair(tiny_architecture(generator_normalisation="none", classes=CLASSES))
    _, pair = conditional()
    assert with_classes(pair, CLASSES) is pair
    with pytest.raises(SettingsError, match=r"draws the classes anime, bird, cat and cannot take"):
        with_classes(pair, ("dog", "emu"))


def test_classes_are_found_by_name():
    architecture = tiny_architecture(classes=CLASSES)
    assert architecture.label_of("bird") == 1
    with pytest.raises(SettingsError, match="did you mean 'bird'"):
        architecture.label_of("birt")
    with pytest.raises(SettingsError, match="has no classes"):
        tiny_architecture().label_of("bird")
    plain = latents(2)
    assert tiny_architecture().with_labels(plain) is plain
    assert architecture.with_labels(latents(4))[:, 8:].argmax(dim=1).tolist() == [0, 1, 2, 0]
