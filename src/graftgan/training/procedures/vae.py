"""A variational auto-encoder: the generator as the decoder, an encoder beside it.

The discriminator is neither asked nor changed. What is left at the end
is a generator that draws from N(0, I), which an adversarial run can begin with.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture, Generator, draw_latents, in_turn
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import Images, Latents, PictureBytes, to_images
from graftgan.networks import build_pair
from graftgan.networks.blocks import start_by_fan_in
from graftgan.networks.sampling import generate
from graftgan.reports import pairs_in_rows
from graftgan.training import Hardware, Processes, StepContext, Terms, VAESettings
from graftgan.training.objectives import OptimizationSettings, kl_to_standard_normal
from graftgan.training.procedures.contract import ProcedureInputs
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    meaningless_alone,
    real_batches,
    update_of,
)

_GRID = 32  # pictures on a grid of reconstructions


class VAEEncoder(nn.Module):
    """The discriminator's layers but for the score, and a linear layer to mean and log variance."""

    def __init__(self, architecture: Architecture, rng: torch.Generator) -> None:
        super().__init__()
        mirrored = build_pair(architecture, rng).discriminator
        self._steps = mirrored.feature_steps()
        self.blocks = nn.ModuleDict({name: mirrored.layers()[name] for name in self._steps})
        side, channels = architecture.resolution, architecture.channels
        with torch.no_grad():
            features = in_turn(self._steps, torch.zeros(2, channels, side, side)).flatten(1)
        self.head = nn.Linear(features.shape[1], 2 * architecture.latent_size)
        start_by_fan_in(self.head, rng, gain=1.0)

    def forward(self, images: Images) -> tuple[Latents, Latents]:
        """Map images (b, c, h, w) to means and log variances (b, z)."""
        mean, log_variance = self.head(in_turn(self._steps, images).flatten(1)).chunk(2, dim=1)
        return mean, log_variance


@dataclass(frozen=True, slots=True)
class VAELoss:
    """The loss of encoder and decoder.

    Attributes:
        encoder: From images to the posterior.
        decoder: The generator.
        real_batch: Returns the real images of the n-th turn.
        kl_weight: Of the divergence from N(0, I); 1 is the evidence bound.
        hardware: Device and number format.
    """

    encoder: VAEEncoder
    decoder: Generator
    real_batch: Callable[[int], Images]
    kl_weight: float
    hardware: Hardware

    def terms(self, context: StepContext) -> Terms:
        """Return the negative evidence bound on one batch, in nats for a picture.

        Source: Kingma and Welling 2014, eq. 7 (arXiv:1312.6114), with a Gaussian of variance 1/2
        for each pixel, whose negative logarithm is the squared error and a constant, left out.
        """
        real = self.real_batch(context.turn)
        with self.hardware.autocast():
            mean, log_variance = (part.float() for part in self.encoder(real))
            noise = context.generator("posterior")
            draws = draw_latents(len(mean), mean.shape[1], noise, self.hardware.device)
            drawn = self.decoder(mean + (0.5 * log_variance).exp() * draws).float()
        squares = (drawn - real).square().flatten(1).sum(dim=1).mean()
        divergence = kl_to_standard_normal(mean, log_variance)
        return {"reconstruction": squares, "divergence": self.kl_weight * divergence}


def build_vae(prepared: ProcedureInputs, processes: Processes) -> Parts:
    """Return the generator with its encoder, which train together."""
    experiment, hardware = prepared.experiment, prepared.hardware
    rng = Randomness(experiment.seed).generator("encoder")
    encoder = VAEEncoder(prepared.pair.architecture, rng)
    hardware.place(encoder)
    processes.share(encoder)
    pictures = prepared.images.pictures
    loss = VAELoss(
        encoder=encoder,
        decoder=prepared.pair.generator,
        real_batch=real_batches(prepared, processes),
        kl_weight=experiment.vae.kl_weight,
        hardware=hardware,
    )
    update = update_of(
        "generator",
        prepared,
        losses=loss.terms,
        optimization=_adam(experiment.vae),
        after=lambda: processes.average_buffers(encoder),
    )
    weights = list(encoder.parameters())
    update.optimizer.add_param_group({"params": weights})
    together = replace(
        update,
        parameters=[*update.parameters, *weights],
        starts=[*update.starts, *(0.0 for _ in weights)],
    )
    return Parts(
        [together],
        extra_modules={"encoder": encoder},
        reconstruction_grid=lambda drawn: vae_reconstructions(drawn, encoder, pictures),
    )


def _adam(settings: VAESettings) -> OptimizationSettings:
    """Return Adam as for any regression: an objective's own settings are for its loss."""
    return OptimizationSettings(
        optimizer="adam",
        generator_learning_rate=settings.vae_learning_rate,
        beta1=0.9,
        beta2=0.999,
    )


def check_vae(prepared: ProcedureInputs) -> None:
    """Check that every setting means something without a discriminator's loss.

    Raises:
        SettingsError: Lists what does not.
    """
    problems = meaningless_alone(prepared.experiment)
    if problems:
        raise SettingsError(f"the procedure vae: {'; '.join(problems)}")


PROCEDURES.register("vae")(
    Procedure(
        build_vae,
        "the generator is the decoder of a variational auto-encoder; no discriminator",
        trained=frozenset({"generator"}),
        check=check_vae,
        fresh_plan="D[*=freeze] G[*=fine_tune]",
    )
)


@torch.no_grad()
def vae_reconstructions(
    generator: Generator, encoder: VAEEncoder, pictures: PictureBytes
) -> PictureBytes:
    """Return the first pictures, eight in a row, each row above that of its reconstructions."""
    shown = pictures[:_GRID]
    device = next(encoder.parameters()).device
    was_training = encoder.training
    means, _ = encoder.eval()(to_images(shown.to(device)))
    encoder.train(was_training)
    return pairs_in_rows(shown, generate(generator, means.cpu()))
