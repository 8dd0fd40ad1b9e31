"""The registry of backbones, and what is put around one: a mapper in front, classes inside."""

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
    """A kind of network pair.

    Attributes:
        build: Makes one, with fresh weights drawn from a random generator.
        normalisation: What its networks use where the settings say nothing.
        discriminator_normalisation: The same for its discriminator alone; None: as the generator.
        autoencodes: Whether its discriminator is an auto-encoder.
        settings: Its own settings beside the common ones, a frozen dataclass, as they usually are.
        objective: What its authors train it with.
        mixes_styles: Whether they mix styles and hold path lengths as they do.
        bounded: Whether its generator keeps to [-1, 1]; else what lies outside is cut when drawn.
    """

    build: Callable[[Architecture, torch.Generator], NetworkPair]
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
MAPPERS: Registry[Callable[[int, torch.Generator], nn.Module]] = Registry("mapper")
"""Maps from a draw of N(0, I) to the latent that a generator takes, by size and random generator.

Some methods of transfer do not change how the generator draws but which of its latents are drawn.
A mapper is the generator's first layer, so that all else works as it does without one.
"""


def own_fields(name: str, given: Mapping[str, Any], usual: Any = None) -> dict[str, Any]:
    """Return what an ``Architecture`` says of the backbone's own settings.

    ``given`` are some of them, ``usual`` the others; None: as the backbone usually has them. Raises
    SettingsError: one is not of this backbone, or has a value that it does not take.
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
    """Return the backbone's own settings, of ``kind``; SettingsError where they do not fit."""
    return parse(kind, dict(architecture.own), where=f"the settings of {architecture.backbone}")


def build_pair(architecture: Architecture, rng: torch.Generator | None = None) -> NetworkPair:
    """Build the pair that ``architecture`` describes; without ``rng`` from a fixed seed.

    Raises SettingsError: the backbone or a normalisation is unknown, or the resolution does not
    fit.
    """
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    backbone = BACKBONES[architecture.backbone]
    own_fields(architecture.backbone, architecture.own)  # refuses those of another
    bare = replace(architecture, mapper=NO_MAPPER)
    if backbone.style is None:  # networks with styles have classes of their own
        bare = replace(bare, classes=())
    return surrounded(backbone.build(bare, rng), architecture, rng)


