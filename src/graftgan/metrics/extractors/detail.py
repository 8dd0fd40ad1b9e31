"""How grainy and how sharp each picture is, from its pixels alone."""

import torch
from torch import Tensor

from graftgan.metrics.extractors.views import brightness, low_passed

SURROUNDINGS = 0.8  # pixels: the low-pass that a pixel is compared with
USUAL = torch.tensor([1.0, 4.0])  # about the middle of real sets, in doublings of a grey level
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
        luma = brightness(batch.float())
        differences = (luma - low_passed(luma, SURROUNDINGS)).abs().flatten(1)
        levels = torch.quantile(differences[:, :: _step(differences.shape[1])], marks, dim=1)
        parts.append(levels.T.maximum(unseen).log2().cpu())
    return torch.cat(parts)


def _step(pixels: int) -> int:
    """Return which pixels are looked at: a quantile sorts, which is slow for a million of them."""
    return 1 + pixels // 2**18
