"""From an official StyleGAN pickle to a pair of networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graftgan.checkpoints import StoredNetwork, read_official
from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import Architecture, StyleArchitecture
from graftgan.core.untrusted import shown
from graftgan.models.convert.converted import LICENCE, Found
from graftgan.models.convert.official_layers import (
    DISCRIMINATOR_PLACES,
    GENERATOR_PLACES,
    known_layers,
)
from graftgan.models.convert.official_settings import (
    clamps_in,
    described,
    part,
    problems_of_layers,
    rates_in,
    settings_of_synthesis,
)
from graftgan.networks import blank_pair
from graftgan.networks.stylegan.stylegan3 import FILTERED_CLAMP

_USUAL_BASE, _USUAL_MOST, _USUAL_GROUP = 32768, 512, 4
_LARGEST = 1 << 20  # of any length
_SHOWN = 6
_LICENCE = f"{LICENCE}; NVIDIA's own networks are under NVIDIA's licence, for non-commercial use"


def pair_of_official(file: Path) -> Found:
    """Return the averaged generator and the discriminator of an official pickle.

    Nothing in the file is run.

    Raises:
        CheckpointError: The file cannot be used; the message says why.
    """
    networks = read_official(file)
    missing = [key for key in ("G_ema", "D") if key not in networks]
    if missing:
        raise CheckpointError(
            f"{file} has no {' and no '.join(missing)}, which a transfer needs; take a file that "
            "was saved in training"
        )
    generator, discriminator = networks["G_ema"], networks["D"]
    architecture = architecture_of_official(generator, discriminator, file)
    return Found(
        architecture=architecture,
        tensors={"generator": generator.tensors, "discriminator": discriminator.tensors},
        remark=(
            f"an official pickle, whose modules (sha256 {generator.source_sha256} and "
            f"{discriminator.source_sha256}) were not run."
        ),
        licence=_LICENCE,
    )


def architecture_of_official(
    generator: StoredNetwork, discriminator: StoredNetwork, file: Path
) -> Architecture:
    """Return the architecture of two stored networks, from their settings, layers and tensors.

    Raises:
        CheckpointError: It is not one of ours; the message says in what.
    """
    try:
        sizes = _Sizes.of(generator, discriminator)
    except ValueError as error:
        raise CheckpointError(
            f"the settings of the networks in {file} are not as the official programs store them: "
            f"{error}"
        ) from None
    backbone = _backbone_of(generator)
    found = {
        "conv_clamp": {
            "generator": clamps_in(generator, _usual_clamp(generator, backbone)),
            "discriminator": clamps_in(discriminator, discriminator.settings.get("conv_clamp")),
        },
        "lr_multiplier": {
            "generator": rates_in(generator),
            "discriminator": rates_in(discriminator),
        },
    }
    _refuse(
        file,
        [
            *_problems(sizes),
            *(
                problem
                for name, by_role in found.items()
                for role, values in by_role.items()
                for problem in _not_one(role, name, values, none=name == "conv_clamp")
            ),
        ],
    )
    only = {
        name: {role: float(next(iter(values)) or 0.0) for role, values in by_role.items()}
        for name, by_role in found.items()
    }
    rates = only["lr_multiplier"]
    architecture = _architecture(generator, discriminator, sizes, only["conv_clamp"], rates)
    with torch.device("meta"):  # a file could ask for networks that fit in no memory
        pair = blank_pair(architecture)
    stored = {"generator": generator, "discriminator": discriminator}
    problems = _magnitudes(generator)
    for role, ours in pair.items():
        known = known_layers(ours, architecture, stored[role].tensors)
        problems += problems_of_layers(role, stored[role], known)
    _refuse(file, problems)
    return architecture


def _refuse(file: Path, problems: list[str]) -> None:
    problems = list(dict.fromkeys(problems))
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(f"{file} cannot be used: {'; '.join(problems[:_SHOWN])}{more}")


def _magnitudes(generator: StoredNetwork) -> list[str]:
    """Return which mean squares its layers cannot be divided by the root of."""
    return [
        f"its generator has {shown(name)} {values.flatten()[:1].tolist()}, where a finite positive "
        "number is expected"
        for name, tensor in generator.tensors.items()
        if name.endswith(".magnitude_ema")
        if not ((values := tensor.float()) > 0).logical_and(values.isfinite()).all()
    ]


def _architecture(
    generator: StoredNetwork,
    discriminator: StoredNetwork,
    sizes: "_Sizes",
    clamps: Mapping[str, float],
    rates: Mapping[str, float],
) -> Architecture:
    backbone = _backbone_of(generator)
    clamp, generator_clamp = clamps["discriminator"], clamps["generator"]
    implied = clamp if backbone == "stylegan2" else FILTERED_CLAMP
    return Architecture(
        backbone=backbone,
        resolution=sizes.resolution,
        channels=sizes.channels,
        latent_size=sizes.latent,
        width=sizes.base // sizes.resolution,
        generator_normalisation="none",
        discriminator_normalisation="none",
        classes=tuple(str(number) for number in range(sizes.classes)),
        style=StyleArchitecture(
            style_size=sizes.style,
            mapping_layers=_layers_of_mapping(generator),
            mapping_rate=rates["generator"],
            most_channels=sizes.most,
            clamp=clamp,
            generator_clamp=None if generator_clamp == implied else generator_clamp,
            minibatch_group=sizes.group,
            generator_factor=sizes.factors[0],
            residual=discriminator.settings.get("architecture", "resnet") == "resnet",
            **(_directions(discriminator, sizes, rates["discriminator"]) if sizes.classes else {}),
        ),
    )


def _directions(discriminator: StoredNetwork, sizes: "_Sizes", rate: float) -> dict[str, Any]:
    """Return how the discriminator maps classes."""
    features = min(sizes.base // 4, sizes.most)
    return {
        "direction_layers": _layers_of_mapping(discriminator),
        "direction_rate": rate,
        "direction_size": 0 if sizes.directions in (0, features) else sizes.directions,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The lengths that two networks were built with.

    Attributes:
        factors: The generator has so many times the discriminator's width, and most channels.
        critic_classes: Those that the discriminator knows.
        directions: Length of a class's direction; 0: not said.
    """

    resolution: int
    channels: int
    latent: int
    style: int
    classes: int
    critic_classes: int
    base: int
    most: int
    factors: tuple[float, float]
    group: int
    directions: int

    @classmethod
    def of(cls, generator: StoredNetwork, discriminator: StoredNetwork) -> "_Sizes":
        """Read them.

        Raises:
            ValueError: One is missing or impossible; the message says which.
        """
        ours, theirs = (
            {
                **network.layers[""].attributes,
                **dict(zip(places, network.layers[""].arguments, strict=False)),
                **network.settings,
            }
            for network, places in (
                (generator, GENERATOR_PLACES),
                (discriminator, DISCRIMINATOR_PLACES),
            )
        )
        synthesis = settings_of_synthesis(generator)
        base, most = _widths(theirs)
        factors = tuple(
            its / other for its, other in zip(_widths(synthesis), (base, most), strict=True)
        )
        return cls(
            resolution=_whole(ours, "img_resolution"),
            channels=_whole(ours, "img_channels", 3),
            latent=_whole(ours, "z_dim"),
            style=_whole(ours, "w_dim"),
            classes=_whole(ours, "c_dim", 0, least=0),
            critic_classes=_whole(theirs, "c_dim", 0, least=0),
            base=base,
            most=most,
            factors=(factors[0], factors[1]),
            group=_group_of(discriminator),
            directions=_whole({"cmap_dim": theirs.get("cmap_dim") or 0}, "cmap_dim", least=0),
        )


