"""One pair for several classes of pictures.

Each class has a scale and a shift of the generator's features, and a direction in those of the
discriminator. Both are wrappers, so that any backbone with normalised layers can take classes, and
both start without effect: a pair that was trained without classes gives for every class exactly
what it gave before. What belongs to the classes is a layer of its own in either network, so that a
plan can freeze the layers of the source and the classes can differ all the same.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Generator as AbcGenerator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    CLASS_LAYER,
    PROJECTION_LAYER,
    Architecture,
    Discriminator,
    Generator,
    Layers,
    NetworkPair,
)
from graftgan.core.tensors import ClassWeights, Images, Latents, Logits

Affine = tuple[Tensor, Tensor]  # scale and shift, (b, c) each
Norm = nn.BatchNorm2d | nn.GroupNorm


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
        affines = {name: ClassAffine(classes, _channels(norm)) for name, norm in norms.items()}
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

        Raises:
            SettingsError: The latents have another length, such as that without classes.
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
        with _reading_input(_score_of(self.inner), seen):
            logits = self.inner(images)
        return logits + self.projection(seen.pop(), classes)

    def __call__(self, images: Images, classes: ClassWeights | None = None) -> Logits:
        """Run the network."""
        return nn.Module.__call__(self, images, classes)

    def conditioned_on(self, classes: ClassWeights | None) -> Callable[[Images], Logits]:
        """Return the critic of pictures of ``classes``."""
        return partial(self, classes=classes)


def with_classes(pair: NetworkPair, classes: tuple[str, ...]) -> NetworkPair:
    """Return ``pair`` for ``classes``, which start all alike, unless it has them already.

    Raises:
        SettingsError: The pair has other classes, or nothing that classes could act on.
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
    """Return the normalisations of a generator by their layer's name.

    Raises:
        SettingsError: There is none.
    """
    found = dict(_numbered_norms(generator))
    if not found:
        raise SettingsError(
            f"{generator.architecture.backbone} has no normalisation in its generator, which "
            "classes act on; take dcgan with batch, instance or layer normalisation, or leave "
            "--labels out"
        )
    return found


def _numbered_norms(generator: Generator) -> Iterator[tuple[str, Norm]]:
    for name, layer in generator.layers().items():
        norms = [part for part in layer.modules() if isinstance(part, Norm)]
        for number, norm in enumerate(norms):
            yield (name if number == 0 else f"{name}_{number}"), norm


def _channels(norm: Norm) -> int:
    return norm.num_features if isinstance(norm, nn.BatchNorm2d) else norm.num_channels


def _score_of(discriminator: Discriminator) -> nn.Linear:
    """Return the linear layer that ends a discriminator.

    Raises:
        SettingsError: It ends otherwise.
    """
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


@contextmanager
def _reading_input(module: nn.Module, into: list[Tensor]) -> AbcGenerator[None]:
    """Keep what ``module`` takes in the pass that happens meanwhile."""

    def read(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        del module
        into[:] = given

    handle = module.register_forward_pre_hook(read)
    try:
        yield
    finally:
        handle.remove()
