"""Resizing of pictures and pixel ranges, as feature networks expect them.

Libraries resize differently, which changes scores (Parmar et al. 2022, arXiv:2104.11222), so each
way has a name in the score's protocol. All of them are linear and separable: a matrix times the
picture times its transpose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from graftgan.core.registry import Registry


@dataclass(frozen=True, slots=True)
class PixelRange:
    """A mapping of grey levels 0..255 to network inputs: ``(level - shift) / scale``."""

    name: str  # in a score's protocol
    shift: tuple[float, ...]  # grey levels, for each colour
    scale: tuple[float, ...]

    def apply(self, levels: Tensor) -> Tensor:
        """Return ``levels`` (n, 3, h, w), float32, in this range."""
        shift, scale = (levels.new_tensor(c).view(3, 1, 1) for c in (self.shift, self.scale))
        return (levels - shift) / scale


@dataclass(frozen=True, slots=True)
class ResizeProtocol:
    """One library's way to resize, with the pixel range of its Inception."""

    name: str  # in a score's protocol
    matrix: Callable[[int, int], Tensor]  # (side_in, side_out) to (side_out, side_in), float64
    clips: bool  # whether values are clamped to 0..255
    pixels: PixelRange

    def apply(self, levels: Tensor, side: int) -> Tensor:
        """Return grey levels (n, c, h, h) on 0 to 255 as (n, 3, side, side), float32."""
        matrix = _matrix_on(self.name, levels.shape[-1], side, levels.device)
        # Columns before rows, for the same rounding as in Pillow.
        levels = matrix @ (levels.float() @ matrix.T)
        return (levels.clamp(0, 255) if self.clips else levels).expand(-1, 3, -1, -1)


PIXEL_RANGES: Registry[PixelRange] = Registry("pixel range")
RESIZES: Registry[ResizeProtocol] = Registry("resize protocol")


@lru_cache(maxsize=16)
def _matrix_on(name: str, side_in: int, side_out: int, device: torch.device) -> Tensor:
    return RESIZES[name].matrix(side_in, side_out).float().to(device)


def _half_pixel_bilinear(side_in: int, side_out: int) -> Tensor:
    """Return the matrix of torch's F.interpolate(mode="bilinear", align_corners=False)."""
    # Step and positions are rounded to float32 as in torch: exact ones differ by up to 3e-5 pixels,
    # which is a hundredth of a grey level at an edge.
    step = torch.tensor(side_in / side_out, dtype=torch.float32).double()
    centres = torch.arange(side_out, dtype=torch.float64) + 0.5
    positions = (centres * step - 0.5).float()
    return _bilinear(positions.clamp(min=0), side_in)


def _corner_bilinear(side_in: int, side_out: int) -> Tensor:
    """Return the matrix of TensorFlow 1's resize_bilinear, with pixel centres at 0, as in FID."""
    step = torch.tensor(side_in / side_out, dtype=torch.float32)
    return _bilinear(torch.arange(side_out, dtype=torch.float32) * step, side_in)


def _bilinear(positions: Tensor, side_in: int) -> Tensor:
    """Return the matrix that interpolates between the two pixels around each of ``positions``."""
    below = positions.long().clamp(max=side_in - 1)
    above = (below + 1).clamp(max=side_in - 1)
    share = (positions - below).double().unsqueeze(1)
    matrix = torch.zeros(len(positions), side_in, dtype=torch.float64)
    matrix.scatter_add_(1, below.unsqueeze(1), 1 - share)
    return matrix.scatter_add_(1, above.unsqueeze(1), share)


def _antialiased_bicubic(side_in: int, side_out: int) -> Tensor:
    """Return the matrix of Pillow's bicubic filter (Keys 1981, a = -1/2), normalised at edges."""
    step = side_in / side_out
    width = max(step, 1.0)
    centres = (torch.arange(side_out, dtype=torch.float64) + 0.5) * step
    pixels = torch.arange(side_in, dtype=torch.float64) + 0.5
    distance = (pixels - centres.unsqueeze(1)).abs() / width
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    return weights / weights.sum(dim=1, keepdim=True)


for _pixels in (
    PixelRange(  # the mean and standard deviation of ImageNet, as for torchvision's networks
        "imagenet", (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)
    ),
    PixelRange("zero_one", (0.0,) * 3, (255.0,) * 3),
    PixelRange("minus_one_one", (127.5,) * 3, (127.5,) * 3),
    PixelRange("bytes", (0.0,) * 3, (1.0,) * 3),
    PixelRange("tensorflow_inception", (128.0,) * 3, (128.0,) * 3),
    PixelRange("tensorflow_lite", (127.0,) * 3, (128.0,) * 3),
):
    PIXEL_RANGES.register(_pixels.name)(_pixels)

for _resize in (
    ResizeProtocol("clean_fid", _antialiased_bicubic, True, PIXEL_RANGES["tensorflow_inception"]),
    ResizeProtocol("pytorch_fid", _half_pixel_bilinear, False, PIXEL_RANGES["minus_one_one"]),
    ResizeProtocol("torch_fidelity", _corner_bilinear, False, PIXEL_RANGES["tensorflow_inception"]),
):
    RESIZES.register(_resize.name)(_resize)
