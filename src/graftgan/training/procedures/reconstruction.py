"""Reconstruction: every picture has a latent, and is to come out of the generator.

The discriminator is neither asked nor changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Generator, draw_latents
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import Images, Latents, PictureBytes, Scalar
from graftgan.metrics import PerceptualDistance, perceptual_distance
from graftgan.networks.mapper import AffineMap, MappedGenerator
from graftgan.networks.sampling import generate
from graftgan.reports import pairs_in_rows
from graftgan.training import Hardware, Processes, StepContext, Terms
from graftgan.training.objectives import (
    ReconstructionSettings,
    gaussian_of,
    laplacian_distance,
    neighbour_distance,
    pixel_distance,
    within_ball,
)
from graftgan.training.procedures.contract import ProcedureInputs
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    meaningless_alone,
    numbered_batches,
    update_of,
)
from graftgan.transfer import modulations_in

_PIXELS = {"l1": pixel_distance, "laplacian": laplacian_distance}
_DRAWS = 10  # from N(0, I) for each latent of a batch
_GRID = 32  # pictures on a grid of reconstructions


class PictureLatents(nn.Module):
    """A latent for each picture, in the pictures' order."""

    def __init__(self, start: Latents) -> None:
        super().__init__()
        self.weight = nn.Parameter(start)

    def forward(self, places: torch.Tensor) -> Latents:
        """Return the latents (b, z) of the pictures at ``places`` (b,)."""
        return self.weight[places]


@dataclass(frozen=True, slots=True)
class ReconstructionLoss:
    """The loss of the generator and of the latents.

    Attributes:
        generator: It takes the latents themselves: the one behind the mapper.
        latents: Of the pictures.
        batch: Returns places and images of the pictures of the n-th turn.
        perceptual: The distance between feature maps; None: none.
        modulations: Learnt scales with the value 1.0 they start at, learnt shifts with 0.0.
        settings: What the terms weigh.
        hardware: Device and number format.
    """

    generator: nn.Module
    latents: PictureLatents
    batch: Callable[[int], tuple[torch.Tensor, Images]]
    perceptual: PerceptualDistance | None
    modulations: Sequence[tuple[nn.Parameter, float]]
    settings: ReconstructionSettings
    hardware: Hardware

    def terms(self, context: StepContext) -> Terms:
        """Return the terms of the loss on one batch."""
        settings = self.settings
        places, real = self.batch(context.turn)
        latents = self.latents(places)
        noise = self._draws(len(latents), context, "noise")
        with self.hardware.autocast():
            generated = self.generator(latents + settings.latent_noise * noise).float()
            terms = {"pixels": _PIXELS[settings.pixel_distance](generated, real)}
            if self.perceptual is not None:
                share = self.perceptual(generated, real)
                terms["features"] = settings.perceptual_weight * share
        if settings.latent_prior_weight:
            draws = self._draws(_DRAWS * len(latents), context, "prior")
            distance = neighbour_distance(latents, draws)
            terms["latent_prior"] = settings.latent_prior_weight * distance
        if settings.modulation_prior_weight and self.modulations:
            terms["modulation_prior"] = settings.modulation_prior_weight * self._modulated()
        return terms

    def _draws(self, count: int, context: StepContext, stream: str) -> Latents:
        size = self.latents.weight.shape[1]
        return draw_latents(count, size, context.generator(stream), self.hardware.device)

    def _modulated(self) -> Scalar:
        """Return how far the modulations are from none: mean squares, summed over the layers."""
        return torch.stack([(p - start).square().mean() for p, start in self.modulations]).sum()


def build_reconstruction(prepared: ProcedureInputs, processes: Processes) -> Parts:
    """Return the generator with the latents of the pictures, which train together.

    Raises:
        ScoreError: The weights of the perceptual network are missing or of another network.
        SettingsError: There is no such perceptual network.
    """
    experiment, hardware = prepared.experiment, prepared.hardware
    settings, generator = experiment.reconstruction, prepared.pair.generator
    assert isinstance(generator, MappedGenerator)  # `check_reconstruction` was asked first
    mapper = generator.mapper
    assert isinstance(mapper, AffineMap)
    pictures = prepared.images.pictures
    if experiment.augmentation.flip:  # a mirrored picture is another one, with its own latent
        pictures = torch.cat([pictures, pictures.flip(3)])
    latents = PictureLatents(_start(len(pictures), prepared))
    hardware.place(latents)
    processes.share(latents)
    perceptual = None
    if settings.perceptual_weight:
        perceptual = perceptual_distance(settings.perceptual_network, hardware.device)
    loss = ReconstructionLoss(
        generator=generator.inner,
        latents=latents,
        batch=numbered_batches(pictures, prepared, processes),
        perceptual=perceptual,
        modulations=[(p, start) for p, start in modulations_in(generator) if p.requires_grad],
        settings=settings,
        hardware=hardware,
    )
    update = update_of("generator", prepared, losses=loss.terms)
    update.optimizer.add_param_group({"params": [latents.weight], "lr": settings.latent_rate})

    @torch.no_grad()
    def follow() -> None:
        if settings.latent_radius:
            latents.weight.copy_(within_ball(latents.weight, settings.latent_radius))
        _sample_near(latents.weight, mapper, settings.sampled_spread)

    follow()
    together = replace(
        update,
        parameters=[*update.parameters, latents.weight],
        starts=[*update.starts, 0.0],
        after=follow,
        rate_at=settings.rate_at,
    )
    return Parts(
        [together],
        extra_modules={"latents": latents},
        settled=(mapper.mean, mapper.factor),
        reconstruction_grid=lambda drawn: latent_reconstructions(drawn, latents, pictures),
    )


def check_reconstruction(prepared: ProcedureInputs) -> None:
    """Check that every setting means something without a discriminator's loss.

    Raises:
        SettingsError: Lists what does not.
    """
    experiment = prepared.experiment
    problems = meaningless_alone(experiment)
    if experiment.mapper != "affine":
        problems.append("what it samples is decided by network.mapper = 'affine'; set it")
    if problems:
        raise SettingsError(f"the procedure reconstruction: {'; '.join(problems)}")


PROCEDURES.register("reconstruction")(
    Procedure(
        build_reconstruction,
        "the generator learns each picture from a latent of its own; no discriminator",
        keeps_source=False,  # it draws near the latents of the pictures from the first
        trained=frozenset({"generator"}),
        check=check_reconstruction,
    )
)


def latent_reconstructions(
    generator: Generator, latents: PictureLatents, pictures: PictureBytes
) -> PictureBytes:
    """Return the first pictures, eight in a row, each row above that of its reconstructions."""
    assert isinstance(generator, MappedGenerator)
    count = min(_GRID, len(pictures))
    drawn = generate(generator.inner, latents.weight.detach()[:count])
    return pairs_in_rows(pictures[:count], drawn)


def _start(count: int, prepared: ProcedureInputs) -> Latents:
    size = prepared.pair.architecture.latent_size
    radius = prepared.experiment.reconstruction.latent_radius
    if not radius:
        return torch.zeros(count, size)
    rng = Randomness(prepared.experiment.seed).generator("latents of the pictures")
    return within_ball(draw_latents(count, size, rng), radius)


def _sample_near(latents: Latents, mapper: AffineMap, spread: float) -> None:
    """Let samples come from N(0, spread^2 I), or from a Gaussian fitted to ``latents``."""
    if spread:
        mean, factor = torch.zeros_like(mapper.mean), spread * torch.eye(latents.shape[1])
    else:
        mean, factor = gaussian_of(latents)
    mapper.mean.copy_(mean)
    mapper.factor.copy_(factor)
