"""Shared by several backbones: normalisations, their statistics, stacks, initial weights."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    Architecture,
    Discriminator,
    Generator,
    Images,
    Latents,
    LayeredNetwork,
    Layers,
    Logits,
    NetworkPair,
    in_turn,
)
from graftgan.core.registry import Registry

L = TypeVar("L", bound=nn.Module)

SIDES = (32, 64, 128, 256)  # pixels: the resolutions of most backbones
_LARGEST_MULTIPLE = 8  # no feature map has more than 8 x width channels

Statistics = Literal["source", "batch"]
"""What a frozen normalisation, whose buffers never change, normalises with.

``source``: the source's running statistics, so that the layer is a fixed function. ``batch``: the
statistics of the current batch, as in the papers' code; also when sampling, since the running
statistics are the source's and would not fit.
"""
NORMALISATIONS: Registry[Callable[[int], nn.Module]] = Registry("normalisation")
"""Normalisations by number of channels; with ``spectral`` the kernels are normalised instead."""
# Over the batch (Ioffe and Szegedy 2015). Not for a critic with a gradient penalty, which is not
# defined if one image's score depends on the others.
NORMALISATIONS.register("batch")(nn.BatchNorm2d)
# Of every channel of every image (Ulyanov et al. 2016).
NORMALISATIONS.register("instance")(lambda channels: nn.GroupNorm(channels, channels))
# Of every image (Ba et al. 2016); WGAN-GP recommends it for the critic.
NORMALISATIONS.register("layer")(lambda channels: nn.GroupNorm(1, channels))
NORMALISATIONS.register("none")(nn.Identity)
NORMALISATIONS.register("spectral")(nn.Identity)


class SpectralConv2d(nn.Conv2d):
    """A convolution with a kernel of norm 1.

    Source: Miyato et al. 2018, algorithm 1 (arXiv:1802.05957): one step of power iteration in each
    forward pass in training mode, none in evaluation mode. Differs from torch's parametrization:
    the parameter keeps its name and is divided where it is used. So a plan's modulation of the
    kernel is normalised with it, and can be folded as in any other layer.
    """

    def __init__(self, *arguments: int, bias: bool = True) -> None:
        super().__init__(*arguments, bias=bias)
        self.register_buffer("direction", torch.ones(self.out_channels))
        self.direction: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the features (b, c, h, w)."""
        return F.conv2d(input, _normalised(self), self.bias, self.stride, self.padding)


class SpectralConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with a kernel of norm 1."""

    def __init__(self, *arguments: int, bias: bool = True) -> None:
        super().__init__(*arguments, bias=bias)
        self.register_buffer("direction", torch.ones(self.out_channels))
        self.direction: Tensor

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the features (b, c, h, w)."""
        assert not isinstance(self.padding, str)
        return F.conv_transpose2d(input, _normalised(self, 1), self.bias, self.stride, self.padding)


class SpectralLinear(nn.Linear):
    """A linear layer with a matrix of norm 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("direction", torch.ones(outputs))
        self.direction: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the features (b, f)."""
        return F.linear(input, _normalised(self), self.bias)


_SPECTRAL: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: SpectralConv2d,
    nn.ConvTranspose2d: SpectralConvTranspose2d,
    nn.Linear: SpectralLinear,
}


def layer_for(normalisation: str, plain: type[L]) -> type[L]:
    """Return the class of layer to use for ``plain`` with a normalisation of that name."""
    return cast("type[L]", _SPECTRAL[plain]) if normalisation == "spectral" else plain


def _normalised(
    part: SpectralConv2d | SpectralConvTranspose2d | SpectralLinear, output_axis: int = 0
) -> Tensor:
    """Return the kernel divided by the current estimate of its largest singular value.

    As a matrix it has a row for each output channel. ``direction`` is an estimate of its first left
    singular vector. Both singular vectors are constants in the gradient.
    """
    with torch.autocast(part.weight.device.type, enabled=False):
        matrix = part.weight.transpose(0, output_axis).flatten(1)
        with torch.no_grad():
            right = F.normalize(matrix.T @ part.direction, dim=0)
            left = F.normalize(matrix @ right, dim=0)
            if part.training:
                part.direction.copy_(left)
        return part.weight / (left @ matrix @ right)


def hold_buffers(layer: nn.Module, statistics: Statistics) -> None:
    """Keep all buffers of ``layer`` constant, also in training mode and in spectral norms."""
    layer.eval()
    if statistics == "batch":
        for norm in batch_norms([layer]):
            use_batch_statistics(norm)


def use_batch_statistics(norm: _BatchNorm) -> None:
    """Normalise with the current batch and leave the running statistics unchanged."""
    norm.track_running_stats = False  # torch then does not use them in training mode
    norm.train()


def follow_running_statistics(network: nn.Module) -> None:
    """Let every normalisation update its running statistics again, before a plan is applied."""
    for norm in batch_norms([network]):
        norm.track_running_stats = True


