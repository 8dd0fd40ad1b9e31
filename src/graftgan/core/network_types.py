"""Types of networks, and the shapes of the tensors that the rooms exchange.

b: batch, c: channels, h: height, w: width or style size, z: latent size, k: classes. Latents of a
class-conditional generator end in the class weights, so that code that passes latents on passes
the classes on too.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import SettingsError, shown
from graftgan.core.registry import suggest

Images = Tensor  # (b, c, h, w), floating point in [-1, 1]
PictureBytes = Tensor  # (n, c, h, w), uint8 in [0, 255]: an image set in memory
Latents = Tensor  # (b, z), standard normal; with classes (b, z + k)
Styles = Tensor  # (b, n, w), one for each of n layers
ClassWeights = Tensor  # (b, k), the share of each class in a picture, usually one-hot
Logits = Tensor  # (b,), higher means more real
Scalar = Tensor  # (), a loss term
Tensors = Mapping[str, Tensor]  # by name

Layers = Mapping[str, nn.Module]
Steps = Mapping[str, Callable[[Any], Any]]  # steps may pass on more than one tensor
NO_MAPPER = "none"
MAPPER_LAYER = "mapper"  # in front of a generator's own layers
CLASS_LAYER = "classes"  # of a generator
PROJECTION_LAYER = "projection"  # of a discriminator with classes
STYLE_PART = "affine"  # the linear part of a convolution that turns a style into scales
ADDED_LAYERS = frozenset({MAPPER_LAYER, CLASS_LAYER, PROJECTION_LAYER})
"""Layers that are added to a backbone. Plans do not count them, and patterns do not match them."""

_LARGEST = 1 << 20  # limit of all lengths, so that a damaged card cannot ask for a huge network
_BOUNDS = {"resolution": 8192, "channels": 64, "latent_size": _LARGEST, "width": _LARGEST}
_STYLE_BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("style_size", "most_channels"), (1, _LARGEST)),
    **dict.fromkeys(("mapping_layers", "direction_layers"), (0, 64)),
    **dict.fromkeys(("clamp", "generator_clamp", "minibatch_group"), (0, _LARGEST)),
    **dict.fromkeys(("mapping_rate", "direction_rate"), (1e-6, 1e6)),
    "generator_factor": (1e-3, 1e3),
    "direction_size": (0, _LARGEST),
}


def _refuse_beyond(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        got = f", got {value}" if abs(value) < _LARGEST**2 else ""  # an int may have any length
        raise SettingsError(f"{name} must be from {least:g} to {most:.8g}{got}")


@dataclass(frozen=True, kw_only=True)
class StyleArchitecture:
    """Settings of a StyleGAN beside the common ones."""

    style_size: int = 512
    """StyleGAN: length of a style vector."""
    mapping_layers: int = 8
    """StyleGAN: layers of the mapping from latent to style."""
    most_channels: int = 512
    """StyleGAN: maximum number of channels of a feature map."""
    clamp: float = 0.0
    """StyleGAN: clamp features to this absolute value, for half precision; 0: no clamp."""
    minibatch_group: int = 4
    """StyleGAN: group size of the discriminator's minibatch standard deviation; 0: the batch."""
    generator_factor: float = 1.0
    """StyleGAN: channel multiplier of the generator."""
    residual: bool = True
    """StyleGAN: use residual connections in the discriminator."""
    mapping_rate: float = 0.01
    """StyleGAN: learning rate multiplier of the mapping."""
    generator_clamp: float | None = None
    """StyleGAN: the same as --clamp for the generator alone; without it, --clamp in StyleGAN2 and
    256 in StyleGAN3."""
    feature_maps: tuple[int, ...] = ()
    """StyleGAN2: channels at each size from 4 px up, instead of those that follow from --width."""
    direction_layers: int = 8
    """StyleGAN with classes: layers of the discriminator's mapping of classes."""
    direction_rate: float = 0.01
    """StyleGAN with classes: learning rate multiplier of the discriminator's mapping."""
    direction_size: int = 0
    """StyleGAN with classes: output size of the discriminator's mapping; 0: the channels of the
    smallest feature map."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_maps", tuple(self.feature_maps))  # plain data has a list
        for name, (least, most) in _STYLE_BOUNDS.items():
            if getattr(self, name) is not None:
                _refuse_beyond(name, getattr(self, name), least, most)
        for channels in self.feature_maps:
            _refuse_beyond("feature_maps", channels, 1, _LARGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Everything needed to build a network pair, as plain data for a card."""

    backbone: str  # its name in the registry
    resolution: int  # height and width of the pictures, in pixels
    channels: int = 3  # 1 for gray, 3 for colour
    latent_size: int = 100
    width: int = 64  # channels of the feature map at full resolution; deeper ones have multiples
    generator_normalisation: str = "batch"  # or instance, layer, none
    discriminator_normalisation: str = "batch"
    mapper: str = NO_MAPPER  # maps draws from N(0, I) to the generator's latents
    classes: tuple[str, ...] = ()
    style: StyleArchitecture | None = None  # None: the backbone has no styles
    # Further settings of the backbone, by name:
    own: Mapping[str, bool | int | float | str | None] = field(
        default_factory=dict[str, bool | int | float | str | None], hash=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))  # plain data has a list
        if isinstance(self.style, dict):  # and a table
            object.__setattr__(self, "style", StyleArchitecture(**self.style))
        for name, most in _BOUNDS.items():
            _refuse_beyond(name, getattr(self, name), 1, most)

    @property
    def own_settings(self) -> dict[str, Any]:
        """The settings that only this backbone has, by name."""
        return dict(self.own) if self.style is None else asdict(self.style)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that ``Architecture(**data)`` turns back."""
        return asdict(self)

    def label_of(self, name: str) -> int:
        """Return the number of the class ``name``; SettingsError: there is none."""
        if not self.classes:
            raise SettingsError(f"this model has no classes, so none is named '{name}'")
        if name not in self.classes:
            raise SettingsError(
                f"no class is named '{shown(name)}'; {suggest(name, list(self.classes))}"
            )
        return self.classes.index(name)

    def with_labels(self, latents: Latents, labels: Tensor | None = None) -> Latents:
        """Return latents (b, z) with class weights appended, if the generator has classes.

        ``labels`` are int64 (b,); by default the classes take turns.
        """
        if not self.classes:
            return latents
        count = len(self.classes)
        if labels is None:
            labels = torch.arange(len(latents)) % count
        return torch.cat([latents, class_weights(labels, count).to(latents)], dim=1)


class LayeredNetwork(nn.Module):
    """A network of named layers; each parameter and buffer is in exactly one of them."""

    architecture: Architecture

    @abstractmethod
    def layers(self) -> Layers:
        """Return the layers by name, input first."""


class Generator(LayeredNetwork):
    """Turns latents into images."""

    __call__: Callable[[Latents], Images]

    def steps(self) -> Steps:
        """Return for each layer the function from the previous layer's output to its own output.

        Applied in turn they equal ``forward``. They differ from the layers where a generator
        reshapes between these.
        """
        return self.layers()

    @abstractmethod
    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to images (b, c, h, w) in [-1, 1]."""

    def in_training(self, latents: Latents, rng: torch.Generator) -> Images:
        """Map latents (b, z) to images with fresh noise, if the network has any."""
        return self(latents)


