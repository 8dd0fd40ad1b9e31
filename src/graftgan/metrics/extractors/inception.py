"""The extractor with the FID's Inception and its published weights.

Source: Szegedy et al. 2015 (arXiv:1512.00567) in the version of the 2015-12-05 TensorFlow graph,
the standard since FID (Heusel et al. 2017, arXiv:1706.08500): average pools exclude the padding,
and the last block has a maximum pool. It is implemented here because the libraries that have it
import torchvision. Parameters have the names of the published file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from graftgan.core.errors import CountProgress
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.published_weights import PublishedWeights, fill, read_weights
from graftgan.metrics.extractors.resize import RESIZES

SIDE = 299  # pixels
DIMENSION = 2048
_CLASSES = 1008

INCEPTION = PublishedWeights(
    extractor="inception",
    network="Inception",
    distance="FID",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    variable="GRAFTGAN_INCEPTION",
)

Kernel = int | tuple[int, int]
Row = Sequence[tuple[str, int, *tuple[Kernel, ...]]]
"""Successive convolutions: name, channels, kernel. Two kernels are parallel convolutions."""


def inception_extractor(
    weights: Path | None = None,
    *,
    expected_sha256: str = INCEPTION.sha256,
    resize: str = "clean_fid",
    progress: CountProgress | None = None,
) -> Extractor:
    """Return the extractor "inception": features (n, 2048) and logits (n, 1008).

    The weights are found as :meth:`PublishedWeights.find` does; with other weights than the
    published ones the distance must not be called FID. ``resize`` is the protocol: clean_fid,
    pytorch_fid or torch_fidelity. Raises ScoreError: the weights are missing and cannot be
    downloaded, or are not those expected; CheckpointError: the file holds another network;
    UnknownName: there is no such resize protocol.
    """
    protocol = RESIZES[resize]
    path = INCEPTION.find(weights, expected_sha256=expected_sha256, progress=progress)
    return Extractor(
        name=INCEPTION.extractor_with(expected_sha256),
        weights_sha256=expected_sha256,
        resize=protocol,
        side=SIDE,
        pixels=protocol.pixels,
        dimension=DIMENSION,
        has_logits=True,
        network=load_inception(read_weights(path)),
    )


def load_inception(tensors: Mapping[str, Tensor]) -> "Inception":
    """Return the network with published ``tensors``, ready to evaluate.

    For speed, normalisations are folded into the convolutions and the memory format is
    channels_last. Raises CheckpointError: the tensors are not those of this network.
    """
    network = Inception()
    fill(network, tensors, what="the FID's Inception")
    for module in network.modules():
        if isinstance(module, _Convolution):
            module.fold()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Inception(nn.Module):
    """Images (b, 3, 299, 299), about [-1, 1], to features (b, 2048) and logits (b, 1008).

    The logits exclude the classifier's bias, as in the Inception score of Salimans et al. 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2, pads=False)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3, pads=False)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3, pads=False)
        self.Mixed_5b = _block_a(192, pooled=32)
        self.Mixed_5c = _block_a(256, pooled=64)
        self.Mixed_5d = _block_a(288, pooled=64)
        doubled: Row = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3)]
        self.Mixed_6a = _Block(
            288, [[("branch3x3", 384, 3)], [*doubled, ("branch3x3dbl_3", 96, 3)]], halves=True
        )
        self.Mixed_6b = _block_b(768, inner=128)
        self.Mixed_6c = _block_b(768, inner=160)
        self.Mixed_6d = _block_b(768, inner=160)
        self.Mixed_6e = _block_b(768, inner=192)
        seven: Row = [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7))]
        seven = [*seven, ("branch7x7x3_3", 192, (7, 1)), ("branch7x7x3_4", 192, 3)]
        three: Row = [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)]
        self.Mixed_7a = _Block(768, [three, seven], halves=True)
        self.Mixed_7b = _block_c(1280, maximum=False)
        self.Mixed_7c = _block_c(2048, maximum=True)
        self.fc = nn.Linear(DIMENSION, _CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        features = x.mean(dim=(2, 3))
        return features, F.linear(features, self.fc.weight)


class _Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU; it keeps the size if it ``pads``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, *, stride: int = 1, pads: bool = True
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pads else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps=0.001)

    def fold(self) -> None:
        assert isinstance(self.bn, nn.BatchNorm2d)
        self.conv = fuse_conv_bn_eval(self.conv, self.bn)
        self.bn = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Block(nn.Module):
    """Parallel branches: rows of convolutions, and a pool, with a convolution if it is ``pooled``.

    If it ``halves``, the last convolution of each row and the maximum pool have a stride of 2.
    """

    def __init__(
        self,
        inputs: int,
        rows: Sequence[Row],
        *,
        halves: bool = False,
        maximum: bool = False,
        pooled: int = 0,
    ) -> None:
        super().__init__()
        self._halves, self._maximum = halves, maximum
        self._rows: list[list[list[str]]] = []
        for row in rows:
            channels, names = inputs, list[list[str]]()
            for name, outputs, *kernels in row:
                stride = 2 if halves and name == row[-1][0] else 1
                names.append([name] if len(kernels) == 1 else [f"{name}a", f"{name}b"])
                for one, kernel in zip(names[-1], kernels, strict=True):
                    part = _Convolution(channels, outputs, kernel, stride=stride, pads=stride == 1)
                    self.add_module(one, part)
                channels = outputs
            self._rows.append(names)
        self.branch_pool = _Convolution(inputs, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branches: list[Tensor] = []
        for *names, last in self._rows:
            features = x
            for (name,) in names:
                features = self.get_submodule(name)(features)
            branches += [self.get_submodule(name)(features) for name in last]
        return torch.cat([*branches, self.branch_pool(self._pool(x))], dim=1)

    def _pool(self, x: Tensor) -> Tensor:
        if self._halves:
            return F.max_pool2d(x, 3, stride=2)
        if self._maximum:
            return F.max_pool2d(x, 3, stride=1, padding=1)
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _block_a(inputs: int, *, pooled: int) -> _Block:
    """Return a block of 35 x 35: 1x1, 5x5, two 3x3 and a pool."""
    five: Row = [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)]
    doubled: Row = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return _Block(inputs, [[("branch1x1", 64, 1)], five, doubled], pooled=pooled)


def _block_b(inputs: int, *, inner: int) -> _Block:
    """Return a block of 17 x 17: 7x7 convolutions factorised into 1x7 and 7x1."""
    across, along = (1, 7), (7, 1)
    single: Row = [("branch7x7_1", inner, 1), ("branch7x7_2", inner, across)]
    doubled: Row = [("branch7x7dbl_1", inner, 1), ("branch7x7dbl_2", inner, along)]
    doubled = [*doubled, ("branch7x7dbl_3", inner, across), ("branch7x7dbl_4", inner, along)]
    rows: list[Row] = [
        [("branch1x1", 192, 1)],
        [*single, ("branch7x7_3", 192, along)],
        [*doubled, ("branch7x7dbl_5", 192, across)],
    ]
    return _Block(inputs, rows, pooled=192)


def _block_c(inputs: int, *, maximum: bool) -> _Block:
    """Return a block of 8 x 8: wide, with branches that end in a 1x3 beside a 3x1."""
    ends = ((1, 3), (3, 1))
    single: Row = [("branch3x3_1", 384, 1), ("branch3x3_2", 384, *ends)]
    doubled: Row = [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)]
    rows: list[Row] = [[("branch1x1", 320, 1)], single, [*doubled, ("branch3x3dbl_3", 384, *ends)]]
    return _Block(inputs, rows, maximum=maximum, pooled=192)