def blank_pair(architecture: Architecture) -> NetworkPair:
    """Build the pair as ``build_pair`` does, for weights that are at hand.

    Its own are whatever lay in the memory; memory that nobody wrote takes none of the machine's.
    """
    with _Undrawn():
        return build_pair(architecture)


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are that would be filled with random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        # What nn.Linear and nn.Conv2d start with; inside of it this mode is not asked again.
        if func in (nn.init.kaiming_uniform_, nn.init.uniform_):
            return (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def surrounded(pair: NetworkPair, architecture: Architecture, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` with that mapper and those classes; SettingsError where it has others."""
    known = pair.architecture
    if known.classes and known.mapper != architecture.mapper:
        raise SettingsError(
            f"the source has classes, which no mapper can be put behind; leave mapper out, "
            f"or put '{architecture.mapper}' on a source without classes"
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
        """Return the map and the steps of the generator behind it."""
        return {MAPPER_LAYER: self.mapper, **self.inner.steps()}

    def forward(self, latents: Latents) -> Images:
        """Map draws (b, z) from N(0, I) to images (b, c, h, w) in [-1, 1]."""
        return self.inner(self.mapper(latents))

    def in_training(self, latents: Latents, rng: torch.Generator) -> Images:
        """Map draws to images with the noise of the generator behind the map."""
        return self.inner.in_training(self.mapper(latents), rng)


class MappedStyledGenerator(MappedGenerator, StyledGenerator):
    """The same for a generator with styles."""

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

    Source: MineGAN (Wang et al. 2020, arXiv:1912.05270), whose code has linear, ReLU and linear of
    the latent's size. Differs: there z is the network's output and the start is random; here it is
    added to the draw and V starts at zero, so that the first pictures are exactly the source's.
    """

    def __init__(self, size: int, rng: torch.Generator) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.shift = nn.Linear(size, size)
        start_by_fan_in(self.hidden, rng)  # as large as the draws, for V to learn from at once
        for start in (self.shift.weight, self.shift.bias):
            nn.init.zeros_(start)

    def forward(self, draws: Latents) -> Latents:
        """Map draws (b, z) to latents (b, z)."""
        return draws + self.shift(torch.relu(self.hidden(draws)))


MAPPERS.register(NO_MAPPER)(lambda _size, _rng: nn.Identity())
MAPPERS.register("affine")(lambda size, _rng: AffineMap(size))
MAPPERS.register("miner")(Miner)


def behind_mapper(pair: NetworkPair, name: str, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` behind the mapper ``name``; SettingsError where it has another already."""
    mapped = MAPPER_LAYER in pair.generator.layers()
    present = pair.architecture.mapper if mapped else NO_MAPPER
    if name == present:
        return pair
    if present != NO_MAPPER:
        raise SettingsError(
            f"the generator stands behind the mapper '{present}', which '{name}' cannot "
            "replace; choose another source"
        )
    architecture = replace(pair.architecture, mapper=name)
    mapper = MAPPERS[name](architecture.latent_size, rng)
    pair.discriminator.architecture = architecture
    styled = isinstance(pair.generator, StyledGenerator)
    mapped_kind = MappedStyledGenerator if styled else MappedGenerator
    return NetworkPair(mapped_kind(pair.generator, mapper, architecture), pair.discriminator)


class ClassAffine(nn.Module):
    """One scale and one shift of every channel for each class, from 1 and 0."""

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
        affines = {
            name: ClassAffine(
                classes,
                norm.num_features if isinstance(norm, nn.BatchNorm2d) else norm.num_channels,
            )
            for name, norm in norms.items()
        }
        self.affines = nn.ModuleDict(affines)

    def forward(self, classes: ClassWeights) -> dict[str, Affine]:
        """Return scales and shifts by the name of the normalisation."""
        return {name: affine(classes) for name, affine in self.affines.items()}


class ConditionalGenerator(Generator):
    """A generator whose normalised features are scaled and shifted by the picture's class.

    Source: conditional batch normalisation (de Vries et al. 2017, arXiv:1707.00683; Dumoulin et al.
    2017, arXiv:1610.07629): gamma_y * xhat + beta_y. Differs: s_y * (gamma * xhat + beta) + t_y
    around the normalisation's own gamma and beta, which reaches the same functions where gamma is
    not zero, starts as the network without classes, and leaves gamma and beta to the plan.
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
    """One direction in the features for each class, from zero."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.zeros(classes, features))

    def forward(self, features: Tensor, classes: ClassWeights) -> Logits:
        """Return <V y, h> (b,) for features h (b, f) and classes y (b, k)."""
        with torch.autocast(features.device.type, enabled=False):
            return (features.float() * (classes @ self.directions)).sum(dim=1)


class ConditionalDiscriminator(Discriminator):
    """A discriminator that asks whether a picture is real *and* of its class.

    Source: the projection discriminator (Miyato and Koyama 2018, arXiv:1802.05637, eq. 3-4): the
    score is psi(h) + <V y, h>, with h what the last linear layer psi takes. Differs: none; h is the
    flattened feature map of this backbone, not its sum over places.
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

        Without classes it is psi alone: how real the images are, of whatever class.
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

    def __call__(self, images: Images, classes: ClassWeights | None = None) -> Logits:
        """Run the network."""
        return nn.Module.__call__(self, images, classes)

    def conditioned_on(self, classes: ClassWeights | None) -> Callable[[Images], Logits]:
        """Return the critic of pictures of ``classes``."""
        return partial(self, classes=classes)


def with_classes(pair: NetworkPair, classes: tuple[str, ...]) -> NetworkPair:
    """Return ``pair`` for ``classes``, which start all alike, unless it has them already.

    Each class has a scale and a shift of the generator's features, and a direction in those of the
    discriminator: layers of their own, so that a plan can freeze those of the source and the
    classes differ all the same. A pair that was trained without classes gives for every class
    exactly what it gave before. Raises SettingsError: the pair has other classes, or nothing that
    classes could act on.
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
    """Return the normalisations of a generator by their layer's name, numbered within one."""
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
    """Scale and shift what the normalisations return, for one pass.

    Hooks for the time of a pass leave the backbone as it is: a plan, a copy and a file find the
    same modules with and without classes.
    """

    def hook(module: nn.Module, given: object, features: Tensor, *, affine: Affine) -> Tensor:
        del module, given
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
