"""The distance in feature maps, and the weights of VGG16 that a user may bring."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graftgan.core.errors import ScoreError, UnknownName
from graftgan.metrics.extractors.efficientnet import (
    load_efficientnet,
    load_efficientnet_maps,
    weights_file,
)
from graftgan.metrics.extractors.resize import PIXEL_RANGES
from graftgan.metrics.perceptual import (
    PerceptualDistance,
    VGG16Maps,
    load_vgg16_maps,
    perceptual_distance,
)

# Where torchvision's vgg16 has its convolutions.
PLACES = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
PLACES |= {12: (256, 256), 14: (256, 256), 17: (256, 512), 19: (512, 512), 21: (512, 512)}


def vgg16_weights() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}
    for place, (inputs, outputs) in PLACES.items():
        scale = (2 / (9 * inputs)) ** 0.5
        kernel = torch.randn(outputs, inputs, 3, 3, generator=rng) * scale
        weights[f"features.{place}.weight"] = kernel
        weights[f"features.{place}.bias"] = torch.randn(outputs, generator=rng) * 0.1
    return {**weights, "features.24.weight": torch.zeros(2), "classifier.0.bias": torch.zeros(3)}


def images(count: int, seed: int, *, channels: int = 3, side: int = 32) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=rng) * 2 - 1


@pytest.fixture(scope="module")
def lite() -> PerceptualDistance:
    return perceptual_distance("efficientnet_lite0", "cpu")


class Doubling(nn.Module):
    def forward(self, levels: Tensor) -> list[Tensor]:
        return [levels, 100 * levels[:, :1]]


def test_the_distance_is_relative_to_the_real_maps():
    distance = PerceptualDistance(Doubling(), PIXEL_RANGES["bytes"])
    real = torch.zeros(2, 3, 4, 4)  # grey levels of 127.5
    generated = real.clone()
    generated[0] = -1.0
    generated[1, 1:] = 1.0
    # The first picture is 100 % off in both layers; the second 2/3 in one and not in the other.
    assert distance(generated, real) == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert distance(real[:1], generated[1:]) == pytest.approx((2 / 5 + 0) / 2)  # another unit
    assert distance(real, real) == 0


def test_a_batch_counts_each_picture_alike(lite: PerceptualDistance):
    generated, real = images(3, 1), images(3, 2)
    alone = [lite(generated[i : i + 1], real[i : i + 1]) for i in range(3)]
    assert lite(generated, real) == pytest.approx(torch.stack(alone).mean().item(), rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_reach_the_generated_images_alone(lite: PerceptualDistance, channels: int):
    generated = images(2, 1, channels=channels).requires_grad_()
    real = images(2, 2, channels=channels).requires_grad_()
    lite(generated, real).backward()
    assert generated.grad is not None
    assert (generated.grad.abs().sum(dim=(1, 2, 3)) > 0).all()
    assert real.grad is None
    assert not any(p.requires_grad for p in lite.network.parameters())
    assert not any(module.training for module in lite.network.modules())


def test_a_step_down_the_gradient_brings_pictures_nearer(lite: PerceptualDistance):
    generated, real = images(2, 1).requires_grad_(), images(2, 2)
    before = lite(generated, real)
    (gradient,) = torch.autograd.grad(before, generated)
    with torch.no_grad():
        after = lite(generated - 0.1 * gradient / gradient.abs().max(), real)
    assert after < before


def test_the_maps_are_those_of_the_whole_network():
    path = weights_file()
    whole = load_efficientnet(path, folded=False)
    seen: list[Tensor] = []
    for place in (0, 2, 4, 7, 10):
        block: nn.Module = whole.network._blocks[place]  # type: ignore[union-attr, index]
        block.register_forward_hook(lambda *parts: seen.append(parts[2]))
    batch = images(2, 1, side=64)
    with torch.no_grad():
        whole(batch)
        maps = load_efficientnet_maps(path)(batch)
    assert [m.shape[-1] for m in maps] == [32, 32, 16, 8, 4, 4]
    assert len(seen) == 5
    for found, expected in zip(maps[1:], seen, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["vgg16-397923af.pth", "model.safetensors"])
def test_the_users_vgg16_answers_as_its_convolutions_do(tmp_path: Path, name: str):
    weights, path = vgg16_weights(), tmp_path / name
    if name.endswith(".pth"):
        torch.save(weights, path)
    else:
        save_file(weights, path)
    batch = images(2, 1, side=16)
    with torch.no_grad():
        maps = load_vgg16_maps(path)(batch)
    expected, x = [], batch
    for place in PLACES:
        if place in {5, 10, 17}:
            x = torch.nn.functional.max_pool2d(x, 2)
        weight, bias = weights[f"features.{place}.weight"], weights[f"features.{place}.bias"]
        x = torch.nn.functional.conv2d(x, weight, bias, padding=1).relu()
        expected.append(x)
    assert len(maps) == len(expected) == 10
    for found, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, wanted)
    distance = perceptual_distance(str(path), "cpu")
    assert distance.pixels.name == "imagenet"
    assert distance(images(2, 1), images(2, 1)) == 0
    assert distance(images(2, 1, channels=1), images(2, 2, channels=1)) > 0.1


def test_a_file_of_other_weights_is_refused(tmp_path: Path):
    path = tmp_path / "other.pth"
    batch_normalised = vgg16_weights()
    batch_normalised["features.2.weight"] = torch.zeros(128, 64, 3, 3)
    del batch_normalised["features.5.bias"]
    torch.save(batch_normalised, path)
    with pytest.raises(ScoreError, match=r"features\.2\.weight is \(128, 64, 3, 3\), expected"):
        load_vgg16_maps(path)
    torch.save({"state_dict": VGG16Maps().state_dict()}, path)
    with pytest.raises(ScoreError, match=r"features\.0\.weight is None.* and 17 more"):
        load_vgg16_maps(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ScoreError, match="no weights that can be loaded"):
        load_vgg16_maps(path)
    (tmp_path / "cut.safetensors").write_bytes(b"nothing")
    with pytest.raises(ScoreError, match="not a whole safetensors file"):
        load_vgg16_maps(tmp_path / "cut.safetensors")
    with pytest.raises(ScoreError, match="there is no weight file"):
        perceptual_distance(str(tmp_path / "absent.pth"), "cpu")


def test_a_name_that_is_no_network_is_refused():
    with pytest.raises(UnknownName, match="efficientnet_lite0, or give a file"):
        perceptual_distance("vgg16", "cpu")