def evaluation_mode(network: nn.Module) -> None:
    """Set ``network`` to evaluation mode, except for normalisations with batch statistics."""
    network.eval()
    for norm in batch_norms([network]):
        if not norm.track_running_stats:
            norm.train()


def follow_the_modes_of(model: nn.Module, copy: nn.Module) -> None:
    """Let ``copy`` normalise as ``model`` currently does, without updating its own buffers."""
    copy.eval()
    for norm, like in zip(batch_norms([copy]), batch_norms([model]), strict=True):
        if like.training:
            use_batch_statistics(norm)


def layers_on_batch_statistics(layers: Iterable[tuple[str, nn.Module]]) -> tuple[str, ...]:
    """Return the names of the layers that normalise with batch statistics."""
    return tuple(
        name
        for name, layer in layers
        if any(not norm.track_running_stats for norm in batch_norms([layer]))
    )


def batch_norms(modules: Iterable[nn.Module]) -> Iterator[_BatchNorm]:
    """Yield every normalisation in ``modules`` that has running statistics."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None:
                yield part


def named_layers(**layers: nn.Module) -> nn.Sequential:
    """Return ``layers`` as a sequence that keeps their names."""
    return nn.Sequential(OrderedDict(layers))


class Stacked(LayeredNetwork):
    """A network of sequential layers: ``layer1``, ``layer2``, ..."""

    def __init__(self, architecture: Architecture, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.architecture = architecture
        self.blocks = nn.ModuleDict({f"layer{n}": layer for n, layer in enumerate(layers, start=1)})

    def layers(self) -> Layers:
        """Return the layers, input first."""
        return dict(self.blocks.items())


class StackedGenerator(Stacked, Generator):
    """A generator that applies its steps in turn."""

    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to images (b, c, h, w) in [-1, 1]."""
        return in_turn(self.steps(), latents)


class StackedDiscriminator(Stacked, Discriminator):
    """A discriminator whose last layer computes the score from the features."""

    def forward(self, images: Images) -> Logits:
        """Map images (b, c, h, w) in [-1, 1] to logits (b,)."""
        score = self.blocks[f"layer{len(self.blocks)}"]
        return score(in_turn(self.feature_steps(), images)).flatten()


def feature_maps(architecture: Architecture) -> list[int]:
    """Return the channels of the hidden maps, from the largest map down to 4x4."""
    halvings = architecture.resolution.bit_length() - 3
    return [architecture.width * min(2**i, _LARGEST_MULTIPLE) for i in range(halvings)]


@torch.no_grad()
def start_weights(module: nn.Module, rng: torch.Generator) -> None:
    """Draw DCGAN's initial weights (Radford et al. 2016, section 3).

    Convolutions and linear layers from N(0, 0.02), scales of normalisations from N(1, 0.02), all
    biases zero.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            part.weight.normal_(0.0, 0.02, generator=rng)
        elif isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            part.weight.normal_(1.0, 0.02, generator=rng)
        else:
            continue
        if part.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
            part.bias.zero_()


@torch.no_grad()
def start_by_fan_in(module: nn.Module, rng: torch.Generator, *, gain: float = 2.0) -> None:
    """Draw kernels that keep the size of the features through many layers; biases are zero.

    Source: He et al. 2015, eq. 10 (arXiv:1502.01852): variance ``gain`` / fan-in. A gain of 2
    compensates for a ReLU.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            inputs = part.weight[0].numel()
            part.weight.normal_(0.0, (gain / inputs) ** 0.5, generator=rng)
            if part.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                part.bias.zero_()


def builder_of(
    generator: Callable[[Architecture], Generator],
    discriminator: Callable[[Architecture], Discriminator],
    start: Callable[[nn.Module, torch.Generator], None] = start_by_fan_in,
    *,
    sides: Sequence[int] = (),
    normalises: bool = True,
) -> Callable[[Architecture, torch.Generator], NetworkPair]:
    """Return the function that builds a pair of these networks with weights drawn by ``start``.

    It raises SettingsError for a resolution that is not among ``sides``, if given, and for a
    normalisation if the networks have none.
    """

    def build(architecture: Architecture, rng: torch.Generator) -> NetworkPair:
        if sides and architecture.resolution not in sides:
            raise SettingsError(
                f"{architecture.backbone} makes pictures of {', '.join(map(str, sides))} px, "
                f"not {architecture.resolution} px; choose one of those as the resolution"
            )
        norms = {architecture.generator_normalisation, architecture.discriminator_normalisation}
        if not normalises and norms != {"none"}:
            raise SettingsError(
                f"{architecture.backbone} has no normalisation; leave it out, or choose dcgan"
            )
        pair = NetworkPair(generator(architecture), discriminator(architecture))
        for _, network in pair.items():
            start(network, rng)
        return pair

    return build
