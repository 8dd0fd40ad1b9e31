"""The registry of backbones, and what can be added to one: a mapper in front, and classes."""

from collections.abc import Callable, Mapping
from collections.abc import Generator as AbcGenerator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    CLASS_LAYER,
    MAPPER_LAYER,
    NO_MAPPER,
    PROJECTION_LAYER,
    Architecture,
    ClassWeights,
    Discriminator,
    Generator,
    Images,
    Latents,
    Layers,
    Logits,
    NetworkPair,
    Steps,
    StyleArchitecture,
    StyledGenerator,
    Styles,
)
from graftgan.core.registry import Registry
from graftgan.core.settings import parse
from graftgan.networks.blocks import start_by_fan_in

S = TypeVar("S")
Affine = tuple[Tensor, Tensor]  # scale and shift, (b, c) each
Norm = nn.BatchNorm2d | nn.GroupNorm


@dataclass(frozen=True, slots=True)
class Backbone:
    """A kind of network pair."""

    build: Callable[[Architecture, torch.Generator], NetworkPair]  # with fresh weights
    normalisation: str  # the default
    discriminator_normalisation: str | None = None  # the default; None: as in the generator
    autoencodes: bool = False  # whether its discriminator is an auto-encoder
    settings: Any = None  # its own settings beside the common ones, a frozen dataclass of defaults
    objective: str = "hinge"  # of its authors
    mixes_styles: bool = False  # whether its authors mix styles and regularize path lengths
    bounded: bool = True  # whether its generator stays in [-1, 1]; else its images are clamped

    @property
    def style(self) -> StyleArchitecture | None:
        """The default ``Architecture.style``; None: it has no styles."""
        return self.settings if isinstance(self.settings, StyleArchitecture) else None


BACKBONES: Registry[Backbone] = Registry("backbone")
MAPPERS: Registry[Callable[[int, torch.Generator], nn.Module]] = Registry("mapper")
"""Maps from draws of N(0, I) to the generator's latents, by latent size and random generator.

Some transfer methods change which latents are drawn instead of the generator. A mapper is the
generator's first layer, so that everything else works as without one.
"""


def own_fields(name: str, given: Mapping[str, Any], usual: Any = None) -> dict[str, Any]:
    """Return the fields of an ``Architecture`` that hold the backbone's own settings.

    ``given`` replace those in ``usual``, by default the backbone's. Raises SettingsError: the
    backbone has no such setting, or does not accept its value.
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
    """Return the backbone's own settings as ``kind``; SettingsError if they do not fit."""
    return parse(kind, dict(architecture.own), where=f"the settings of {architecture.backbone}")


def build_pair(architecture: Architecture, rng: torch.Generator | None = None) -> NetworkPair:
    """Build the pair that ``architecture`` describes; without ``rng`` from a fixed seed.

    Raises SettingsError: the backbone or a normalisation is unknown, or the resolution does not
    fit.
    """
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    backbone = BACKBONES[architecture.backbone]
    own_fields(architecture.backbone, architecture.own)  # raises for those of another backbone
    bare = replace(architecture, mapper=NO_MAPPER)
    if backbone.style is None:  # networks with styles have their own kind of classes
        bare = replace(bare, classes=())
    return surrounded(backbone.build(bare, rng), architecture, rng)


def blank_pair(architecture: Architecture) -> NetworkPair:
    """Build the pair as ``build_pair`` does, with uninitialised weights.

    Memory that is never written is never allocated, so that loading needs it only once.
    """
    with _Undrawn():
        return build_pair(architecture)


class _Undrawn(TorchFunctionMode):
    """Skips filling tensors with random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        # nn.Linear and nn.Conv2d call these; calls inside them do not come through this mode.
        if func in (nn.init.kaiming_uniform_, nn.init.uniform_):
            return (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def surrounded(pair: NetworkPair, architecture: Architecture, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` with the architecture's mapper and classes; SettingsError: it has others."""
    known = pair.architecture
    if known.classes and known.mapper != architecture.mapper:
        raise SettingsError(
            f"the source has classes, so it cannot take a mapper; leave mapper out, "
            f"or use '{architecture.mapper}' with a source without classes"
        )
    pair = behind_mapper(pair, architecture.mapper, rng)
    return with_classes(pair, architecture.classes)


