"""DINOv2 ViT-S/14: a feature network trained without labels on many kinds of pictures.

Source: Oquab et al. 2023 (arXiv:2304.07193), a vision transformer (Dosovitskiy et al. 2021,
arXiv:2010.11929) with LayerScale (Touvron et al. 2021, arXiv:2103.17239). Implemented from the
papers; parameters have the names of the published file. Pictures are resized to 224 px, antialiased
bicubic as in clean-fid. As in the published code, the position embedding is for 518 px and is
resized with an offset (:func:`resized_positions`).
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import CountProgress
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.published_weights import PublishedWeights, fill, read_weights
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES

SIDE = 224  # pixels
DIMENSION = 384
_PATCH = 14  # pixels
_PUBLISHED_GRID = 518 // _PATCH  # patches per side in the position embedding
_DEPTH = 12
_HEADS = 6
_WIDENING = 4  # of the hidden layer of the MLP
_OFFSET = 0.1  # patches
_EPSILON = 1e-6  # of the normalisations

DINOV2 = PublishedWeights(
    extractor="dinov2",
    network="DINOv2",
    distance="FD(dinov2, visible)",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    sha256="b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    variable="GRAFTGAN_DINOV2",
)


def dinov2_extractor(
    weights: Path | None = None,
    *,
    expected_sha256: str = DINOV2.sha256,
    progress: CountProgress | None = None,
) -> Extractor:
    """Return the extractor "dinov2": features (n, 384), no logits.

    The weights are found as :meth:`PublishedWeights.find` does. Raises ScoreError: the weights are
    missing and cannot be downloaded, or are not those expected; CheckpointError: the file holds
    another network.
    """
    path = DINOV2.find(weights, expected_sha256=expected_sha256, progress=progress)
    return Extractor(
        name=DINOV2.extractor_with(expected_sha256),
        weights_sha256=expected_sha256,
        resize=RESIZES["clean_fid"],
        side=SIDE,
        pixels=PIXEL_RANGES["imagenet"],
        dimension=DIMENSION,
        has_logits=False,
        network=load_dinov2(read_weights(path)),
    )


def load_dinov2(tensors: Mapping[str, Tensor]) -> "DinoV2":
    """Return the network in evaluation mode; CheckpointError if these are not its ``tensors``."""
    network = DinoV2()
    fill(network, tensors, what="DINOv2 ViT-S/14")
    return network


class DinoV2(nn.Module):
    """ImageNet-normalised images (b, 3, h, h), h a multiple of 14, to class tokens (b, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, DIMENSION))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _PUBLISHED_GRID**2, DIMENSION))
        # Replaces masked patches in training. Unused here, but part of the file.
        self.mask_token = nn.Parameter(torch.zeros(1, DIMENSION))
        patches = nn.Conv2d(3, DIMENSION, _PATCH, stride=_PATCH)
        self.patch_embed = nn.Sequential(OrderedDict(proj=patches, rows=nn.Flatten(2)))
        self.blocks = nn.Sequential(*(_Block() for _ in range(_DEPTH)))
        self.norm = nn.LayerNorm(DIMENSION, eps=_EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Return the class tokens."""
        patches = self.patch_embed(images).transpose(1, 2)  # (b, (h / 14)², 384)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = tokens + resized_positions(self.pos_embed, images.shape[-1] // _PATCH)
        return self.norm(self.blocks(tokens)[:, 0])


def resized_positions(positions: Tensor, grid: int) -> Tensor:
    """Return ``positions`` (1, 1 + n * n, d) resized to ``grid`` per side: (1, 1 + grid * grid, d).

    Bicubic without antialiasing. As in the published code the grid is taken to be ``grid + 0.1``
    patches wide, so that the last position is off by up to a quarter of a patch; the weights were
    evaluated like this, and correcting it would change scores. The first position, of the class
    token, is unchanged.
    """
    side = math.isqrt(positions.shape[1] - 1)
    if grid == side:
        return positions
    maps = positions[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    scale = (grid + _OFFSET) / side
    maps = F.interpolate(maps, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([positions[:, :1], maps.flatten(2).transpose(1, 2)], dim=1)


class _Block(nn.Module):
    """Attention between the tokens, then an MLP on each; (b, t, 384) to the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(DIMENSION, eps=_EPSILON)
        self.attn = _Attention()
        self.ls1 = _LayerScale()
        self.norm2 = nn.LayerNorm(DIMENSION, eps=_EPSILON)
        wide = nn.Linear(DIMENSION, _WIDENING * DIMENSION)
        narrow = nn.Linear(_WIDENING * DIMENSION, DIMENSION)
        self.mlp = nn.Sequential(OrderedDict(fc1=wide, activation=nn.GELU(), fc2=narrow))
        self.ls2 = _LayerScale()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIMENSION, 3 * DIMENSION)
        self.proj = nn.Linear(DIMENSION, DIMENSION)

    def forward(self, tokens: Tensor) -> Tensor:
        # (b, t, 3 * 384) to three of (b, heads, t, 64)
        parts = self.qkv(tokens).unflatten(2, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind()
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class _LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(DIMENSION))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma
