"""Find the styles of a picture."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Generator, StyledGenerator
from graftgan.core.progress import Progress, silent
from graftgan.core.randomness import Randomness
from graftgan.core.settings import strict
from graftgan.core.tensors import Images, PictureBytes, Styles, to_images
from graftgan.metrics import PerceptualDistance, perceptual_distance
from graftgan.models.styles import styled, styled_pictures
from graftgan.networks.sampling import evaluating, latents_for

_CHUNK = 8  # pictures projected side by side
_MEASURED = 2000  # styles, for their spread
_START_SPREAD = 0.05  # of the styles' own, is the first noise on a style
_NOISE_UNTIL, _RISE_UNTIL, _FALL_FROM = 0.75, 0.05, 0.75  # shares of the steps


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionSettings:
    """How the styles of a picture are looked for."""

    steps: int = 500
    """Steps of Adam."""
    space: Literal["w", "w+"] = "w"
    """w: one style for all layers, so that what is found can be edited; w+: one for each layer,
    which comes nearer to the picture."""
    learning_rate: float = 0.1
    """Largest step size; it rises at the start and falls at the end."""
    pixel_weight: float = 1.0
    """Weight of the mean squared difference of pixels in [-1, 1]."""
    perceptual_weight: float = 1.0
    """Weight of the difference by the features of a network."""
    perceptual_network: str = "efficientnet_lite0"
    """efficientnet_lite0, or a file with the weights of VGG16."""
    seed: int = 0
    """Of the noise on the styles."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingsError(f"steps must be at least 1, got {self.steps}")
        if not 0 < self.learning_rate < math.inf:
            raise SettingsError(
                f"learning_rate must be finite and positive, got {self.learning_rate}"
            )
        weights = {name: getattr(self, name) for name in ("pixel_weight", "perceptual_weight")}
        if not all(0 <= weight < math.inf for weight in weights.values()):
            raise SettingsError(f"weights must be finite and not negative, got {weights}")
        if not any(weights.values()):
            raise SettingsError("pixel_weight and perceptual_weight must not both be 0")


@dataclass(frozen=True, slots=True)
class Projection:
    """What was found for some pictures.

    Attributes:
        styles: (p, n, w), with n equal styles each in the space w.
        drawn: The pictures of these styles, uint8 (p, c, h, w).
        distances: The loss of each without noise (p,).
        mean_distances: That of the mean style, where the search began (p,).
    """

    styles: Styles
    drawn: PictureBytes
    distances: Tensor
    mean_distances: Tensor


def project(
    generator: Generator,
    pictures: PictureBytes,
    settings: ProjectionSettings | None = None,
    *,
    of_class: str | None = None,
    progress: Progress = silent,
) -> Projection:
    """Find the styles whose pictures are nearest to ``pictures`` (p, c, h, w).

    Source: Karras et al. 2020, section 5 and appendix D (arXiv:1912.04958): from the mean style,
    Adam on the style with noise on it that ends, at a rate that rises and falls. Differs: features
    of this package's network and pixels, where the authors have LPIPS; the noise maps of the
    network stay as they are.

    Raises:
        SettingsError: The generator has no styles or no such class, or the pictures do not fit it.
        ScoreError: The weights of the perceptual network are missing.
    """
    settings = settings or ProjectionSettings()
    generator = styled(generator)
    known = generator.architecture
    wanted = (known.channels, known.resolution, known.resolution)
    if tuple(pictures.shape[1:]) != wanted:
        raise SettingsError(f"the model draws {wanted}, the pictures are {pictures.shape[1:]}")
    device = generator.mean_style.device
    perceptual = None
    if settings.perceptual_weight:
        perceptual = perceptual_distance(settings.perceptual_network, device)
    with evaluating(generator):
        search = _Search(generator, perceptual, settings, *_mean_and_spread(generator, of_class))
        parts = pictures.split(_CHUNK)
        found = [
            search.of(to_images(part.to(device)), number, len(parts), progress)
            for number, part in enumerate(parts)
        ]
    return Projection(*(torch.cat(of).cpu() for of in zip(*found, strict=True)))


class _Search:
    """The search for the styles of a few pictures at a time."""

    def __init__(
        self,
        generator: StyledGenerator,
        perceptual: PerceptualDistance | None,
        settings: ProjectionSettings,
        mean: Styles,
        spread: float,
    ) -> None:
        self._generator, self._perceptual, self._settings = generator, perceptual, settings
        self._mean, self._spread = mean, spread

    def of(
        self, real: Images, chunk: int, chunks: int, progress: Progress
    ) -> tuple[Styles, PictureBytes, Tensor, Tensor]:
        """Return styles, pictures, distances, and distances at the start."""
        settings = self._settings
        start = self._mean.expand(len(real), -1, -1)
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
            strength = self._spread * _START_SPREAD * max(0.0, 1 - share / _NOISE_UNTIL) ** 2
            loss = self._distances(styles + strength * noise, real).sum()
            (styles.grad,) = torch.autograd.grad(loss, styles)
            adam.step()
            progress("projecting", chunk * settings.steps + step + 1, chunks * settings.steps)
        with torch.no_grad():
            found = styles.detach().expand_as(start).contiguous()
            return (
                found,
                styled_pictures(self._generator, found),
                self._distances(found, real),
                self._distances(start, real),
            )

    def _distances(self, styles: Styles, real: Images) -> Tensor:
        """Return the loss of each picture (b,)."""
        layers = self._mean.shape[1]
        drawn = self._generator.synthesize(styles.expand(-1, layers, -1))
        pixels = (drawn - real).square().mean(dim=(1, 2, 3))
        loss = self._settings.pixel_weight * pixels
        if self._perceptual is not None:
            seen = [self._perceptual(d[None], r[None]) for d, r in zip(drawn, real, strict=True)]
            loss = loss + self._settings.perceptual_weight * torch.stack(seen)
        return loss


@torch.no_grad()
def _mean_and_spread(generator: StyledGenerator, of_class: str | None) -> tuple[Styles, float]:
    """Return the mean style (1, n, w) and the root of the mean square distance from it."""
    latents = latents_for(generator.architecture, _MEASURED, seed=0, of_class=of_class)
    styles = generator.styles(latents.to(generator.mean_style.device))
    mean = styles.mean(dim=0, keepdim=True)
    apart = (styles - mean)[:, 0].square().sum(dim=1).mean()
    return mean, float(apart.sqrt())


def _rate(share: float) -> float:
    """Return the rate at a share of the steps: up in a line, then down as half a cosine."""
    rise = min(1.0, share / _RISE_UNTIL)
    fall = min(1.0, (1 - share) / (1 - _FALL_FROM))
    return rise * (0.5 - 0.5 * math.cos(fall * math.pi))
