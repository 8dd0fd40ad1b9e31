"""The first ten convolutions of VGG16, with weights that the user has.

Source: Simonyan and Zisserman 2015 (arXiv:1409.1556). The weights are those of torchvision's
``vgg16`` (``vgg16-397923af.pth``) or timm's (``vgg16.tv_in1k``, also as safetensors), which name
these layers alike.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from graftgan.core.errors import ScoreError
from graftgan.core.untrusted import shown
from graftgan.metrics.extractors.published_weights import read_weights

_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # a pooling between them


class VGG16Maps(nn.Module):
    """Images (b, 3, h, h), ImageNet-normalised, to the maps conv1_1 to conv4_3 after their ReLU."""

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

    Raises:
        ScoreError: There is no such file, or it holds other weights.
    """
    if not path.is_file():
        raise ScoreError(f"there is no weight file {path}")
    tensors = _safetensors(path) if path.suffix == ".safetensors" else read_weights(path)
    network = VGG16Maps()
    wanted = network.state_dict()
    wrong = [
        f"{name} is {_shape(tensors, name)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if _shape(tensors, name) != tuple(tensor.shape)
    ]
    if wrong:
        raise ScoreError(
            f"{path} holds no weights of torchvision's vgg16: {'; '.join(wrong[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; give vgg16-397923af.pth, "
            "without batch normalisation"
        )
    network.load_state_dict({name: tensors[name] for name in wanted})
    return network.eval()


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ScoreError(f"{path} is not a whole safetensors file: {shown(error, 200)}") from None


def _shape(tensors: Mapping[str, object], name: str) -> tuple[int, ...] | None:
    tensor = tensors.get(name)
    return tuple(tensor.shape) if isinstance(tensor, Tensor) else None
