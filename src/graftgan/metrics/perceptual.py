"""A differentiable distance between pictures by the features of a network."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from graftgan.core.errors import ScoreError, UnknownName, shown
from graftgan.core.network_types import Images, Scalar
from graftgan.metrics.extractors.efficientnet import load_efficientnet_maps, weights_file
from graftgan.metrics.extractors.published_weights import read_weights
from graftgan.metrics.extractors.resize import PIXEL_RANGES, PixelRange

_EFFICIENTNET = "efficientnet_lite0"
_EFFICIENTNET_SIDE = 64  # pixels; its first layer halves them
_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # a pooling between them


class VGG16Maps(nn.Module):
    """Images to conv1_1 to conv4_3 after ReLU (Simonyan and Zisserman 2015, arXiv:1409.1556)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for block in _CHANNELS:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for outputs in block:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the ten maps."""
        maps: list[Tensor] = []
        for layer in self.features:
            images = layer(images)
            if isinstance(layer, nn.ReLU):
                maps.append(images)
        return maps


def load_vgg16_maps(path: Path) -> VGG16Maps:
    """Return the network with the weights at ``path``, ready to evaluate.

    The file is that of torchvision's ``vgg16`` (``vgg16-397923af.pth``) or timm's
    (``vgg16.tv_in1k``, also as safetensors), which use the same names for these layers. Raises
    ScoreError: there is no such file, or it holds other weights.
    """
    if not path.is_file():
        raise ScoreError(f"there is no weight file {path}")
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else read_weights(path)
    except (OSError, SafetensorError) as error:
        raise ScoreError(f"{path} is not a whole safetensors file: {shown(error, 200)}") from None
    network = VGG16Maps()
    wanted = network.state_dict()
    shapes = {
        n: tuple(t.shape) for n, t in dict[str, object](tensors).items() if isinstance(t, Tensor)
    }
    wrong = [
        f"{name} is {shapes.get(name)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if shapes.get(name) != tuple(tensor.shape)
    ]
    if wrong:
        raise ScoreError(
            f"{path} holds no weights of torchvision's vgg16: {'; '.join(wrong[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; give vgg16-397923af.pth, "
            "without batch normalisation"
        )
    network.load_state_dict({name: tensors[name] for name in wanted})
    return network.eval()


@dataclass(frozen=True, slots=True)
class PerceptualDistance:
    """The mean absolute difference of feature maps, relative to the magnitude of the real ones.

    So all layers have equal weight, and values are comparable between networks, whose maps differ
    by orders of magnitude.
    """

    network: nn.Module  # images in its range to a list of maps (b, c, h, w); frozen
    pixels: PixelRange  # the range of its input
    side: int = 0  # height and width in pixels to which smaller pictures are enlarged

    def __call__(self, generated: Images, real: Images) -> Scalar:
        """Return the mean over pictures and layers."""
        with torch.no_grad():
            wanted = self._maps(real)
        shares: list[Tensor] = []
        for found, real_maps in zip(self._maps(generated), wanted, strict=True):
            apart = (found.float() - real_maps.float()).abs().mean(dim=(1, 2, 3))
            size = real_maps.float().abs().mean(dim=(1, 2, 3)).clamp(min=1e-6)
            shares.append((apart / size).mean())
        return torch.stack(shares).mean()

    def _maps(self, images: Images) -> list[Tensor]:
        if images.shape[-1] < self.side:
            images = F.interpolate(images, size=(self.side, self.side), mode="bilinear")
        levels = (images + 1.0) * 127.5
        return self.network(self.pixels.apply(levels.expand(-1, 3, -1, -1)))


def perceptual_distance(network: str, device: torch.device | str) -> PerceptualDistance:
    """Return the distance of ``network``: efficientnet_lite0, or a file of VGG16's weights.

    Raises UnknownName: ``network`` is neither; ScoreError: its weights are missing or those of
    another network.
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
