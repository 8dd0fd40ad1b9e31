"""Mixing the styles of two latents, and finding the styles of a given picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graftgan.core.errors import Progress, SettingsError, silent
from graftgan.core.network_types import (
    Generator,
    Images,
    PictureBytes,
    StyledGenerator,
    Styles,
    to_images,
    to_pictures,
)
from graftgan.core.randomness import Randomness
from graftgan.core.settings import require_range, strict
from graftgan.metrics.perceptual import PerceptualDistance, perceptual_distance
from graftgan.networks.sampling import evaluating, latents_for, latents_of_seeds

_CHUNK = 8  # pictures projected at once
_MEASURED = 2000  # styles, for their mean and spread
_START_NOISE = 0.05  # initial noise on a style, relative to the spread of styles
_NOISE_UNTIL, _RISE_UNTIL, _FALL_FROM = 0.75, 0.05, 0.75  # shares of the steps


def styled(generator: Generator) -> StyledGenerator:
    """Return ``generator`` if it has styles, else raise SettingsError."""
    if not isinstance(generator, StyledGenerator):
        raise SettingsError(
            f"{generator.architecture.backbone} draws from latents alone and has no styles; take a "
            "model with a mapping network, such as a StyleGAN"
        )
    return generator


@torch.no_grad()
def mixed_grid(
    generator: Generator,
    row_seeds: Sequence[int],
    column_seeds: Sequence[int],
    *,
    layers: Sequence[int] | None = None,
    truncation: float = 1.0,
) -> PictureBytes:
    """Return pictures with the column's style in some layers and the row's style in the others.

    Source: Karras et al. 2019, figure 3 (arXiv:1812.04948). Each row and column has the latent of
    its seed. ``layers``, from 0, take the column's style; by default the coarse half does. With
    ``truncation`` below 1 styles are closer to their mean. Pictures are uint8 (rows + 1,
    columns + 1, c, h, w): the unmixed pictures are in the first row and column, and the corner is
    white. Raises SettingsError: the generator has no styles or not these layers, or no seeds are
    given.
    """
    generator = styled(generator)
    if not row_seeds or not column_seeds:
        raise SettingsError("a grid needs at least one seed for rows and one for columns")
    with evaluating(generator):
        rows, columns = (
            _styles_of(generator, seeds, truncation) for seeds in (row_seeds, column_seeds)
        )
        count = rows.shape[1]
        layers = range(count // 2) if layers is None else layers
        if not layers or min(layers) < 0 or max(layers) >= count:
            raise SettingsError(
                f"this model has styles for layers 0 to {count - 1}; choose some of these"
            )
        mixed = rows[:, None].repeat(1, len(columns), 1, 1)
        mixed[:, :, list(layers)] = columns[None, :, list(layers)]
        grid = torch.stack(
            [styled_pictures(generator, part) for part in torch.cat([rows[:, None], mixed], dim=1)]
        )
        heads = styled_pictures(generator, columns)
    corner = torch.full_like(heads[:1], 255)
    return torch.cat([torch.cat([corner, heads])[None], grid])


@torch.no_grad()
def styled_pictures(generator: StyledGenerator, styles: Styles) -> PictureBytes:
    """Return the pictures of styles (b, n, w) as uint8 (b, c, h, w) on the CPU."""
    return to_pictures(generator.synthesize(styles)).cpu()


def _styles_of(generator: StyledGenerator, seeds: Sequence[int], truncation: float) -> Styles:
    latents = latents_of_seeds(generator.architecture, seeds)
    mean = generator.mean_style
    return torch.lerp(mean, generator.styles(latents.to(mean.device)), truncation)


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionSettings:
    """How to find the styles of a picture."""

    steps: int = 500
    """Steps of Adam."""
    space: Literal["w", "w+"] = "w"
    """w: one style for all layers, which can be edited; w+: one for each layer, which matches the
    picture more closely."""
    learning_rate: float = 0.1
    """Maximum learning rate; there is a warm-up and a decay."""
    pixel_weight: float = 1.0
    """Weight of the mean squared difference of pixels in [-1, 1]."""
    perceptual_weight: float = 1.0
    """Weight of the difference by the features of a network."""
    perceptual_network: str = "efficientnet_lite0"
    """efficientnet_lite0, or a file with the weights of VGG16."""
    seed: int = 0
    """Of the noise on the styles."""

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "steps")
        require_range(self, "finite and positive", "learning_rate")
        require_range(self, "finite and not negative", "pixel_weight", "perceptual_weight")
        if not self.pixel_weight and not self.perceptual_weight:
            raise SettingsError("pixel_weight and perceptual_weight must not both be 0")


@dataclass(frozen=True, slots=True)
class Projection:
    """The styles found for p pictures."""

    styles: Styles  # (p, n, w); in the space w all n are equal
    drawn: PictureBytes  # the pictures of these styles, uint8 (p, c, h, w)
    distances: Tensor  # the loss of each without noise (p,)
    mean_distances: Tensor  # the loss of the mean style, where the search started (p,)


def project(
    generator: Generator,
    pictures: PictureBytes,
    settings: ProjectionSettings | None = None,
    *,
    of_class: str | None = None,
    progress: Progress = silent,
) -> Projection:
    """Find the styles whose pictures are closest to ``pictures`` (p, c, h, w).

    Source: Karras et al. 2020, section 5 and appendix D (arXiv:1912.04958): Adam from the mean
    style, with decaying noise on the style and a learning rate with warm-up and decay. Differs: the
    loss is on this package's features and on pixels, not LPIPS; the network's noise maps are not
    optimized. Raises SettingsError: the generator has no styles or no such class, or the pictures
    do not fit it; ScoreError: the weights of the perceptual network are missing.
    """
    settings = settings or ProjectionSettings()
    generator = styled(generator)
    known = generator.architecture
    wanted = (known.channels, known.resolution, known.resolution)
    if tuple(pictures.shape[1:]) != wanted:
        raise SettingsError(f"the model draws {wanted}, the pictures are {pictures.shape[1:]}")
    device, network = generator.mean_style.device, settings.perceptual_network
    perceptual = perceptual_distance(network, device) if settings.perceptual_weight else None
    with evaluating(generator):
        search = _Search(generator, perceptual, settings, *_mean_and_spread(generator, of_class))
        parts = pictures.split(_CHUNK)
        found = [
            search.of(to_images(part.to(device)), number, len(parts), progress)
            for number, part in enumerate(parts)
        ]
    return Projection(*(torch.cat(of).cpu() for of in zip(*found, strict=True)))


@dataclass(frozen=True, slots=True)
class _Search:
    generator: StyledGenerator
    perceptual: PerceptualDistance | None
    settings: ProjectionSettings
    mean: Styles
    spread: float

    def of(
        self, real: Images, chunk: int, chunks: int, progress: Progress
    ) -> tuple[Styles, PictureBytes, Tensor, Tensor]:
        """Return styles, pictures, distances, and distances at the start."""
        settings = self.settings
        start = self.mean.expand(len(real), -1, -1)
        one = settings.space == "w"
        styles = (start[:, :1] if one else start).clone().requires_grad_()
        adam = torch.optim.Adam([styles], lr=settings.learning_rate, betas=(0.9, 0.999))
        randomness = Randomness(settings.seed)
        for step in range(settings.steps):
            share = step / settings.steps
            for group in adam.param_groups:
                group["lr"] = settings.learning_rate * _rate(share)
            rng = randomness.generator(f"noise on styles {chunk}", step)
            noise = torch.randn(styles.shape, generator=rng).to(styles)
            strength = self.spread * _START_NOISE * max(0.0, 1 - share / _NOISE_UNTIL) ** 2
            loss = self._distances(styles + strength * noise, real).sum()
            (styles.grad,) = torch.autograd.grad(loss, styles)
            adam.step()
            progress("projecting", chunk * settings.steps + step + 1, chunks * settings.steps)
        with torch.no_grad():
            found = styles.detach().expand_as(start).contiguous()
            distances = self._distances(found, real), self._distances(start, real)
            return found, styled_pictures(self.generator, found), *distances

    def _distances(self, styles: Styles, real: Images) -> Tensor:
        """Return the loss of each picture (b,)."""
        layers = self.mean.shape[1]
        drawn = self.generator.synthesize(styles.expand(-1, layers, -1))
        pixels = (drawn - real).square().mean(dim=(1, 2, 3))
        loss = self.settings.pixel_weight * pixels
        if self.perceptual is not None:
            seen = [self.perceptual(d[None], r[None]) for d, r in zip(drawn, real, strict=True)]
            loss = loss + self.settings.perceptual_weight * torch.stack(seen)
        return loss


@torch.no_grad()
def _mean_and_spread(generator: StyledGenerator, of_class: str | None) -> tuple[Styles, float]:
    """Return the mean style (1, n, w) and the root mean square distance from it."""
    latents = latents_for(generator.architecture, _MEASURED, seed=0, of_class=of_class)
    styles = generator.styles(latents.to(generator.mean_style.device))
    mean = styles.mean(dim=0, keepdim=True)
    apart = (styles - mean)[:, 0].square().sum(dim=1).mean()
    return mean, float(apart.sqrt())


def _rate(share: float) -> float:
    """Return the relative learning rate at a share of the steps: linear warm-up, cosine decay."""
    rise = min(1.0, share / _RISE_UNTIL)
    fall = min(1.0, (1 - share) / (1 - _FALL_FROM))
    return rise * (0.5 - 0.5 * math.cos(fall * math.pi))
