"""The whole way from pictures to FID against torch-fidelity, pytorch-fid and clean-fid.

All four read one weight file, made here: He initialisation, with normalisations that fit pictures
like those measured, so that features differ between pictures as they do in a trained network.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import oracles
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.inception import Inception, inception_extractor
from graftgan.metrics.inception_scores import (
    frechet_distance,
    frechet_statistics,
    inception_score,
    kernel_distance,
)
from graftgan.metrics.metric import Features

COUNT = 8
TOLERANCE = 1e-4  # relative


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path))


def drawings(seed: int, *, contrast: float) -> Tensor:
    """Return (8, 3, 48, 48): coloured clouds, coarse to fine."""
    rng = torch.Generator().manual_seed(seed)
    pictures = torch.full((COUNT, 3, 48, 48), 128.0)
    for side in (3, 12, 48):
        clouds = torch.randn(COUNT, 3, side, side, generator=rng)
        strength = contrast * torch.rand(COUNT, 1, 1, 1, generator=rng)
        pictures += strength * F.interpolate(clouds, size=(48, 48), mode="bilinear")
    return pictures.clamp(0, 255).to(torch.uint8)


GENERATED = drawings(1, contrast=60)
REAL = drawings(2, contrast=90)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = torch.Generator().manual_seed(0)
    network = Inception().train()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of the one batch below
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=rng)
            nn.init.normal_(module.bias, -0.2, 0.3, generator=rng)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.1, generator=rng)
            nn.init.normal_(module.bias, std=0.5, generator=rng)
    with torch.no_grad():
        batch = drawings(3, contrast=75).float()
        network(F.interpolate(batch, size=(299, 299), mode="bilinear") / 128 - 1)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


def extractor_of(weights: Path, resize: str) -> Extractor:
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return inception_extractor(weights, expected_sha256=sha256, resize=resize)


@pytest.fixture(scope="module")
def measured(weights: Path) -> tuple[Features, Features]:
    """Our features of both sets, resized as torch-fidelity does."""
    extractor = extractor_of(weights, "torch_fidelity")
    generated = extractor.extract(GENERATED, device="cpu")
    return generated, extractor.extract(REAL, device="cpu")


def assert_same(ours: Tensor | None, theirs: Tensor) -> None:
    """Compare what tells pictures apart: the part that all have in common is left out."""
    assert ours is not None
    assert ours.shape == theirs.shape
    varying = theirs - theirs.mean(dim=0)
    assert varying.norm() > 0.05 * theirs.norm(), "these weights make all pictures alike"
    assert (ours - theirs).norm() < TOLERANCE * varying.norm()


def test_features_and_logits_are_torch_fidelitys(
    weights: Path, measured: tuple[Features, Features]
):
    with oracles.quiet():
        oracles.torch_fidelity()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        layers = ["2048", "logits_unbiased"]
        network: Any = FeatureExtractorInceptionV3("any", layers, str(weights))
        features, logits = network(GENERATED)
    assert_same(measured[0].values, features)
    assert_same(measured[0].logits, logits)


def pytorch_fid_network(weights: Path, monkeypatch: pytest.MonkeyPatch, **options: bool) -> Any:
    inception: Any = oracles.pytorch_fid().inception
    state = torch.load(weights, weights_only=True)
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: state)
    return inception.InceptionV3([3], **options).eval()


def test_features_are_pytorch_fids(weights: Path, monkeypatch: pytest.MonkeyPatch):
    ours = extractor_of(weights, "pytorch_fid").extract(GENERATED, device="cpu")
    with oracles.quiet(), torch.no_grad():
        theirs = pytorch_fid_network(weights, monkeypatch)(GENERATED.float() / 255)[0]
    assert_same(ours.values, theirs.flatten(1))


def test_features_are_clean_fids(
    weights: Path, measured: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
):
    """clean-fid's own network is another file; its resizer and its range are what it adds."""
    ours = extractor_of(weights, "clean_fid").extract(GENERATED, device="cpu")
    with oracles.quiet(), torch.no_grad():
        resize = oracles.clean_fid().resize.build_resizer("clean")
        network = pytorch_fid_network(
            weights, monkeypatch, resize_input=False, normalize_input=False
        )
        resized = np.stack([resize(picture.permute(1, 2, 0).numpy()) for picture in GENERATED])
        images = (torch.from_numpy(resized).permute(0, 3, 1, 2) - 128) / 128
        theirs = network(images)[0].flatten(1)
    assert_same(ours.values, theirs)
    moved = (ours.values - measured[0].values).norm() / ours.values.norm()
    assert moved > 100 * TOLERANCE, "the resize protocol makes no difference here"


def test_scores_are_torch_fidelitys_end_to_end(weights: Path, measured: tuple[Features, Features]):
    generated, real = measured
    with oracles.quiet():
        theirs = oracles.torch_fidelity().calculate_metrics(
            input1=oracles.Pictures(GENERATED),
            input2=oracles.Pictures(REAL),
            fid=True,
            kid=True,
            isc=True,
            isc_splits=1,
            kid_subsets=1,
            kid_subset_size=COUNT,
            feature_extractor_weights_path=str(weights),
            cuda=False,
            cache=False,
            save_cpu_ram=True,
            verbose=False,
        )
    fid = frechet_distance(frechet_statistics(generated), frechet_statistics(real))
    kid = kernel_distance(generated.values, real.values)
    assert generated.logits is not None
    found = {
        "frechet_inception_distance": fid,
        "kernel_inception_distance_mean": kid,
        "inception_score_mean": inception_score(generated.logits),
    }
    for name, value in found.items():
        assert value == pytest.approx(theirs[name], rel=TOLERANCE), name
    assert fid > 1
    assert abs(kid) > 1e-3
    assert found["inception_score_mean"] > 1.1
