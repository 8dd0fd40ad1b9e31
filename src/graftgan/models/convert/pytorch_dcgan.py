"""The layout of the DCGAN in PyTorch's examples: two networks in two files, ``main.0.weight``.

Both have five convolutions at 64 px, without biases. Ours also has biases if no normalisation
follows, which become zero, and ends the discriminator in a linear layer, which gets their last
convolution's flattened kernel; our loss includes their sigmoid.
"""

from collections.abc import Mapping
from typing import Any

import torch

from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import Architecture
from graftgan.models.convert.layouts import (
    LAYOUTS,
    Found,
    Layout,
    NamedTensors,
    NetworkParts,
    renamed,
    shape_of,
)

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_FIRST = "main.0.weight"


def parts_of_pytorch_dcgan(content: Mapping[str, Any]) -> NetworkParts:
    """Return the network, which is the generator if it normalises its first layer."""
    if _FIRST not in content:
        return {}
    return {"generator" if "main.1.weight" in content else "discriminator": content}


def pair_of_pytorch_dcgan(generator: NamedTensors, discriminator: NamedTensors) -> Found:
    """Return the pair under our names.

    Raises CheckpointError: a tensor that determines the sizes is missing or has a wrong shape, or
    the networks have different widths.
    """
    layers = sum(tensor.ndim == 4 for tensor in generator.values())
    last = shape_of(generator, f"main.{3 * (layers - 1)}.weight", 4)
    width = shape_of(discriminator, _FIRST, 4)[0]
    if last[0] != width:
        raise CheckpointError(
            f"the generator is {last[0]} channels wide and the discriminator {width}; here a pair "
            "has one width"
        )
    architecture = Architecture(
        backbone="dcgan",
        resolution=2 ** (layers + 1),
        channels=last[1],
        latent_size=shape_of(generator, _FIRST, 4)[0],
        width=width,
    )
    drawing = renamed(generator, _generator_names(layers))
    drawing[f"blocks.layer{layers}.conv.bias"] = torch.zeros(architecture.channels)
    scores = renamed(discriminator, _discriminator_names(layers))
    scores["blocks.layer1.conv.bias"] = torch.zeros(width)
    scores[f"blocks.layer{layers}.linear.bias"] = torch.zeros(1)
    score = f"main.{3 * layers - 4}.weight"
    shape_of(discriminator, score, 4)
    scores[f"blocks.layer{layers}.linear.weight"] = discriminator[score].flatten(1)
    return Found(
        architecture=architecture,
        tensors={"generator": _with_counts(drawing), "discriminator": _with_counts(scores)},
        remark="in the layout of PyTorch's example dcgan; biases that it lacks are zero.",
    )


def _generator_names(layers: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for number in range(layers):
        ours = f"blocks.layer{number + 1}"
        names[f"main.{3 * number}.weight"] = f"{ours}.conv.weight"
        if number < layers - 1:
            names |= _normalisation(3 * number + 1, ours)
    return names


def _discriminator_names(layers: int) -> dict[str, str]:
    names = {
        _FIRST: "blocks.layer1.conv.weight",
        f"main.{3 * layers - 4}.weight": f"blocks.layer{layers}.linear.weight",
    }
    for number in range(1, layers - 1):
        ours = f"blocks.layer{number + 1}"
        names[f"main.{3 * number - 1}.weight"] = f"{ours}.conv.weight"
        names |= _normalisation(3 * number, ours)
    return names


def _normalisation(place: int, ours: str) -> dict[str, str]:
    return {f"main.{place}.{part}": f"{ours}.norm.{part}" for part in _NORM}


def _with_counts(tensors: NamedTensors) -> NamedTensors:
    """Add the counts of batches, which have no effect and are missing in old files."""
    means = [name for name in tensors if name.endswith(".running_mean")]
    counts = {name.replace("running_mean", "num_batches_tracked") for name in means}
    return {**{name: torch.tensor(0) for name in counts}, **tensors}


LAYOUTS.register("pytorch_dcgan")(
    Layout(
        title="PyTorch's example dcgan", parts=parts_of_pytorch_dcgan, pair=pair_of_pytorch_dcgan
    )
)