class StyledGenerator(Generator):
    """A generator that maps latents to styles and styles to images."""

    @property
    @abstractmethod
    def mean_style(self) -> Tensor:
        """The mean (w,) of the styles of latents seen in training."""

    @abstractmethod
    def styles(self, latents: Latents) -> Styles:
        """Map latents (b, z) to styles (b, n, w): the same style for each layer."""

    @abstractmethod
    def synthesize(self, styles: Styles, rng: torch.Generator | None = None) -> Images:
        """Map styles (b, n, w) to images, with noise from ``rng`` or the stored noise."""

    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to images (b, c, h, w), with the stored noise."""
        return self.synthesize(self.styles(latents))

    def in_training(self, latents: Latents, rng: torch.Generator) -> Images:
        """Map latents (b, z) to images with fresh noise for each picture."""
        return self.synthesize(self.styles(latents), rng)


class Discriminator(LayeredNetwork):
    """Scores how real images look. It ends without a sigmoid, so that it can be a critic too."""

    __call__: Callable[..., Logits]  # some also take the classes of the images

    def feature_steps(self) -> Steps:
        """Return the steps from images to the features before the score: all but the last layer."""
        return dict(list(self.layers().items())[:-1])

    @abstractmethod
    def forward(self, images: Images) -> Logits:
        """Map images (b, c, h, w) in [-1, 1] to logits (b,)."""

    def conditioned_on(self, classes: ClassWeights | None) -> Callable[[Images], Logits]:
        """Return the critic of pictures of ``classes``; without classes, the network itself."""
        return self


@dataclass(frozen=True, slots=True)
class NetworkPair:
    """A generator and its discriminator."""

    generator: Generator
    discriminator: Discriminator

    @property
    def architecture(self) -> Architecture:
        """The common architecture of both networks."""
        return self.generator.architecture

    def items(self) -> Iterator[tuple[str, LayeredNetwork]]:
        """Yield ``("discriminator", D)`` and ``("generator", G)``, in the papers' order."""
        yield "discriminator", self.discriminator
        yield "generator", self.generator


