"""Settings of the networks."""

from dataclasses import dataclass, fields
from typing import Annotated

from graftgan.core.registry import NamesDoc
from graftgan.core.settings import all_optional, parts_of, strict
from graftgan.networks.backbone import BACKBONES, MAPPERS
from graftgan.networks.blocks import NORMALISATIONS


@dataclass(frozen=True, kw_only=True)
class CommonNetworkSettings:
    """Settings that every backbone has."""

    resolution: int | None = None
    """Height and width of the pictures, in pixels."""
    width: int | None = None
    """Channels of the widest feature map."""
    latent_size: int | None = None
    """Length of the latent vector."""
    generator_normalisation: Annotated[str | None, NamesDoc("{}.", NORMALISATIONS)] = None
    discriminator_normalisation: Annotated[
        str | None,
        NamesDoc("{}; wgan_gp takes layer, as batch breaks its penalty.", NORMALISATIONS),
    ] = None
    mapper: Annotated[
        str | None,
        NamesDoc("What draws pass before the generator: {}; some methods need one.", MAPPERS),
    ] = None
    classes: tuple[str, ...] | None = None
    """The classes, in alphabetical order; --labels folders finds them, and checks those given."""


_KINDS = dict.fromkeys(type(b.settings) for b in BACKBONES.values() if b.settings is not None)
_PARTS = parts_of(
    {kind.__name__: all_optional(kind) for kind in _KINDS} | {"all": CommonNetworkSettings}
)


@strict
@dataclass(frozen=True, kw_only=True)
class NetworkSettings(*_PARTS):  # pyright: ignore[reportUntypedBaseClass]
    """The networks. By default they are the source's, or those of the backbone."""


OWN_SETTINGS = tuple(field.name for kind in _KINDS for field in fields(kind))
"""The settings that only some backbones have."""
