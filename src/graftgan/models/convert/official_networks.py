"""From an official StyleGAN pickle to a pair of networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from graftgan.checkpoints import StoredNetwork, read_official
from graftgan.core.errors import CheckpointError, shown
from graftgan.core.network_types import Architecture, StyleArchitecture
from graftgan.models.convert.layouts import LICENCE, Found
from graftgan.models.convert.official_layers import (
    DISCRIMINATOR_PLACES,
    GENERATOR_PLACES,
    clamps_in,
    described,
    known_layers,
    part,
    problems_of_layers,
    rates_in,
    settings_of_synthesis,
)
from graftgan.networks.backbone import blank_pair
from graftgan.networks.stylegan.stylegan3 import FILTERED_CLAMP

_USUAL_BASE, _USUAL_MOST, _USUAL_GROUP = 32768, 512, 4
_LARGEST = 1 << 20  # of any length
_SHOWN = 6
_LICENCE = f"{LICENCE}; NVIDIA's own networks are under NVIDIA's licence, for non-commercial use"


def pair_of_official(file: Path) -> Found:
    """Return the averaged generator and the discriminator of an official pickle.

    No code in the file is run. Raises CheckpointError: the file cannot be used, for the reason in
    the message.
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
    """Return the architecture of stored networks; CheckpointError says why it is not ours."""
    try:
        sizes = _Sizes.of(generator, discriminator)
    except ValueError as error:
        raise CheckpointError(
            f"the settings of the networks in {file} are not as the official programs store them: "
            f"{error}"
        ) from None
    backbone = _backbone_of(generator)
    stored = {"generator": generator, "discriminator": discriminator}
    usual = None if backbone == "stylegan2" else FILTERED_CLAMP
    otherwise = {  # the clamps of a network whose layers store none
        "generator": settings_of_synthesis(generator).get("conv_clamp", usual),
        "discriminator": discriminator.settings.get("conv_clamp"),
    }
    clamps = {role: clamps_in(network, otherwise[role]) for role, network in stored.items()}
    rates = {role: rates_in(network) for role, network in stored.items()}
    problems = _problems(sizes)
    for role, values in clamps.items():
        problems += _not_one(role, "conv_clamp", values, none=True)
    for role, values in rates.items():
        problems += _not_one(role, "lr_multiplier", values, none=False)
    _refuse(file, problems)
    clamp, generator_clamp, rate, generator_rate = (
        float(next(iter(found[role])) or 0.0)
        for found in (clamps, rates)
        for role in ("discriminator", "generator")
    )
    implied = clamp if backbone == "stylegan2" else FILTERED_CLAMP
    style = StyleArchitecture(
        style_size=sizes.style,
        mapping_layers=_layers_of_mapping(generator),
        mapping_rate=generator_rate,
        most_channels=sizes.most,
        clamp=clamp,
        generator_clamp=None if generator_clamp == implied else generator_clamp,
        minibatch_group=sizes.group,
        generator_factor=sizes.factors[0],
        residual=discriminator.settings.get("architecture", "resnet") == "resnet",
    )
    if sizes.classes:
        features = min(sizes.base // 4, sizes.most)
        style = replace(
            style,
            direction_layers=_layers_of_mapping(discriminator),
            direction_rate=rate,
            direction_size=0 if sizes.directions in (0, features) else sizes.directions,
        )
    architecture = Architecture(
        backbone=backbone,
        resolution=sizes.resolution,
        channels=sizes.channels,
        latent_size=sizes.latent,
        width=sizes.base // sizes.resolution,
        generator_normalisation="none",
        discriminator_normalisation="none",
        classes=tuple(str(number) for number in range(sizes.classes)),
        style=style,
    )
    with torch.device("meta"):  # a file could ask for networks that do not fit into memory
        pair = blank_pair(architecture)
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
    """Return a problem for each mean square that is not finite and positive."""
    return [
        f"its generator has {shown(name)} {values.flatten()[:1].tolist()}, where a finite positive "
        "number is expected"
        for name, tensor in generator.tensors.items()
        if name.endswith(".magnitude_ema")
        if not ((values := tensor.float()) > 0).logical_and(values.isfinite()).all()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    resolution: int
    channels: int
    latent: int
    style: int
    classes: int
    critic_classes: int  # of the discriminator
    base: int
    most: int
    factors: tuple[float, ...]  # generator over discriminator, of width and of most channels
    group: int
    directions: int  # length of a class's direction; 0: not stored

    @classmethod
    def of(cls, generator: StoredNetwork, discriminator: StoredNetwork) -> "_Sizes":
        ours, theirs = _own(generator, GENERATOR_PLACES), _own(discriminator, DISCRIMINATOR_PLACES)
        synthesis = _widths(settings_of_synthesis(generator))
        base, most = _widths(theirs)
        return cls(
            resolution=_whole(ours, "img_resolution"),
            channels=_whole(ours, "img_channels", 3),
            latent=_whole(ours, "z_dim"),
            style=_whole(ours, "w_dim"),
            classes=_whole(ours, "c_dim", 0, least=0),
            critic_classes=_whole(theirs, "c_dim", 0, least=0),
            base=base,
            most=most,
            factors=(synthesis[0] / base, synthesis[1] / most),
            group=_group_of(discriminator),
            directions=_whole({"cmap_dim": theirs.get("cmap_dim") or 0}, "cmap_dim", least=0),
        )


def _group_of(discriminator: StoredNetwork) -> int:
    """Return the size of minibatch groups; 0: the batch."""
    name = "mbstd_group_size"
    group = part(discriminator.settings, "epilogue_kwargs").get(name, _USUAL_GROUP)
    for layer, own in (("b4", name), ("b4.mbstd", "group_size")):
        if layer in discriminator.layers:
            kept = discriminator.layers[layer]
            group = {**kept.settings, **kept.attributes}.get(own, group)
    return 0 if group is None else _whole({name: group}, name)


def _own(network: StoredNetwork, places: Sequence[str]) -> dict[str, Any]:
    whole = network.layers[""]
    given = dict(zip(places, whole.arguments, strict=False))
    return {**whole.attributes, **given, **network.settings}


def _not_one(role: str, name: str, found: Mapping[Any, str], *, none: bool) -> list[str]:
    """Return the problems of a value that all layers must share."""
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
    """Return the channels times the side, and the maximum channels of a feature map."""
    base = _whole(settings, "channel_base", _USUAL_BASE)
    return base, _whole(settings, "channel_max", _USUAL_MOST)


def _whole(
    settings: Mapping[str, Any], name: str, usual: int | None = None, *, least: int = 1
) -> int:
    value = settings.get(name, usual)
    whole = type(value) is int or (type(value) is float and value.is_integer())
    if not whole or not least <= value <= _LARGEST:
        said = "is missing" if value is None else f"is {described(value)}"
        raise ValueError(f"{name} {said}, where a number from {least} to {_LARGEST} is expected")
    return int(value)
