"""Changes that hide a part of the picture."""

import torch

from graftgan.core.tensors import Images
from graftgan.training.augment.operations import Chances, pixel_operation


@pixel_operation("cutout", draws=2, amount=0.5)
def cutout(images: Images, chances: Chances, amount: float) -> Images:
    """Set a square of ``amount`` times the side to 0, which is mid-gray; part may fall outside.

    Source: DiffAugment (Zhao et al. 2020, arXiv:2006.10738, section 3.2), after DeVries and Taylor
    2017. Differs: none. Use it on reals and fakes alike, or gray squares leak into the samples.
    """
    height, width = images.shape[-2:]
    rows = _hidden(chances[:, 0], height, amount)
    columns = _hidden(chances[:, 1], width, amount)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return images * (~hidden).to(images.dtype)


def _hidden(chances: torch.Tensor, size: int, amount: float) -> torch.Tensor:
    """Return (b, size), true where the square lies; its centre is uniform over the picture."""
    side = int(size * amount + 0.5)
    centres = (chances * (size + 1 - side % 2)).floor()[:, None]
    distance = torch.arange(size, device=chances.device) - centres + side // 2
    return (distance >= 0) & (distance < side)
