"""The list of backbones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import NO_MAPPER, Architecture, NetworkPair, StyleArchitecture
from graftgan.core.registry import Registry
from graftgan.core.settings import parse
from graftgan.networks.class_conditional import with_classes
from graftgan.networks.mapper import behind_mapper

S = TypeVar("S")


class BackboneBuilder(Protocol):
    """Builds a network pair with fresh weights drawn from ``rng``."""

    def __call__(self, architecture: Architecture, rng: torch.Generator) -> NetworkPair:
        """Build the pair."""
        ...


@dataclass(frozen=True, slots=True)
class Backbone:
    """A kind of network pair.

    Attributes:
        build: Makes one.
        normalisation: What its networks use where the settings say nothing.
        discriminator_normalisation: The same for its discriminator alone; None: as the generator.
        autoencodes: Whether its discriminator is an auto-encoder.
        settings: Its own settings beside the common ones, a frozen dataclass, as they usually are.
        objective: What its authors train it with.
        mixes_styles: Whether they mix styles and hold path lengths as they do.
        bounded: Whether its generator keeps to [-1, 1]; else what lies outside is cut when drawn.
    """

    build: BackboneBuilder
    normalisation: str
    discriminator_normalisation: str | None = None
    autoencodes: bool = False
    settings: Any = None
    objective: str = "hinge"
    mixes_styles: bool = False
    bounded: bool = True

    @property
    def style(self) -> StyleArchitecture | None:
        """The usual ``Architecture.style``; None: it has no styles."""
        return self.settings if isinstance(self.settings, StyleArchitecture) else None


BACKBONES: Registry[Backbone] = Registry("backbone")


def own_fields(name: str, given: Mapping[str, Any], usual: Any = None) -> dict[str, Any]:
    """Return what an ``Architecture`` says of a backbone's own settings.

    Args:
        name: Of the backbone.
        given: Its settings, as far as they are given.
        usual: The others; None: as the backbone usually has them.

    Raises:
        SettingsError: One is not of this backbone, or has a value that it does not take.
    """
    settings = usual or BACKBONES[name].settings
    known = set() if settings is None else {field.name for field in fields(settings)}
    foreign = [setting for setting in given if setting not in known]
    if foreign:
        takers = [n for n, b in BACKBONES.items() if b.settings and hasattr(b.settings, foreign[0])]
        raise SettingsError(
            f"{name} has no setting {' or '.join(foreign)}; leave it out"
            + (f", or take the backbone {' or '.join(takers)}" if takers else "")
        )
    if settings is None:
        return {}
    settings = replace(settings, **given)
    is_styled = isinstance(settings, StyleArchitecture)
    return {"style": settings} if is_styled else {"own": asdict(settings)}


def own_settings(architecture: Architecture, kind: type[S]) -> S:
    """Return the settings of the architecture's backbone, which are of ``kind``.

    Raises:
        SettingsError: What the architecture says does not fit them.
    """
    return parse(kind, dict(architecture.own), where=f"the settings of {architecture.backbone}")


def build_pair(architecture: Architecture, rng: torch.Generator | None = None) -> NetworkPair:
    """Build the pair that ``architecture`` describes; without ``rng`` from a fixed seed.

    Raises:
        SettingsError: The backbone or a normalisation is unknown, or the resolution does not fit.
    """
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    backbone = BACKBONES[architecture.backbone]
    own_fields(architecture.backbone, architecture.own)  # refuses those of another
    bare = replace(architecture, mapper=NO_MAPPER)
    if backbone.style is None:  # networks with styles have classes of their own
        bare = replace(bare, classes=())
    pair = backbone.build(bare, rng)
    return surrounded(pair, architecture, rng)


def blank_pair(architecture: Architecture) -> NetworkPair:
    """Build the pair for weights that are at hand: its own are whatever lay in the memory.

    Memory that nobody wrote takes none of the machine's, which a draw would.

    Raises:
        SettingsError: As ``build_pair`` does.
    """
    with _Undrawn():
        return build_pair(architecture)


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are that would be filled with random numbers."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        # What nn.Linear and nn.Conv2d start with; inside of it this mode is not asked again.
        if func in (nn.init.kaiming_uniform_, nn.init.uniform_):
            return (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def surrounded(pair: NetworkPair, architecture: Architecture, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` with what ``architecture`` puts around a backbone, fresh unless it has it.

    Raises:
        SettingsError: The pair has another mapper or other classes, or has classes and no map.
    """
    known = pair.architecture
    if known.classes and known.mapper != architecture.mapper:
        raise SettingsError(
            f"the source has classes, which no mapper can be put behind; leave mapper out, "
            f"or put '{architecture.mapper}' on a source without classes"
        )
    pair = behind_mapper(pair, architecture.mapper, rng)
    return with_classes(pair, architecture.classes)
