"""Networks of other programs: what they save, and what they compute, in float64 and written anew.

StyleGAN2 of rosinality/stylegan2-pytorch from the equations of the paper (arXiv:1912.04958,
sections 2.2 and 2.3; figure 7) and the conventions of that layout; DCGAN of PyTorch's examples as a
plain chain of torch's layers.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Tensors = dict[str, Tensor]
STYLE = 10
WIDTHS = {16: {4: 12, 8: 12, 16: 6}, 32: {4: 12, 8: 12, 16: 8, 32: 4}}


def multiplied(side: int, multiplier: int) -> dict[int, int]:
    """Return their channels at each size for a multiplier, at a 64th of the width."""
    small = dict.fromkeys((4, 8, 16, 32), 8)
    large = {64: 4 * multiplier, 128: 2 * multiplier, 256: multiplier}
    return {size: width for size, width in {**small, **large}.items() if size <= side}


TAPS = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 64


def rosinality_generator(
    side: int,
    *,
    seed: int = 0,
    mapping_layers: int = 3,
    widths: Mapping[int, int] | None = None,
) -> Tensors:
    """Return a state dict with every number drawn."""
    rng = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
        return torch.randn(shape, generator=rng) * scale + mean

    def modulated(name: str, inputs: int, outputs: int, size: int) -> Tensors:
        return {
            f"{name}.conv.weight": drawn(1, outputs, inputs, size, size),
            f"{name}.conv.modulation.weight": drawn(inputs, STYLE),
            f"{name}.conv.modulation.bias": drawn(inputs, scale=0.2, mean=1.0),
        }

    def styled(name: str, inputs: int, outputs: int) -> Tensors:
        return {
            **modulated(name, inputs, outputs, 3),
            f"{name}.noise.weight": drawn(1, scale=0.3),
            f"{name}.activate.bias": drawn(outputs, scale=0.3),
        }

    widths = WIDTHS[side] if widths is None else widths
    tensors: Tensors = {}
    for number in range(1, mapping_layers + 1):
        tensors[f"style.{number}.weight"] = drawn(STYLE, STYLE, scale=100.0)
        tensors[f"style.{number}.bias"] = drawn(STYLE, scale=30.0)
    tensors["input.input"] = drawn(1, widths[4], 4, 4)
    tensors |= styled("conv1", widths[4], widths[4])
    tensors |= {**modulated("to_rgb1", widths[4], 3, 1), "to_rgb1.bias": drawn(1, 3, 1, 1)}
    sides = sorted(widths)
    for number, size in enumerate(sides[1:]):
        before, after = widths[sides[number]], widths[size]
        tensors |= styled(f"convs.{2 * number}", before, after)
        tensors[f"convs.{2 * number}.conv.blur.kernel"] = TAPS * 4
        tensors |= styled(f"convs.{2 * number + 1}", after, after)
        tensors |= modulated(f"to_rgbs.{number}", after, 3, 1)
        tensors[f"to_rgbs.{number}.bias"] = drawn(1, 3, 1, 1)
        tensors[f"to_rgbs.{number}.upsample.kernel"] = TAPS * 4
    for number in range(2 * len(sides) - 1):
        size = sides[(number + 1) // 2]
        tensors[f"noises.noise_{number}"] = drawn(1, 1, size, size)
    return tensors


def rosinality_discriminator(
    side: int, *, seed: int = 1, widths: Mapping[int, int] | None = None
) -> Tensors:
    """Return a state dict with every number drawn."""
    rng = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=rng) * scale

    widths = WIDTHS[side] if widths is None else widths
    sides = sorted(widths)[::-1]
    tensors = {"convs.0.0.weight": drawn(widths[side], 3, 1, 1)}
    tensors["convs.0.1.bias"] = drawn(widths[side], scale=0.3)
    for number, (large, small) in enumerate(pairwise(sides), start=1):
        name, inputs, outputs = f"convs.{number}", widths[large], widths[small]
        tensors[f"{name}.conv1.0.weight"] = drawn(inputs, inputs, 3, 3)
        tensors[f"{name}.conv1.1.bias"] = drawn(inputs, scale=0.3)
        tensors[f"{name}.conv2.0.kernel"] = TAPS.clone()
        tensors[f"{name}.conv2.1.weight"] = drawn(outputs, inputs, 3, 3)
        tensors[f"{name}.conv2.2.bias"] = drawn(outputs, scale=0.3)
        tensors[f"{name}.skip.0.kernel"] = TAPS.clone()
        tensors[f"{name}.skip.1.weight"] = drawn(outputs, inputs, 1, 1)
    last = widths[4]
    tensors["final_conv.0.weight"] = drawn(last, last + 1, 3, 3)
    tensors["final_conv.1.bias"] = drawn(last, scale=0.3)
    tensors["final_linear.0.weight"] = drawn(last, last * 16)
    tensors["final_linear.0.bias"] = drawn(last, scale=0.3)
    tensors["final_linear.1.weight"] = drawn(1, last)
    tensors["final_linear.1.bias"] = drawn(1)
    return tensors


def rosinality_styles(tensors: Tensors, latents: Tensor) -> Tensor:
    """Return styles (b, w) in float64."""
    features = latents.double()
    features = features / (features**2).mean(dim=1, keepdim=True).add(1e-8).sqrt()
    number = 1
    while f"style.{number}.weight" in tensors:
        weight, bias = (tensors[f"style.{number}.{part}"].double() for part in ("weight", "bias"))
        features = _active(features @ (weight * 0.01 / math.sqrt(STYLE)).T + bias * 0.01)
        number += 1
    return features


def rosinality_pictures(tensors: Tensors, latents: Tensor) -> Tensor:
    """Return the pictures (b, 3, h, w) of the noise that is kept, in float64."""
    their = {name: tensor.double() for name, tensor in tensors.items()}
    pictures = [_picture(their, style) for style in rosinality_styles(tensors, latents)]
    return torch.stack(pictures)


def _picture(their: Tensors, style: Tensor) -> Tensor:
    features = _styled(their, "conv1", 0, their["input.input"], style)
    pixels = _colours(their, "to_rgb1", features, style)
    number = 0
    while f"to_rgbs.{number}.bias" in their:
        first = 2 * number
        features = _styled(their, f"convs.{first}", first + 1, features, style)
        features = _styled(their, f"convs.{first + 1}", first + 2, features, style)
        larger = pixels.new_zeros(1, 3, 2 * pixels.shape[2], 2 * pixels.shape[3])
        larger[:, :, ::2, ::2] = pixels
        larger = _filtered(larger, their[f"to_rgbs.{number}.upsample.kernel"], (2, 1))
        pixels = larger + _colours(their, f"to_rgbs.{number}", features, style)
        number += 1
    return pixels[0]


def _kernel(their: Tensors, name: str, style: Tensor) -> Tensor:
    scales = their[f"{name}.conv.modulation.weight"] @ style / math.sqrt(STYLE)
    scales = scales + their[f"{name}.conv.modulation.bias"]
    kernel = their[f"{name}.conv.weight"][0]
    return kernel / math.sqrt(kernel[0].numel()) * scales[None, :, None, None]


def _styled(their: Tensors, name: str, noise: int, features: Tensor, style: Tensor) -> Tensor:
    kernel = _kernel(their, name, style)
    kernel = kernel / (kernel**2).sum(dim=(1, 2, 3), keepdim=True).add(1e-8).sqrt()
    if f"{name}.conv.blur.kernel" in their:
        features = F.conv_transpose2d(features, kernel.transpose(0, 1), stride=2)
        features = _filtered(features, their[f"{name}.conv.blur.kernel"], (1, 1))
    else:
        features = F.conv2d(features, kernel, padding=1)
    features = features + their[f"{name}.noise.weight"] * their[f"noises.noise_{noise}"]
    return _active(features + their[f"{name}.activate.bias"][None, :, None, None])


def _colours(their: Tensors, name: str, features: Tensor, style: Tensor) -> Tensor:
    return F.conv2d(features, _kernel(their, name, style)) + their[f"{name}.bias"]


def rosinality_scores(tensors: Tensors, images: Tensor) -> Tensor:
    """Return scores (b,) in float64; a batch of at most four is one group."""
    their = {name: tensor.double() for name, tensor in tensors.items()}
    features = images.double()
    features = _active(_plain(features, their["convs.0.0.weight"]) + _bias(their, "convs.0.1"))
    number = 1
    while f"convs.{number}.skip.1.weight" in their:
        name = f"convs.{number}"
        inner = _plain(features, their[f"{name}.conv1.0.weight"])
        inner = _active(inner + _bias(their, f"{name}.conv1.1"))
        inner = _filtered(inner, their[f"{name}.conv2.0.kernel"], (2, 2))
        inner = _plain(inner, their[f"{name}.conv2.1.weight"], stride=2)
        inner = _active(inner + _bias(their, f"{name}.conv2.2"))
        skip = _filtered(features, their[f"{name}.skip.0.kernel"], (1, 1))
        skip = _plain(skip, their[f"{name}.skip.1.weight"], stride=2)
        features = (inner + skip) / math.sqrt(2)
        number += 1
    deviation = (features.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    features = torch.cat([features, deviation.expand(len(features), 1, 4, 4)], dim=1)
    features = _plain(features, their["final_conv.0.weight"])
    features = _active(features + _bias(their, "final_conv.1")).flatten(1)
    for place, active in ((0, True), (1, False)):
        weight = their[f"final_linear.{place}.weight"]
        features = features @ weight.T / math.sqrt(weight.shape[1])
        features = features + their[f"final_linear.{place}.bias"]
        features = _active(features) if active else features
    return features[:, 0]


def _plain(features: Tensor, kernel: Tensor, *, stride: int = 1) -> Tensor:
    padding = kernel.shape[-1] // 2 if stride == 1 else 0
    scaled = kernel / math.sqrt(kernel[0].numel())
    return F.conv2d(features, scaled, stride=stride, padding=padding)


def _bias(their: Tensors, name: str) -> Tensor:
    return their[f"{name}.bias"][None, :, None, None]


def _active(features: Tensor) -> Tensor:
    return torch.where(features > 0, features, 0.2 * features) * math.sqrt(2)


def _filtered(features: Tensor, taps: Tensor, padding: tuple[int, int]) -> Tensor:
    channels = features.shape[1]
    kernel = taps.flip((0, 1)).expand(channels, 1, *taps.shape)
    return F.conv2d(F.pad(features, (*padding, *padding)), kernel, groups=channels)


def dcgan_generator(latent_size: int, maps: Sequence[int], channels: int) -> nn.Sequential:
    """Return the chain from latents (b, z, 1, 1); ``maps`` from the 4x4 side on."""
    layers: list[nn.Module] = []
    inputs = latent_size
    for number, outputs in enumerate(maps):
        stride, padding = (2, 1) if number else (1, 0)
        convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    layers += [nn.ConvTranspose2d(inputs, channels, 4, 2, 1, bias=False), nn.Tanh()]
    return looks_trained(nn.Sequential(*layers))


def dcgan_discriminator(maps: Sequence[int], channels: int) -> nn.Sequential:
    """Return the chain to scores (b, 1, 1, 1), without its sigmoid; ``maps`` from the top on."""
    layers: list[nn.Module] = []
    inputs = channels
    for number, outputs in enumerate(maps):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(outputs)] if number else []
        layers.append(nn.LeakyReLU(0.2))
        inputs = outputs
    layers.append(nn.Conv2d(inputs, 1, 4, 1, 0, bias=False))
    return looks_trained(nn.Sequential(*layers))


def looks_trained(network: nn.Sequential) -> nn.Sequential:
    """Draw every number, with statistics of the normalisations far from those of a fresh one."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (layer.weight, layer.bias, layer.running_mean):
                    assert tensor is not None
                    tensor.add_(torch.randn(tensor.shape, generator=rng), alpha=0.2)
                assert layer.running_var is not None
                layer.running_var.uniform_(0.5, 2.0, generator=rng)
            elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                inputs = layer.in_channels * (16 if isinstance(layer, nn.Conv2d) else 4)
                layer.weight.normal_(0.0, math.sqrt(2 / inputs), generator=rng)
    return network.eval()


def as_saved(network: nn.Sequential, *, prefix: str = "main.") -> Tensors:
    """Return the state dict of a network that keeps the chain in ``main``."""
    return {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