def to_images(pictures: PictureBytes) -> Images:
    """Map uint8 pictures in [0, 255] to float32 images in [-1, 1], on the same device."""
    return pictures.float().div_(127.5).sub_(1.0)


def to_pictures(images: Images) -> PictureBytes:
    """Map images in [-1, 1] to uint8 pictures in [0, 255], rounded to the nearest level."""
    return images.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).byte()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that the machine or a device ran out of memory."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "allocate memory" in str(error)  # torch's own words on a CPU


def in_turn(steps: Steps, features: Any) -> Any:
    """Apply ``steps`` to ``features``, one after the other."""
    for step in steps.values():
        features = step(features)
    return features


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of ``module`` by name, detached, sharing memory."""
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def tensors_of_pair(pair: NetworkPair) -> dict[str, Tensor]:
    """Return the same of both networks, as ``<role>.<name>``."""
    return {
        f"{role}.{n}": t for role, network in pair.items() for n, t in tensors_of(network).items()
    }


def class_weights(labels: Tensor, count: int) -> ClassWeights:
    """Return labels (b,) in [0, count) as one-hot class weights (b, count)."""
    return F.one_hot(labels, count).float()


def mixed_styles(
    styles: Styles, others: Styles, probability: float, rng: torch.Generator
) -> Styles:
    """Return styles (b, n, w) of which a share takes its last layers from ``others``.

    Each picture is mixed with ``probability``, from a random layer on. Source: Karras et al. 2019,
    section 3.1 (arXiv:1812.04948).
    """
    batch, layers = styles.shape[:2]
    chances = torch.rand(2, batch, generator=rng, device=rng.device).to(styles.device)
    first = 1 + (chances[0] * (layers - 1)).long()
    first = first.masked_fill(chances[1] >= probability, layers)
    swapped = torch.arange(layers, device=styles.device) >= first[:, None]
    return torch.where(swapped[:, :, None], others, styles)


def draw_latents(
    count: int, latent_size: int, rng: torch.Generator, device: torch.device | str = "cpu"
) -> Latents:
    """Draw ``count`` latents from N(0, I) on the device of ``rng`` and move them to ``device``."""
    return torch.randn(count, latent_size, generator=rng, device=rng.device).to(device)
