"""Generated pictures beside the training pictures that are nearest to them."""

import torch
import torch.nn.functional as F
from PIL import Image

from graftgan.core.tensors import PictureBytes
from graftgan.reports.grid import picture_grid

_GAP_SHARE = 8  # the gap is 1/8 of a picture's width
_GAP_GRAY = 255


def neighbour_gallery(generated: PictureBytes, neighbours: PictureBytes) -> Image.Image:
    """Return one grid: in each row a generated picture, a white gap, its neighbours.

    Args:
        generated: uint8 (n, c, h, w) with one channel (gray) or three (colour), on any device.
        neighbours: uint8 (n, k, c, h, w), the nearest first.

    Raises:
        ValueError: A tensor is of another type or shape or is empty, or the two do not match.
    """
    if neighbours.ndim != 5 or neighbours.shape[:1] + neighbours.shape[2:] != generated.shape:
        raise ValueError(
            f"expected (n, c, h, w) and (n, k, c, h, w), got {tuple(generated.shape)} and "
            f"{tuple(neighbours.shape)}"
        )
    if generated.dtype != neighbours.dtype or neighbours.shape[1] == 0:
        raise ValueError(
            f"expected uint8 pictures with at least one neighbour each, got {generated.dtype} and "
            f"{tuple(neighbours.shape)} of {neighbours.dtype}"
        )
    gap = max(1, generated.shape[-1] // _GAP_SHARE)
    first = F.pad(generated, (0, gap), value=_GAP_GRAY)
    others = neighbours.to(generated.device).transpose(0, 1)
    rows = torch.cat([first, *others], dim=3)  # n pictures, each as wide as a row
    return picture_grid(rows, columns=1)
