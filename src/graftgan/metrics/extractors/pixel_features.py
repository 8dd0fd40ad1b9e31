"""Grain, sharpness and colours of pictures, computed from the pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.metrics.extractors.views import low_passed, luma_of

SURROUNDINGS = 0.8  # pixels: the low-pass that a pixel is compared with
_USUAL = torch.tensor([1.0, 4.0])  # typical values of real sets, as base-2 logarithms
# Relative to EfficientNet's 1,280 features; from the ladder and the eye study (docs/scores.md).
DETAIL_WEIGHTS = torch.tensor([2.0, 3.5])
COLOUR_WEIGHT = 4.0
_PATCHES = 16  # per side: colours are means over patches, so that no single pixel matters
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles over the patches, whatever their positions
_QUANTILES = (0.5, 0.95)  # of a picture's differences: its grain and its sharpness
_UNSEEN = (2.0, 4.0)  # grey levels: smaller grain and sharpness are invisible and count as this


def detail_of(pictures: Tensor) -> Tensor:
    """Return the grain and the sharpness (n, 2) of uint8 pictures (n, 1 or 3, h, h).

    They are base-2 logarithms of the median and the 95 % quantile of the absolute differences in
    brightness between pixels and their surroundings, in grey levels.
    """
    parts: list[Tensor] = []
    marks, unseen = (torch.tensor(p, device=pictures.device) for p in (_QUANTILES, _UNSEEN))
    for batch in pictures.split(64):
        luma = luma_of(batch.float())
        differences = (luma - low_passed(luma, SURROUNDINGS)).abs().flatten(1)
        step = 1 + differences.shape[1] // 2**18  # quantile sorts, which is slow for many pixels
        levels = torch.quantile(differences[:, ::step], marks, dim=1)
        parts.append(levels.T.maximum(unseen).log2().cpu())
    return torch.cat(parts)


def glance(pictures: Tensor, detail: Tensor) -> Tensor:
    """Return grain, sharpness and colours (n, 17), weighted to be appended to a network's features.

    ``detail`` (n, 2) is the result of :func:`detail_of` for the same pictures.
    """
    return torch.cat(
        [DETAIL_WEIGHTS * (detail - _USUAL), COLOUR_WEIGHT * colours_of(pictures)], dim=1
    )


def colours_of(pictures: Tensor) -> Tensor:
    """Return quantiles over patches of brightness, red - green and blue - green (n, 15).

    Pictures are uint8 (n, 1 or 3, h, h); brightness is on a scale from -1, black, to 1, white.
    """
    parts: list[Tensor] = []
    marks = torch.tensor(_SHARES, device=pictures.device)
    for batch in pictures.split(64):
        patches = F.adaptive_avg_pool2d(batch.float(), _PATCHES) / 127.5 - 1
        red, green, blue = patches.expand(-1, 3, -1, -1).unbind(dim=1)
        channels = torch.stack([luma_of(patches)[:, 0], red - green, blue - green], dim=1)
        parts.append(torch.quantile(channels.flatten(2), marks, dim=2).permute(1, 2, 0).cpu())
    return torch.cat(parts).flatten(1)
