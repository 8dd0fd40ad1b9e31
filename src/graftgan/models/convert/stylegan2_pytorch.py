"""The layouts of two programs called stylegan2-pytorch: rosinality's, and lucidrains'.

The first is StyleGAN2 under other names, with the function and the weight scales of the published
networks: weights are multiplied by 1/sqrt(fan-in) at use, the mapping has a rate of 0.01, the 1 is
included in the biases of modulations, and kernels of transposed convolutions are stored as applied.
The differences are names, dimensions of length one, upsampling filters that include their gain of
4, the mean style outside the generator, and unused filters that are not stored.

The second is recognised only to refuse it: its networks are called StyleGAN2 but have another
architecture, so that no StyleGAN2 weights draw the same pictures.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints import copy_matching
from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import Architecture, StyleArchitecture, draw_latents
from graftgan.models.convert.layouts import (
    LAYOUTS,
    LICENCE,
    Found,
    Layout,
    NamedTensors,
    NetworkParts,
    renamed,
    shape_of,
)
from graftgan.networks.stylegan.layers import StyleMapping
from graftgan.networks.stylegan.operators import binomial_filter
from graftgan.networks.stylegan.stylegan2 import sides_of

_MEAN_STYLE = "latent_avg"
_NETWORKS = {"S", "G", "D", "SE", "GE"}  # of lucidrains; the last two are averages
_GENERATOR, _CRITIC = "input.input", "final_conv.0.weight"  # names that only one network has
_LONGEST = 8192  # of a latent and a style; theirs have 512
_DRAWS = 4096  # of latents, as in their program, for the mean style if the file lacks it
_SPREAD = (30.0, 300.0)  # of the mapping's weights, for which 0.01 is the likeliest power of ten
_UP_GAIN = 4.0
_GROUP = 4  # size of their minibatch groups
_CHANGES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    (r"(\.conv|\.noise)\.weight|input\.input", lambda tensor: tensor.squeeze(0)),
    (r"noises\.noise_\d+", lambda tensor: tensor.squeeze(0).squeeze(0)),
    (r"to_rgb(1|s\.\d+)\.bias", lambda tensor: tensor.flatten()),
    (r"\.kernel", lambda tensor: tensor / _UP_GAIN),
)
"""Changes to the generator's tensors, by the end of their names."""


def parts_of_rosinality(content: Mapping[str, Any]) -> NetworkParts:
    """Return the averaged generator with its mean style, and the discriminator."""
    parts: dict[str, Mapping[str, Any]] = {}
    alone = _GENERATOR in content or _CRITIC in content  # in a file of its own
    generator, critic = (content, content) if alone else (content.get("g_ema"), content.get("d"))
    if isinstance(generator, Mapping) and _GENERATOR in generator:
        mean = {_MEAN_STYLE: content[_MEAN_STYLE]} if _MEAN_STYLE in content else {}
        parts["generator"] = {**generator, **mean}
    if isinstance(critic, Mapping) and _CRITIC in critic:
        parts["discriminator"] = critic
    return parts


def pair_of_rosinality(generator: NamedTensors, discriminator: NamedTensors) -> Found:
    """Return the pair under our names; CheckpointError: the file does not determine its size."""
    architecture = _architecture_of(generator)
    _refuse_another_rate(generator)
    sides = sides_of(architecture)
    drawing = renamed(
        {name: _changed(name, tensor) for name, tensor in generator.items()},
        _generator_names(sides, _count(generator, r"style\.\d+\.weight")),
    )
    remark = "in the layout of rosinality/stylegan2-pytorch."
    if _MEAN_STYLE not in generator:
        drawing["mapping.w_avg"] = _mean_style(drawing, architecture)
        remark += f" It has no mean style; that of {_DRAWS} draws was taken."
    if not any(name.startswith("noises.") for name in generator):
        drawing |= _drawn_noise(sides)
        remark += " It keeps no noise; some was drawn."
    scores = renamed(discriminator, _discriminator_names(sides))
    # Filters that our networks store but never apply, as the published networks do.
    unused = ["b4", *(f"b{side}.conv1" for side in sides)]
    drawing |= {f"synthesis.{part}.resample_filter": binomial_filter() for part in unused}
    unused = [f"b{sides[-1]}.fromrgb", "b4.conv"]
    unused += [f"b{side}{part}" for side in sides[1:] for part in ("", ".conv0")]
    scores |= {f"{part}.resample_filter": binomial_filter() for part in unused}
    return Found(
        architecture=architecture,
        tensors={"generator": drawing, "discriminator": scores},
        remark=remark,
        licence=(
            f"{LICENCE}; networks converted from NVIDIA's are under NVIDIA's licence, for "
            "non-commercial use"
        ),
    )