def _group_of(discriminator: StoredNetwork) -> int:
    """Return how many pictures the deviation is taken of; 0: the batch."""
    name = "mbstd_group_size"
    group = part(discriminator.settings, "epilogue_kwargs").get(name, _USUAL_GROUP)
    for layer, own in (("b4", name), ("b4.mbstd", "group_size")):
        if layer in discriminator.layers:
            kept = discriminator.layers[layer]
            group = {**kept.settings, **kept.attributes}.get(own, group)
    return 0 if group is None else _whole({name: group}, name)


def _usual_clamp(generator: StoredNetwork, backbone: str) -> Any:
    """Return the clamp of a generator whose layers do not say theirs."""
    usual = None if backbone == "stylegan2" else FILTERED_CLAMP
    return settings_of_synthesis(generator).get("conv_clamp", usual)


def _not_one(role: str, name: str, found: Mapping[Any, str], *, none: bool) -> list[str]:
    """Return what is wrong with a value that all layers have to have in common."""
    if len(found) > 1:
        some = list(found.items())[:_SHOWN]
        each = ", ".join(f"{described(value)} in {shown(where)}" for value, where in some)
        return [f"its {role} has {name} {each}, where all layers have one"]
    (value,) = found
    possible = type(value) in {int, float} and 0 < value < _LARGEST
    if possible or (none and value is None):
        return []
    return [f"its {role} has {name} {described(value)}, where a positive number is expected"]


def _layers_of_mapping(network: StoredNetwork) -> int:
    names = [name for name in network.tensors if name.startswith("mapping.fc")]
    return len({name.split(".")[1] for name in names})


def _backbone_of(generator: StoredNetwork) -> str:
    if "synthesis.input.freqs" not in generator.tensors:
        return "stylegan2"
    rotates = any(
        name.startswith("synthesis.L0_") and name.endswith(".weight") and tensor.shape[-1:] == (1,)
        for name, tensor in generator.tensors.items()
        if ".affine." not in name
    )
    return "stylegan3r" if rotates else "stylegan3t"


def _problems(sizes: _Sizes) -> list[str]:
    """Return in what the sizes are none of ours."""
    width, most = sizes.factors
    problems: list[str] = []
    if sizes.classes != sizes.critic_classes:
        problems.append("only one of its networks knows its classes")
    if width != most:
        problems.append(
            f"its generator has {width:g} times the width of its discriminator, and {most:g} times "
            "its most channels"
        )
    if sizes.base % sizes.resolution:
        problems.append(f"its {sizes.base} channels do not go evenly into {sizes.resolution} px")
    return problems


def _widths(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the channels of a picture's one row of pixels, and the most of any feature map."""
    return _whole(settings, "channel_base", _USUAL_BASE), _whole(
        settings, "channel_max", _USUAL_MOST
    )


def _whole(
    settings: Mapping[str, Any], name: str, usual: int | None = None, *, least: int = 1
) -> int:
    """Return a setting that is a whole number.

    Raises:
        ValueError: It is missing, or is none.
    """
    value = settings.get(name, usual)
    whole = type(value) is int or (type(value) is float and value.is_integer())
    if not whole or not least <= value <= _LARGEST:
        said = "is missing" if value is None else f"is {described(value)}"
        raise ValueError(f"{name} {said}, where a number from {least} to {_LARGEST} is expected")
    return int(value)
