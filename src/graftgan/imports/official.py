"""From an official StyleGAN pickle to a pair of networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftgan.checkpoints import StoredNetwork, read_official
from graftgan.errors import CheckpointError
from graftgan.imports.found import LICENCE, Found
from graftgan.networks import Architecture, StyleArchitecture

_USUAL_BASE, _USUAL_MOST, _USUAL_GROUP = 32768, 512, 4
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
    try:
        architecture = architecture_of_official(generator, discriminator, file)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"the settings of the networks in {file} are not as the official programs store them "
            f"({type(error).__name__}: {error})"
        ) from None
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
    """Return the architecture of two stored networks, from their settings and tensors.

    Raises:
        CheckpointError: It is not one of ours; the message says in what.
    """
    ours, theirs = generator.settings, discriminator.settings
    synthesis = {**ours, **_part(ours, "synthesis_kwargs")}
    resolution = int(ours["img_resolution"]) if "img_resolution" in ours else 0
    base, most = _widths(theirs)
    factors = tuple(
        its / other for its, other in zip(_widths(synthesis), (base, most), strict=True)
    )
    form = theirs.get("architecture", "resnet")
    if problems := _problems(ours, theirs, synthesis, resolution, factors):
        raise CheckpointError(f"{file} cannot be used yet: {'; '.join(problems)}")
    mapping = [name for name in generator.tensors if name.startswith("mapping.fc")]
    return Architecture(
        backbone=_backbone_of(generator),
        resolution=resolution,
        channels=int(ours.get("img_channels", 3)),
        latent_size=int(ours["z_dim"]),
        width=base // resolution,
        generator_normalisation="none",
        discriminator_normalisation="none",
        classes=tuple(str(number) for number in range(int(ours.get("c_dim", 0)))),
        style=StyleArchitecture(
            style_size=int(ours["w_dim"]),
            mapping_layers=len({name.split(".")[1] for name in mapping}),
            most_channels=most,
            clamp=float(theirs.get("conv_clamp") or 0.0),
            minibatch_group=int(
                _part(theirs, "epilogue_kwargs").get("mbstd_group_size", _USUAL_GROUP) or 0
            ),
            generator_factor=factors[0],
            residual=form == "resnet",
        ),
    )


def _backbone_of(generator: StoredNetwork) -> str:
    if "synthesis.input.freqs" not in generator.tensors:
        return "stylegan2"
    rotates = any(
        name.startswith("synthesis.L0_") and name.endswith(".weight") and tensor.shape[-1] == 1
        for name, tensor in generator.tensors.items()
        if ".affine." not in name
    )
    return "stylegan3r" if rotates else "stylegan3t"


def _problems(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    synthesis: Mapping[str, Any],
    resolution: int,
    factors: tuple[float, ...],
) -> list[str]:
    """Return in what the networks are none of ours."""
    base, _ = _widths(theirs)
    width, most = factors
    return [
        *(["its pictures have no size"] if resolution < 1 else []),
        *(
            ["only one of its networks knows its classes"]
            if int(ours.get("c_dim", 0)) != int(theirs.get("c_dim", 0))
            else []
        ),
        *(
            [
                f"its generator has {width:g} times the width of its discriminator, and "
                f"{most:g} times its most channels"
            ]
            if width != most
            else []
        ),
        *(
            f"its {role} is of the form '{its}'"
            for role, its, known in (
                ("generator", synthesis.get("architecture", "skip"), {"skip"}),
                ("discriminator", theirs.get("architecture", "resnet"), {"resnet", "orig"}),
            )
            if its not in known
        ),
        *(
            [f"its {base} channels do not go evenly into {resolution} px"]
            if resolution and base % resolution
            else []
        ),
    ]


def _widths(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the channels of a picture's one row of pixels, and the most of any feature map."""
    base, most = settings.get("channel_base", _USUAL_BASE), settings.get("channel_max", _USUAL_MOST)
    return int(base), int(most)


def _part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return settings.get(name) or {}
