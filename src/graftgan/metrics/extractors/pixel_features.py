"""How grainy and how sharp each picture is, and of which colours, from its pixels alone."""

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.metrics.extractors.views import low_passed, luma_of

SURROUNDINGS = 0.8  # pixels: the low-pass that a pixel is compared with
_USUAL = torch.tensor([1.0, 4.0])  # about the middle of real sets, in doublings of a grey level
# Beside the 1,280 numbers of EfficientNet, chosen by the ladder and the eye study (docs/scores.md).
_DETAIL_WEIGHTS = torch.tensor([2.0, 6.0])
_COLOUR_WEIGHT = 7.0
_PATCHES = 16  # a side: colours are means of so many patches, so that no single pixel matters
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the patches: where they stand, nobody asks
_QUANTILES = (0.5, 0.95)  # of a picture's differences: its grain and its sharpness
_UNSEEN = (2.0, 4.0)  # grey levels: smaller ones are not seen, or no edges, and count as this


def detail_of(pictures: Tensor) -> Tensor:
    """Return the grain and the sharpness of each picture (n, 2), as base-2 logarithms.

    They are the median and the 95 % quantile of the absolute differences in brightness of pixels
    from their surroundings, in grey levels.

    Args:
        pictures: uint8 (n, 1 or 3, h, h).
    """
    parts: list[Tensor] = []
    marks, unseen = (torch.tensor(p, device=pictures.device) for p in (_QUANTILES, _UNSEEN))
    for batch in pictures.split(64):
        luma = luma_of(batch.float())
        differences = (luma - low_passed(luma, SURROUNDINGS)).abs().flatten(1)
        levels = torch.quantile(differences[:, :: _step(differences.shape[1])], marks, dim=1)
        parts.append(levels.T.maximum(unseen).log2().cpu())
    return torch.cat(parts)


def glance(pictures: Tensor, detail: Tensor) -> Tensor:
    """Return what a person sees before looking closely (n, 17), weighted to stand beside features.

    Args:
        pictures: uint8 (n, 1 or 3, h, h).
        detail: (n, 2), as :func:`detail_of` returns it.
    """
    return torch.cat(
        [_DETAIL_WEIGHTS * (detail - _USUAL), _COLOUR_WEIGHT * colours_of(pictures)], dim=1
    )


def colours_of(pictures: Tensor) -> Tensor:
    """Return five quantiles over patches of brightness, red - green and blue - green (n, 15).

    They are on the scale from -1, black, to 1, white, and do not say where in a picture a patch is.

    Args:
        pictures: uint8 (n, 1 or 3, h, h).
    """
    parts: list[Tensor] = []
    marks = torch.tensor(_SHARES, device=pictures.device)
    for batch in pictures.split(64):
        patches = F.adaptive_avg_pool2d(batch.float(), _PATCHES) / 127.5 - 1
        red, green, blue = patches.expand(-1, 3, -1, -1).unbind(dim=1)
        channels = torch.stack([luma_of(patches)[:, 0], red - green, blue - green], dim=1)
        parts.append(torch.quantile(channels.flatten(2), marks, dim=2).permute(1, 2, 0).cpu())
    return torch.cat(parts).flatten(1)


def _step(pixels: int) -> int:
    """Return which pixels are looked at: a quantile sorts, which is slow for a million of them."""
    return 1 + pixels // 2**18