def _architecture_of(generator: NamedTensors) -> Architecture:
    doublings = _count(generator, r"to_rgbs\.\d+\.bias")
    kernels = ["conv1", *(f"convs.{2 * number}" for number in range(doublings))]
    widths = [shape_of(generator, f"{name}.conv.weight", 5)[1] for name in kernels]
    style_size, latent_size = shape_of(generator, "style.1.weight", 2)
    if max(style_size, latent_size) > _LONGEST:
        raise CheckpointError(
            f"style.1.weight is of shape ({style_size}, {latent_size}), where lengths of at most "
            f"{_LONGEST} are expected"
        )
    resolution, most = 4 * 2**doublings, max(widths)
    # With a multiplier of 4, maps of 64 px have more channels than the smaller ones.
    usual = [min(widths[-1] * (resolution // 4) // 2**n, most) for n in range(doublings + 1)]
    return Architecture(
        backbone="stylegan2",
        resolution=resolution,
        channels=shape_of(generator, "to_rgb1.conv.weight", 5)[1],
        latent_size=latent_size,
        width=widths[-1],
        generator_normalisation="none",
        discriminator_normalisation="none",
        style=StyleArchitecture(
            style_size=style_size,
            mapping_layers=_count(generator, r"style\.\d+\.weight"),
            most_channels=most,
            feature_maps=() if widths == usual else tuple(widths),
            minibatch_group=_GROUP,
        ),
    )


def _refuse_another_rate(generator: NamedTensors) -> None:
    """Refuse a mapping of another ``lr_mlp`` than 0.01, which no file states.

    Its weights begin with a standard deviation of 1 / ``lr_mlp`` and hardly move from that.
    """
    weights = [t for name, t in generator.items() if re.fullmatch(r"style\.\d+\.weight", name)]
    spread = float(torch.stack([weight.float().std() for weight in weights]).median())
    if math.isfinite(spread) and not _SPREAD[0] < spread < _SPREAD[1]:
        raise CheckpointError(
            f"the weights of style.*.weight have a standard deviation of {spread:.3g}, where about "
            "100 is expected: the network was trained with another lr_mlp than 0.01, or not in "
            "this layout; multiply weights and biases of style.* by lr_mlp / 0.01 and save it again"
        )


def _generator_names(sides: list[int], mapping_layers: int) -> dict[str, str]:
    names = {
        **{
            f"style.{number + 1}.{part}": f"mapping.fc{number}.{part}"
            for number in range(mapping_layers)
            for part in ("weight", "bias")
        },
        _MEAN_STYLE: "mapping.w_avg",
        "input.input": "synthesis.b4.const",
        **_styled("conv1", 0, "synthesis.b4.conv1"),
        **_modulated("to_rgb1", "synthesis.b4.torgb", ""),
    }
    for number, side in enumerate(sides[1:]):
        block, first = f"synthesis.b{side}", 2 * number
        names |= {
            **_styled(f"convs.{first}", first + 1, f"{block}.conv0"),
            **_styled(f"convs.{first + 1}", first + 2, f"{block}.conv1"),
            **_modulated(f"to_rgbs.{number}", f"{block}.torgb", ""),
            f"convs.{first}.conv.blur.kernel": f"{block}.conv0.resample_filter",
            f"to_rgbs.{number}.upsample.kernel": f"{block}.resample_filter",
        }
    return names


def _styled(theirs: str, noise: int, ours: str) -> dict[str, str]:
    return {
        **_modulated(theirs, ours, "activate."),
        f"{theirs}.noise.weight": f"{ours}.noise_strength",
        f"noises.noise_{noise}": f"{ours}.noise_const",
    }


def _modulated(theirs: str, ours: str, activation: str) -> dict[str, str]:
    return {
        f"{theirs}.conv.weight": f"{ours}.weight",
        f"{theirs}.conv.modulation.weight": f"{ours}.affine.weight",
        f"{theirs}.conv.modulation.bias": f"{ours}.affine.bias",
        f"{theirs}.{activation}bias": f"{ours}.bias",
    }


def _discriminator_names(sides: list[int]) -> dict[str, str]:
    pairs = [("convs.0.0.weight", f"b{sides[-1]}.fromrgb.weight")]
    pairs += [("convs.0.1.bias", f"b{sides[-1]}.fromrgb.bias")]
    pairs += [("final_conv.0.weight", "b4.conv.weight"), ("final_conv.1.bias", "b4.conv.bias")]
    for number, name in enumerate(("fc", "out")):
        theirs = f"final_linear.{number}"
        pairs += [(f"{theirs}.{part}", f"b4.{name}.{part}") for part in ("weight", "bias")]
    for number, side in enumerate(sides[:0:-1], start=1):
        parts = {
            "conv1.0.weight": "conv0.weight",
            "conv1.1.bias": "conv0.bias",
            "conv2.0.kernel": "conv1.resample_filter",
            "conv2.1.weight": "conv1.weight",
            "conv2.2.bias": "conv1.bias",
            "skip.0.kernel": "skip.resample_filter",
            "skip.1.weight": "skip.weight",
        }
        pairs += [(f"convs.{number}.{theirs}", f"b{side}.{ours}") for theirs, ours in parts.items()]
    return dict(pairs)


def _drawn_noise(sides: list[int]) -> NamedTensors:
    """Return noise for a file without any: their network draws it anew for each picture."""
    rng = torch.Generator().manual_seed(0)
    return {
        f"synthesis.b{side}.conv{number}.noise_const": torch.randn(side, side, generator=rng)
        for side in sides
        for number in ((0, 1) if side > 4 else (1,))
    }


def _mean_style(drawing: NamedTensors, architecture: Architecture) -> Tensor:
    assert architecture.style is not None
    size = architecture.style.style_size
    mapping = StyleMapping(architecture.latent_size, size, architecture.style.mapping_layers)
    inner = {
        name.removeprefix("mapping."): tensor
        for name, tensor in drawing.items()
        if name.startswith("mapping.")
    }
    receipt = copy_matching(mapping, {**inner, "w_avg": torch.zeros(size)})
    receipt.require_complete(what="the mapping")
    latents = draw_latents(_DRAWS, architecture.latent_size, torch.Generator().manual_seed(0))
    with torch.no_grad():
        return mapping.eval()(latents).mean(dim=0)


def _changed(name: str, tensor: Tensor) -> Tensor:
    for end, change in _CHANGES:
        if re.search(rf"({end})$", name):
            return change(tensor)
    return tensor


def _count(tensors: NamedTensors, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def parts_of_lucidrains(content: Mapping[str, Any]) -> NetworkParts:
    """Return the networks if it is such a file; they are not used."""
    whole = content.get("GAN", content)
    if not isinstance(whole, Mapping):
        return {}
    heads = {str(name).partition(".")[0] for name in whole}
    return {"generator": whole} if heads >= _NETWORKS else {}


LAYOUTS.register("lucidrains")(
    Layout(
        title="lucidrains/stylegan2-pytorch",
        parts=parts_of_lucidrains,
        refusal=(
            "whose networks only share a name with StyleGAN2: two convolutions at 4 px, three in a "
            "block of the discriminator and no deviation between pictures, noise with a strength "
            "for each channel, enlargement that repeats the border; no weights of stylegan2 do the "
            "same. Take a file of rosinality/stylegan2-pytorch, an official pickle, or pictures "
            "drawn with that program to train on"
        ),
    )
)
LAYOUTS.register("rosinality")(
    Layout(title="rosinality/stylegan2-pytorch", parts=parts_of_rosinality, pair=pair_of_rosinality)
)