class MappedGenerator(Generator):
    """A generator behind a mapper, which is its first layer."""

    def __init__(self, inner: Generator, mapper: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapper = mapper
        self.inner = inner

    def layers(self) -> Layers:
        """Return ``mapper`` and the layers of the generator behind it."""
        return {MAPPER_LAYER: self.mapper, **self.inner.layers()}

    def steps(self) -> Steps:
        """Return the mapper and the steps of the generator behind it."""
        return {MAPPER_LAYER: self.mapper, **self.inner.steps()}

    def forward(self, latents: Latents) -> Images:
        """Map draws (b, z) from N(0, I) to images (b, c, h, w) in [-1, 1]."""
        return self.inner(self.mapper(latents))

    def in_training(self, latents: Latents, rng: torch.Generator) -> Images:
        """Map draws to images with fresh noise, if the generator has any."""
        return self.inner.in_training(self.mapper(latents), rng)


class MappedStyledGenerator(MappedGenerator, StyledGenerator):
    """A generator with styles behind a mapper."""

    inner: StyledGenerator

    @property
    def mean_style(self) -> Tensor:
        """The mean (w,) of the styles of latents seen in training."""
        return self.inner.mean_style

    def styles(self, latents: Latents) -> Styles:
        """Map draws (b, z) to styles (b, n, w)."""
        return self.inner.styles(self.mapper(latents))

    def synthesize(self, styles: Styles, rng: torch.Generator | None = None) -> Images:
        """Map styles (b, n, w) to images."""
        return self.inner.synthesize(styles, rng)


class AffineMap(nn.Module):
    """z = mean + factor u: draws from N(mean, factor factor^T). It starts as the identity."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("factor", torch.eye(size))
        self.mean: Tensor
        self.factor: Tensor

    def forward(self, draws: Latents) -> Latents:
        """Map draws (b, z) to latents (b, z)."""
        return torch.addmm(self.mean, draws, self.factor.T)


class Miner(nn.Module):
    """z = u + V relu(W u + a) + b, which learns where in the latent space to draw from.

    Source: MineGAN (Wang et al. 2020, arXiv:1912.05270), whose code has two linear layers of the
    latent's size with a ReLU between. Differs: there z is the network's output, initialised
    randomly; here it is added to the draw and V starts at zero, so that the first pictures are
    exactly the source's.
    """

    def __init__(self, size: int, rng: torch.Generator) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.shift = nn.Linear(size, size)
        start_by_fan_in(self.hidden, rng)  # keeps the size of the draws, so that V learns at once
        for parameter in self.shift.parameters():
            nn.init.zeros_(parameter)

    def forward(self, draws: Latents) -> Latents:
        """Map draws (b, z) to latents (b, z)."""
        return draws + self.shift(torch.relu(self.hidden(draws)))


MAPPERS.register(NO_MAPPER)(lambda _size, _rng: nn.Identity())
MAPPERS.register("affine")(lambda size, _rng: AffineMap(size))
MAPPERS.register("miner")(Miner)


def behind_mapper(pair: NetworkPair, name: str, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` behind the mapper ``name``; SettingsError: it has another one already."""
    mapped = MAPPER_LAYER in pair.generator.layers()
    present = pair.architecture.mapper if mapped else NO_MAPPER
    if name == present:
        return pair
    if present != NO_MAPPER:
        raise SettingsError(
            f"the generator already has the mapper '{present}', which '{name}' cannot "
            "replace; choose another source"
        )
    architecture = replace(pair.architecture, mapper=name)
    mapper = MAPPERS[name](architecture.latent_size, rng)
    pair.discriminator.architecture = architecture
    styled = isinstance(pair.generator, StyledGenerator)
    mapped_kind = MappedStyledGenerator if styled else MappedGenerator
    return NetworkPair(mapped_kind(pair.generator, mapper, architecture), pair.discriminator)


class ClassAffine(nn.Module):
    """A scale and a shift of every channel for each class, initially 1 and 0."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(classes, channels))
        self.shift = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, classes: ClassWeights) -> Affine:
        """Return the scales and shifts (b, c) of pictures of ``classes`` (b, k)."""
        with torch.autocast(classes.device.type, enabled=False):  # as exact as the parameters
            return classes @ self.scale, classes @ self.shift


class ClassAffines(nn.Module):
    """The scales and shifts of all normalisations of a generator."""

    def __init__(self, classes: int, norms: Mapping[str, Norm]) -> None:
        super().__init__()
        self.affines = nn.ModuleDict(
            {name: ClassAffine(classes, len(norm.weight)) for name, norm in norms.items()}
        )

    def forward(self, classes: ClassWeights) -> dict[str, Affine]:
        """Return scales and shifts by the name of the normalisation."""
        return {name: affine(classes) for name, affine in self.affines.items()}


class ConditionalGenerator(Generator):
    """A generator whose normalised features are scaled and shifted by the picture's class.

    Source: conditional batch normalisation (de Vries et al. 2017, arXiv:1707.00683; Dumoulin et al.
    2017, arXiv:1610.07629): gamma_y * xhat + beta_y. Differs: s_y * (gamma * xhat + beta) + t_y,
    which keeps the normalisation's gamma and beta. It represents the same functions unless gamma is
    zero, starts as the network without classes, and leaves gamma and beta to the plan.
    """

    def __init__(self, inner: Generator, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.inner = inner
        self.classes = ClassAffines(len(architecture.classes), _norms(inner))

    def layers(self) -> Layers:
        """Return ``classes`` and the layers of the generator inside."""
        return {CLASS_LAYER: self.classes, **self.inner.layers()}

    def forward(self, latents: Latents) -> Images:
        """Map latents with class weights (b, z + k) to images (b, c, h, w) in [-1, 1].

        Raises SettingsError: the latents have another length, such as that without classes.
        """
        size, classes = self.architecture.latent_size, self.architecture.classes
        if latents.shape[1] != size + len(classes):
            raise SettingsError(
                f"this generator draws {len(classes)} classes ({', '.join(classes)}) and takes "
                f"latents of length {size} + {len(classes)}, got {latents.shape[1]}; "
                "Architecture.with_labels appends the classes"
            )
        affines = self.classes(latents[:, size:])
        with _applied(affines, _norms(self.inner)):
            return self.inner(latents[:, :size])


class ClassProjection(nn.Module):
    """A direction in feature space for each class, initially zero."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.zeros(classes, features))

    def forward(self, features: Tensor, classes: ClassWeights) -> Logits:
        """Return <V y, h> (b,) for features h (b, f) and classes y (b, k)."""
        with torch.autocast(features.device.type, enabled=False):
            return (features.float() * (classes @ self.directions)).sum(dim=1)


class ConditionalDiscriminator(Discriminator):
    """A discriminator that judges whether a picture is real *and* of its class.

    Source: the projection discriminator (Miyato and Koyama 2018, arXiv:1802.05637, eq. 3-4): the
    score is psi(h) + <V y, h>, where h is the input of the last linear layer psi. Differs: none; h
    is this backbone's flattened feature map, not its sum over positions.
    """

    def __init__(self, inner: Discriminator, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.inner = inner
        features = _score_of(inner).in_features
        self.projection = ClassProjection(len(architecture.classes), features)

    def layers(self) -> Layers:
        """Return the layers of the discriminator inside, and ``projection``."""
        return {**self.inner.layers(), PROJECTION_LAYER: self.projection}

    def forward(self, images: Images, classes: ClassWeights | None = None) -> Logits:
        """Map images (b, c, h, w) and their classes (b, k) to logits (b,).

        Without classes the score is psi alone: how real the images are, of any class.
        """
        if classes is None:
            return self.inner(images)
        seen: list[Tensor] = []
        hook = _score_of(self.inner).register_forward_pre_hook(lambda _, given: seen.extend(given))
        try:
            logits = self.inner(images)
        finally:
            hook.remove()
        return logits + self.projection(seen.pop(), classes)

    def conditioned_on(self, classes: ClassWeights | None) -> Callable[[Images], Logits]:
        """Return the critic of pictures of ``classes``."""
        return partial(self, classes=classes)


def with_classes(pair: NetworkPair, classes: tuple[str, ...]) -> NetworkPair:
    """Return ``pair`` with ``classes``, unless it has them already.

    Each class gets a scale and a shift of the generator's features, and a direction in those of the
    discriminator. They are separate layers, so that classes can differ even if a plan freezes the
    source's layers. At first a pair trained without classes computes for every class exactly what
    it did before. Raises SettingsError: the pair has other classes, or nothing that classes could
    act on.
    """
    present = pair.architecture.classes
    if present == classes:
        return pair
    if present:
        raise SettingsError(
            f"the source draws the classes {', '.join(present)} and cannot take others "
            f"({', '.join(classes) or 'none'}); give the same ones, or choose another source"
        )
    if pair.architecture.style is not None:
        raise SettingsError(
            f"{pair.architecture.backbone} learns classes from the start, and the source was "
            "trained without any; leave --labels out, or choose a source with these classes"
        )
    architecture = replace(pair.architecture, classes=classes)
    return NetworkPair(
        ConditionalGenerator(pair.generator, architecture),
        ConditionalDiscriminator(pair.discriminator, architecture),
    )


def _norms(generator: Generator) -> dict[str, Norm]:
    """Return the normalisations of a generator by layer name, numbered within a layer."""
    found = {
        name if number == 0 else f"{name}_{number}": norm
        for name, layer in generator.layers().items()
        for number, norm in enumerate(part for part in layer.modules() if isinstance(part, Norm))
    }
    if not found:
        raise SettingsError(
            f"{generator.architecture.backbone} has no normalisation in its generator, which "
            "classes act on; take dcgan with batch, instance or layer normalisation, or leave "
            "--labels out"
        )
    return found


def _score_of(discriminator: Discriminator) -> nn.Linear:
    *_, last = discriminator.layers().values()
    found = [part for part in last.modules() if isinstance(part, nn.Linear)]
    if not found or found[-1].out_features != 1:
        raise SettingsError(
            f"the discriminator of {discriminator.architecture.backbone} does not end in a linear "
            "layer, which classes act on; leave --labels out"
        )
    return found[-1]


@contextmanager
def _applied(affines: Mapping[str, Affine], norms: Mapping[str, Norm]) -> AbcGenerator[None]:
    """Scale and shift the output of the normalisations within the context.

    Temporary hooks leave the backbone unchanged: plans, copies and files see the same modules with
    and without classes.
    """

    def hook(_module: object, _input: object, features: Tensor, *, affine: Affine) -> Tensor:
        scale, shift = (part[:, :, None, None].to(features.dtype) for part in affine)
        return torch.addcmul(shift, scale, features)

    handles = [
        norm.register_forward_hook(partial(hook, affine=affines[name]))
        for name, norm in norms.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
