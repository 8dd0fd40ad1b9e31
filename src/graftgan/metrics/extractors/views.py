"""What a feature network is shown of a picture: every pixel, or only what a person sees.

Feature networks react to invisible details: noise of two grey levels on flat drawings moves their
features a third of the way to another set. The view ``visible`` removes such details: colours are
seen less sharply than brightness (so JPEG stores half of them: Wallace 1992), and faint differences
between neighbours are shrunk, which is known as coring (Carlson et al. 1977, US patent 4,523,230).
The threshold is not that of the eye, which sees less than 40 grey levels: it was chosen by which of
two sample grids people call nearer to real pictures (docs/scores.md). Texture says little there,
and a feature network overrates it. Grain, sharpness and colours, which the view hides or the
network neglects, are appended to its features as a few numbers (``glance``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.registry import Registry

COLOUR_SIGMA = 1.5  # pixels: the low-pass of the two colour differences
SIGMA = 0.5  # pixels: the final low-pass
FULL_SIDE = 64  # smaller pictures are shown enlarged, so both low-passes shrink with them
FAINT = 40.0  # grey levels: 63 % of a difference of 40 is kept, 6 % of one of 10
_BANDS = (0.8, 1.6, 3.2)  # pixels: bands in which faint differences are removed
_LUMA = (  # ITU-R BT.601: brightness and two colour differences from red, green and blue
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


@dataclass(frozen=True, slots=True)
class View:
    """What a feature network is shown of pictures."""

    name: str  # in a score's protocol
    apply: Callable[[Tensor], Tensor]  # to grey levels (n, 1 or 3, h, h), float32
    with_glance: bool = False  # whether grain, sharpness and colours are appended to the features


def visible(levels: Tensor) -> Tensor:
    """Return what a person sees of ``levels`` (n, 1 or 3, h, h), float32, on 0 to 255.

    Colour differences are low-passed, then differences between neighbours in three bands are shrunk
    to d (1 - exp(-(d / FAINT)^2)), which removes faint ones, then everything is low-passed.
    """
    scale = min(1.0, levels.shape[-1] / FULL_SIDE)
    if levels.shape[1] == 1:
        return low_passed(_without_faint(levels), SIGMA * scale)
    luma = _luma(levels.device)
    levels = _mixed(levels, luma)
    differences = low_passed(levels[:, 1:], COLOUR_SIGMA * scale)
    levels = torch.cat([levels[:, :1], differences], dim=1)
    levels = low_passed(_without_faint(levels), SIGMA * scale)
    return _mixed(levels, torch.linalg.inv(luma))


def luma_of(levels: Tensor) -> Tensor:
    """Return the brightness (n, 1, h, w) of grey levels (n, 1 or 3, h, w)."""
    return levels if levels.shape[1] == 1 else _mixed(levels, _luma(levels.device)[:1])


def low_passed(levels: Tensor, sigma: float) -> Tensor:
    """Return ``levels`` (n, c, h, w) blurred by ``sigma`` pixels; edges are repeated."""
    channels = levels.shape[1]
    kernel = _gaussian(sigma, levels.device).expand(channels, 1, 1, -1)
    reach = kernel.shape[-1] // 2
    levels = F.pad(levels, (reach, reach, reach, reach), mode="replicate")
    levels = F.conv2d(levels, kernel, groups=channels)
    return F.conv2d(levels, kernel.transpose(2, 3), groups=channels)


def _without_faint(levels: Tensor) -> Tensor:
    bands: list[Tensor] = []
    for sigma in _BANDS:
        below = low_passed(levels, sigma)
        bands.append(levels - below)
        levels = below
    return levels + sum(band * (1 - torch.exp(-((band / FAINT) ** 2))) for band in bands)


def _mixed(levels: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix, levels)


@lru_cache(maxsize=16)
def _gaussian(sigma: float, device: torch.device) -> Tensor:
    reach = max(1, int(3 * sigma + 0.5))
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    return (weights / weights.sum()).float().to(device)


@lru_cache(maxsize=4)
def _luma(device: torch.device) -> Tensor:
    return torch.tensor(_LUMA, device=device)


VIEWS: Registry[View] = Registry("view")
VIEWS.register("visible")(View("visible", visible, with_glance=True))
VIEWS.register("pixels")(View("pixels", lambda levels: levels))
