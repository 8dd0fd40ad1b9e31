"""The Inception network of the FID: features and logits of 299 px pictures.

Source: Szegedy et al. 2015 (arXiv:1512.00567), as the 2015-12-05 TensorFlow graph has it, which
FID (Heusel et al. 2017, arXiv:1706.08500) made the standard: average pools that leave the padding
out of the mean, and a maximum pool in the last block. Written here in plain PyTorch because the
libraries that hold it import torchvision. Its parameters have the names of the published file.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from graftgan.metrics.extractors.published_weights import fill

SIDE = 299  # pixels
DIMENSION = 2048
_CLASSES = 1008

Kernel = int | tuple[int, int]


class Inception(nn.Module):
    """Images (b, 3, 299, 299), about [-1, 1], to features (b, 2048) and logits (b, 1008).

    The logits are without the classifier's bias, as the Inception score of Salimans et al. 2016
    was computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b = _BlockA(192, pool_channels=32)
        self.Mixed_5c = _BlockA(256, pool_channels=64)
        self.Mixed_5d = _BlockA(288, pool_channels=64)
        self.Mixed_6a = _ReductionA(288)
        self.Mixed_6b = _BlockB(768, inner=128)
        self.Mixed_6c = _BlockB(768, inner=160)
        self.Mixed_6d = _BlockB(768, inner=160)
        self.Mixed_6e = _BlockB(768, inner=192)
        self.Mixed_7a = _ReductionB(768)
        self.Mixed_7b = _BlockC(1280, pool="average")
        self.Mixed_7c = _BlockC(2048, pool="maximum")
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


def load_inception(tensors: Mapping[str, Tensor]) -> Inception:
    """Return the network with published ``tensors``, ready to evaluate.

    Normalisations are folded into the convolutions and the memory format is channels_last: the
    answer stays the same to rounding, in well under the time.

    Raises:
        CheckpointError: The tensors are not those of this network.
    """
    network = Inception()
    fill(network, tensors, what="the FID's Inception")
    for module in network.modules():
        if isinstance(module, _Convolution):
            module.fold()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        padding: Kernel = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps=0.001)

    def fold(self) -> None:
        assert isinstance(self.bn, nn.BatchNorm2d)
        self.conv = fuse_conv_bn_eval(self.conv, self.bn)
        self.bn = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def _along(length: int, *, across: bool, inputs: int, outputs: int) -> _Convolution:
    """Return a 1 x length (``across``) or length x 1 convolution that keeps the size."""
    half = length // 2
    kernel, padding = ((1, length), (0, half)) if across else ((length, 1), (half, 0))
    return _Convolution(inputs, outputs, kernel, padding=padding)


def _average_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _through(x: Tensor, layers: Sequence[nn.Module]) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


class _BlockA(nn.Module):
    """35 x 35: 1x1, 5x5, two 3x3 and a pool, side by side."""

    def __init__(self, inputs: int, *, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(inputs, 64, 1)
        self.branch5x5_1 = _Convolution(inputs, 48, 1)
        self.branch5x5_2 = _Convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Convolution(inputs, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, padding=1)
        self.branch_pool = _Convolution(inputs, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        doubled = [self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3]
        branches = [
            self.branch1x1(x),
            _through(x, [self.branch5x5_1, self.branch5x5_2]),
            _through(x, doubled),
            self.branch_pool(_average_pool(x)),
        ]
        return torch.cat(branches, dim=1)


class _ReductionA(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Convolution(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Convolution(inputs, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        doubled = [self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3]
        branches = [self.branch3x3(x), _through(x, doubled), F.max_pool2d(x, 3, stride=2)]
        return torch.cat(branches, dim=1)


class _BlockB(nn.Module):
    """17 x 17: 7x7 convolutions taken apart into 1x7 and 7x1."""

    def __init__(self, inputs: int, *, inner: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(inputs, 192, 1)
        self.branch7x7_1 = _Convolution(inputs, inner, 1)
        self.branch7x7_2 = _along(7, across=True, inputs=inner, outputs=inner)
        self.branch7x7_3 = _along(7, across=False, inputs=inner, outputs=192)
        self.branch7x7dbl_1 = _Convolution(inputs, inner, 1)
        self.branch7x7dbl_2 = _along(7, across=False, inputs=inner, outputs=inner)
        self.branch7x7dbl_3 = _along(7, across=True, inputs=inner, outputs=inner)
        self.branch7x7dbl_4 = _along(7, across=False, inputs=inner, outputs=inner)
        self.branch7x7dbl_5 = _along(7, across=True, inputs=inner, outputs=192)
        self.branch_pool = _Convolution(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = [self.branch7x7_1, self.branch7x7_2, self.branch7x7_3]
        doubled = [
            self.branch7x7dbl_1,
            self.branch7x7dbl_2,
            self.branch7x7dbl_3,
            self.branch7x7dbl_4,
            self.branch7x7dbl_5,
        ]
        branches = [
            self.branch1x1(x),
            _through(x, single),
            _through(x, doubled),
            self.branch_pool(_average_pool(x)),
        ]
        return torch.cat(branches, dim=1)


class _ReductionB(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Convolution(inputs, 192, 1)
        self.branch3x3_2 = _Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Convolution(inputs, 192, 1)
        self.branch7x7x3_2 = _along(7, across=True, inputs=192, outputs=192)
        self.branch7x7x3_3 = _along(7, across=False, inputs=192, outputs=192)
        self.branch7x7x3_4 = _Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = [self.branch7x7x3_1, self.branch7x7x3_2, self.branch7x7x3_3, self.branch7x7x3_4]
        branches = [
            _through(x, [self.branch3x3_1, self.branch3x3_2]),
            _through(x, seven),
            F.max_pool2d(x, 3, stride=2),
        ]
        return torch.cat(branches, dim=1)


class _BlockC(nn.Module):
    """8 x 8: wide, with branches that end in a 1x3 beside a 3x1."""

    def __init__(self, inputs: int, *, pool: str) -> None:
        super().__init__()
        self._pool = pool
        self.branch1x1 = _Convolution(inputs, 320, 1)
        self.branch3x3_1 = _Convolution(inputs, 384, 1)
        self.branch3x3_2a = _along(3, across=True, inputs=384, outputs=384)
        self.branch3x3_2b = _along(3, across=False, inputs=384, outputs=384)
        self.branch3x3dbl_1 = _Convolution(inputs, 448, 1)
        self.branch3x3dbl_2 = _Convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _along(3, across=True, inputs=384, outputs=384)
        self.branch3x3dbl_3b = _along(3, across=False, inputs=384, outputs=384)
        self.branch_pool = _Convolution(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        doubled = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        maximum = self._pool == "maximum"
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if maximum else _average_pool(x)
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(doubled),
            self.branch3x3dbl_3b(doubled),
            self.branch_pool(pooled),
        ]
        return torch.cat(branches, dim=1)
