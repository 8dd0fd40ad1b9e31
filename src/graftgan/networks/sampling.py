"""Latents, and pictures from a generator."""

import math
from collections.abc import Callable, Sequence
from collections.abc import Generator as AbcGenerator
from contextlib import contextmanager

import torch
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    Architecture,
    Generator,
    Images,
    Latents,
    PictureBytes,
    StyledGenerator,
    class_weights,
    draw_latents,
    to_pictures,
)
from graftgan.core.randomness import Randomness
from graftgan.networks.blocks import evaluation_mode, layers_on_batch_statistics

_MOST = 1_000_000  # pictures at once
CHUNK = 64  # pictures generated at once; padded to this size if a layer uses batch statistics


@torch.no_grad()
def generate(generator: Generator, latents: Latents, *, truncation: float = 1.0) -> PictureBytes:
    """Return the pictures of ``latents`` (n, z) as uint8 (n, c, h, w) on the CPU.

    A picture depends on its latent alone, unless the generator has layers that use the batch's
    statistics; then it depends on all 64 pictures of its chunk. ``truncation`` below 1 moves
    pictures towards the average one, see :func:`truncated`. Raises SettingsError: ``truncation`` is
    negative or not finite.
    """
    draw, known = truncated(generator, truncation), generator.architecture
    device = next(generator.parameters()).device
    follows_batch = bool(layers_on_batch_statistics(generator.layers().items()))
    pictures: list[PictureBytes] = []
    with evaluating(generator):
        for chunk in latents.to(device).split(CHUNK):
            missing = CHUNK - len(chunk) if follows_batch else 0
            rng = Randomness(0).generator("filling of the last chunk")
            filling = draw_latents(missing, known.latent_size, rng, device)
            images = draw(torch.cat([chunk, known.with_labels(filling)]))[: len(chunk)]
            pictures.append(to_pictures(images).cpu())
    return torch.cat(pictures)


def truncated(generator: Generator, truncation: float) -> Callable[[Latents], Images]:
    """Return the function from latents to images with the truncation trick.

    Styles are moved towards their mean, in all layers: w' = mean + truncation (w - mean) (Karras et
    al. 2019, appendix B, arXiv:1812.04948). For a generator without styles the latents are scaled.
    Raises SettingsError: ``truncation`` is negative or not finite.
    """
    if not 0 <= truncation < math.inf:
        raise SettingsError(f"truncation must be finite and not negative, got {truncation}")
    if truncation == 1:
        return generator
    if isinstance(generator, StyledGenerator):
        return lambda latents: generator.synthesize(
            torch.lerp(generator.mean_style, generator.styles(latents), truncation)
        )
    size = generator.architecture.latent_size
    return lambda latents: generator(
        torch.cat([truncation * latents[:, :size], latents[:, size:]], dim=1)
    )


@contextmanager
def evaluating(generator: Generator) -> AbcGenerator[None]:
    """Set the generator to evaluation mode, and restore the modes of its modules afterwards."""
    before = [(module, module.training) for module in generator.modules()]
    evaluation_mode(generator)
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def require_pictures(count: int) -> None:
    """Raise SettingsError unless ``count`` pictures can be drawn at once: 1 to a million."""
    if not 1 <= count <= _MOST:
        raise SettingsError(f"the number of pictures must be from 1 to {_MOST:,}, got {count:,}")


def random_latents(count: int, size: int, *, seed: int) -> Latents:
    """Return latents (count, size) from N(0, I); SettingsError: not from 1 to a million."""
    require_pictures(count)
    return draw_latents(count, size, Randomness(seed).generator("samples"))


def latents_for(
    architecture: Architecture, count: int, *, seed: int, of_class: str | None = None
) -> Latents:
    """Return ``count`` random latents for a generator of ``architecture``.

    With classes they are all of ``of_class``, or by default one class after the other, in parts
    whose sizes differ by at most one. Raises SettingsError: the number is out of range, or there is
    no such class.
    """
    plain = random_latents(count, architecture.latent_size, seed=seed)
    return _labelled(architecture, plain, of_class)


