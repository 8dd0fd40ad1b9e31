"""How far pictures lie apart by the features of a network, with a gradient."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import UnknownName
from graftgan.core.tensors import Images, Scalar
from graftgan.metrics.extractors.efficientnet import load_efficientnet_maps, weights_file
from graftgan.metrics.extractors.resize import PIXEL_RANGES, PixelRange
from graftgan.metrics.extractors.vgg import load_vgg16_maps

_EFFICIENTNET = "efficientnet_lite0"
_EFFICIENTNET_SIDE = 64  # pixels; its first layer halves them


@dataclass(frozen=True, slots=True)
class PerceptualDistance:
    """The mean absolute difference of feature maps, relative to the size of the real one's.

    Being relative, it weighs each layer alike and means the same for every network, whose maps
    differ in size by orders of magnitude.

    Attributes:
        network: Images in its range to a list of maps (b, c, h, w); frozen.
        pixels: The range it takes.
        side: Height and width in pixels to which smaller pictures are enlarged.
    """

    network: nn.Module
    pixels: PixelRange
    side: int = 0

    def __call__(self, generated: Images, real: Images) -> Scalar:
        """Return the mean over pictures and layers."""
        with torch.no_grad():
            wanted = self._maps(real)
        found = self._maps(generated)
        shares = [_relative(f, w) for f, w in zip(found, wanted, strict=True)]
        return torch.stack(shares).mean()

    def _maps(self, images: Images) -> list[Tensor]:
        if images.shape[-1] < self.side:
            images = F.interpolate(images, size=(self.side, self.side), mode="bilinear")
        levels = (images + 1.0) * 127.5
        return self.network(self.pixels.apply(levels.expand(-1, 3, -1, -1)))


def perceptual_distance(network: str, device: torch.device | str) -> PerceptualDistance:
    """Return the distance of ``network``: efficientnet_lite0, or a file of VGG16's weights.

    Raises:
        UnknownName: ``network`` is neither.
        ScoreError: Its weights are missing or those of another network.
    """
    if network == _EFFICIENTNET:
        maps = load_efficientnet_maps(weights_file())
        pixels, side = PIXEL_RANGES["tensorflow_lite"], _EFFICIENTNET_SIDE
    elif Path(network).suffix:
        maps = load_vgg16_maps(Path(network).expanduser())
        pixels, side = PIXEL_RANGES["imagenet"], 0
    else:
        raise UnknownName(
            f"no perceptual network named '{network}'; choose {_EFFICIENTNET}, or give a file "
            "with the weights of torchvision's VGG16, such as vgg16-397923af.pth"
        )
    return PerceptualDistance(maps.requires_grad_(False).to(device), pixels, side)


def _relative(found: Tensor, wanted: Tensor) -> Scalar:
    """Return the mean over pictures of mean |found - wanted| / mean |wanted|."""
    apart = (found.float() - wanted.float()).abs().mean(dim=(1, 2, 3))
    return (apart / wanted.float().abs().mean(dim=(1, 2, 3)).clamp(min=1e-6)).mean()