def latents_of_seeds(
    architecture: Architecture, seeds: Sequence[int], *, of_class: str | None = None
) -> Latents:
    """Return one random latent for each seed; SettingsError: there is no such class, or no seed."""
    if not seeds:
        raise SettingsError("at least one seed is needed")
    require_pictures(len(seeds))
    plain = [random_latents(1, architecture.latent_size, seed=seed) for seed in seeds]
    return _labelled(architecture, torch.cat(plain), of_class)


def _labelled(architecture: Architecture, plain: Latents, of_class: str | None) -> Latents:
    """Return ``plain`` with class weights: of one class, or one class after the other."""
    labels = labels_in_parts(architecture, len(plain))
    if of_class is not None:
        labels = torch.full((len(plain),), architecture.label_of(of_class))
    return architecture.with_labels(plain, labels)


def grid_latents(architecture: Architecture, *, columns: int, rows: int, seed: int) -> Latents:
    """Return the latents of a grid; each class has at least one row, with the same latents."""
    classes = max(1, len(architecture.classes))
    each = columns * max(1, rows // classes)
    plain = random_latents(each, architecture.latent_size, seed=seed).repeat(classes, 1)
    return architecture.with_labels(plain, labels_in_parts(architecture, len(plain)))


def labels_in_parts(architecture: Architecture, count: int) -> Tensor:
    """Return the labels of ``count`` pictures, one class after the other, int64 (count,)."""
    return torch.arange(count) * max(1, len(architecture.classes)) // count


def interpolation_latents(stops: int, frames_between: int, size: int, *, seed: int) -> Latents:
    """Return a closed walk on the sphere through ``stops`` random latents.

    Source: spherical interpolation, White 2016 (arXiv:1609.04468). The norm is interpolated too.
    """
    if stops < 2:
        raise SettingsError(f"an interpolation needs at least 2 stops, got {stops}")
    if frames_between < 1:
        raise SettingsError(f"a stop needs at least 1 frame to the next, got {frames_between}")
    require_pictures(stops * frames_between)
    anchors = random_latents(stops, size, seed=seed)
    shares = torch.arange(frames_between) / frames_between
    legs = zip(anchors, anchors.roll(-1, dims=0), strict=True)
    return torch.cat([_great_circle(a, b, shares) for a, b in legs])


def interpolation_through_classes(
    architecture: Architecture, walk: Latents, *, frames_between: int, of_class: str | None = None
) -> Latents:
    """Return a walk of :func:`interpolation_latents` for a generator of ``architecture``.

    With classes it is all of ``of_class``, or by default each stop is of the next class and the
    class weights are interpolated between stops. Raises SettingsError: there is no such class.
    """
    if of_class is not None or not architecture.classes:
        return _labelled(architecture, walk, of_class)
    count = len(architecture.classes)
    stops = class_weights(torch.arange(len(walk) // frames_between) % count, count)
    shares = (torch.arange(frames_between) / frames_between)[:, None]
    legs = zip(stops, stops.roll(-1, dims=0), strict=True)
    return torch.cat([walk, torch.cat([torch.lerp(a, b, shares) for a, b in legs])], dim=1)


def _great_circle(start: Latents, end: Latents, shares: torch.Tensor) -> Latents:
    cosine = torch.dot(start / start.norm(), end / end.norm()).clamp(-1, 1)
    angle = math.acos(float(cosine))
    if angle < 1e-4:
        return torch.lerp(start[None], end[None], shares[:, None])
    towards_start = torch.sin((1 - shares) * angle) / math.sin(angle)
    towards_end = torch.sin(shares * angle) / math.sin(angle)
    return towards_start[:, None] * start + towards_end[:, None] * end
