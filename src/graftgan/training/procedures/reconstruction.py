"""Training without a discriminator: the generator learns to reconstruct the pictures.

In ``reconstruction`` every picture has its own latent. In ``vae`` the generator is the decoder of a
variational auto-encoder; it samples from N(0, I), and an adversarial run can start from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    Architecture,
    Generator,
    Images,
    Latents,
    PictureBytes,
    Scalar,
    draw_latents,
    in_turn,
    to_images,
)
from graftgan.core.randomness import Randomness
from graftgan.metrics.perceptual import perceptual_distance
from graftgan.networks.backbone import AffineMap, MappedGenerator, build_pair
from graftgan.networks.blocks import start_by_fan_in
from graftgan.networks.sampling import generate
from graftgan.reports import pairs_in_rows
from graftgan.training import Processes, StepContext, Terms
from graftgan.training.objectives import OptimizationSettings
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    ProcedureInputs,
    ProcedureSettings,
    numbered_batches,
    real_batches,
    update_of,
    with_parameters,
)
from graftgan.transfer import is_regularized, modulations_in

_SMALLEST = 8  # pixels: the top of the Laplacian pyramid
_DRAWS = 10  # from N(0, I) for each latent of a batch
_GRID = 32  # pictures on a grid of reconstructions


def meaningless_alone(experiment: ProcedureSettings) -> list[str]:
    """Return the settings of an experiment that mean nothing without a discriminator's loss."""
    regularized, changed = is_regularized(experiment.regularizers), experiment.augment != "none"
    asked = {
        "regularizers hold networks in adversarial training": regularized,
        f"augment '{experiment.augment}' changes what a discriminator sees": changed,
        "r1_gamma is a penalty on the discriminator": (experiment.optimization.r1_gamma or 0) > 0,
    }
    return [f"{what}; leave it out" for what, present in asked.items() if present]


def neighbour_distance(latents: Latents, draws: Latents) -> Scalar:
    """Return the mean squared distances to nearest neighbours, in both directions.

    Source: what Noguchi and Harada's code (arXiv:1904.01774) calls EMD.
    """
    squares = latents.square().sum(1)[:, None] + draws.square().sum(1) - 2 * latents @ draws.T
    return squares.amin(0).mean() + squares.amin(1).mean()


def laplacian_distance(generated: Images, real: Images) -> Scalar:
    """Return the mean absolute difference on each level of a Laplacian pyramid, summed.

    Source: Lap1 of GLO (Bojanowski et al. 2018, arXiv:1707.05776; Ling and Okada 2006). Its weights
    of 4^j on sums over level j are equal weights on means.
    """
    rest = generated - real  # a pyramid is linear: that of the difference will do
    total, channels = rest.new_zeros(()), rest.shape[1]
    taps = rest.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16  # Burt and Adelson's
    kernel = torch.outer(taps, taps).expand(channels, 1, 5, 5)
    while rest.shape[-1] > _SMALLEST:
        padded = F.pad(rest, (2, 2, 2, 2), mode="reflect")
        blurred = F.conv2d(padded, kernel, stride=2, groups=channels)
        enlarged = F.interpolate(blurred, size=rest.shape[-2:], mode="bilinear")
        total = total + (rest - enlarged).abs().mean()
        rest = blurred
    return total + rest.abs().mean()


def kl_to_standard_normal(mean: Latents, log_variance: Latents) -> Scalar:
    """Return KL(N(mean, variance) | N(0, I)) in nats, a mean over the batch (b, z).

    Source: Kingma and Welling 2014, appendix B (arXiv:1312.6114).
    """
    each = mean.square() + log_variance.exp() - 1.0 - log_variance
    return 0.5 * each.sum(dim=1).mean()


def within_ball(latents: Latents, radius: float) -> Latents:
    """Return ``latents`` (n, z) with those outside the ball of ``radius`` put on its surface."""
    return latents * (radius / latents.norm(dim=1, keepdim=True)).clamp(max=1.0)


def gaussian_of(latents: Latents) -> tuple[Tensor, Tensor]:
    """Return mean (z,) and Cholesky factor (z, z) of a Gaussian fitted to ``latents`` (n, z).

    Cholesky's factor changes slowly with the latents; an eigenbasis would jump, and the samples
    with it. A small ridge allows fewer pictures than dimensions.
    """
    exact = latents.detach().to("cpu", torch.float64)  # not every device knows float64
    mean = exact.mean(0)
    centred = exact - mean
    covariance = centred.T @ centred / len(exact)
    ridge = 1e-6 * (covariance.diagonal().mean() + 1e-6)
    factor = torch.linalg.cholesky(covariance + ridge * torch.eye(len(mean)))
    return mean.to(latents), factor.to(latents)


PIXEL_DISTANCES: dict[str, Callable[[Images, Images], Scalar]] = {
    "l1": F.l1_loss,
    "laplacian": laplacian_distance,
}


def _refuse(procedure: str, problems: Sequence[str]) -> None:
    if problems:
        raise SettingsError(f"the procedure {procedure}: {'; '.join(problems)}")


class _Reconstruction:
    """The generator and a latent for each picture, which train together."""

    def __init__(self, prepared: ProcedureInputs, processes: Processes) -> None:
        experiment, hardware = prepared.experiment, prepared.hardware
        settings, generator = experiment.reconstruction, prepared.pair.generator
        assert isinstance(generator, MappedGenerator)  # the settings were checked
        assert isinstance(generator.mapper, AffineMap)
        pictures, size = prepared.images.pictures, prepared.pair.architecture.latent_size
        if experiment.augmentation.flip:  # a mirrored picture is another one, with its own latent
            pictures = torch.cat([pictures, pictures.flip(3)])
        start = torch.zeros(len(pictures), size)
        if settings.latent_radius:
            rng = Randomness(experiment.seed).generator("latents of the pictures")
            start = within_ball(draw_latents(len(pictures), size, rng), settings.latent_radius)
        self.latents = nn.ParameterDict({"weight": nn.Parameter(start)})
        hardware.place(self.latents)
        processes.share(self.latents)
        self.weight = self.latents["weight"]
        self.settings, self.hardware, self.pictures = settings, hardware, pictures
        self.generator, self.mapper = generator.inner, generator.mapper
        self.batch = numbered_batches(pictures, prepared, processes)
        self.perceptual = None
        if settings.perceptual_weight:
            self.perceptual = perceptual_distance(settings.perceptual_network, hardware.device)
        self.modulations = [(p, at) for p, at in modulations_in(generator) if p.requires_grad]
        update = update_of("generator", prepared, self.terms)
        update = with_parameters(update, [self.weight], lr=settings.latent_rate)

        def rate_at(progress: float) -> float:
            return settings.rate_at(progress) * update.rate_at(progress)

        self.update = replace(update, after=self.follow, rate_at=rate_at)
        self.follow()

    def parts(self) -> Parts:
        return Parts(
            [self.update],
            extra_modules={"latents": self.latents},
            settled=(self.mapper.mean, self.mapper.factor),
            reconstruction_grid=self.grid,
        )

    def terms(self, context: StepContext) -> Terms:
        settings = self.settings
        places, real = self.batch(context.turn)
        latents = self.weight[places]
        noise = self.draws(len(latents), context, "noise")
        with self.hardware.autocast():
            generated = self.generator(latents + settings.latent_noise * noise).float()
            terms = {"pixels": PIXEL_DISTANCES[settings.pixel_distance](generated, real)}
            if self.perceptual is not None:
                share = self.perceptual(generated, real)
                terms["features"] = settings.perceptual_weight * share
        if settings.latent_prior_weight:
            draws = self.draws(_DRAWS * len(latents), context, "prior")
            distance = neighbour_distance(latents, draws)
            terms["latent_prior"] = settings.latent_prior_weight * distance
        if settings.modulation_prior_weight and self.modulations:
            moved = [(p - start).square().mean() for p, start in self.modulations]
            terms["modulation_prior"] = settings.modulation_prior_weight * torch.stack(moved).sum()
        return terms

    def draws(self, count: int, context: StepContext, stream: str) -> Latents:
        rng, size = context.generator(stream), self.weight.shape[1]
        return draw_latents(count, size, rng, self.hardware.device)

    @torch.no_grad()
    def follow(self) -> None:
        """Keep latents in their ball; sample from N(0, spread^2 I) or a Gaussian fitted to them."""
        if self.settings.latent_radius:
            self.weight.copy_(within_ball(self.weight, self.settings.latent_radius))
        mean, factor = torch.zeros_like(self.mapper.mean), torch.eye(self.weight.shape[1])
        if self.settings.sampled_spread:
            factor = self.settings.sampled_spread * factor
        else:
            mean, factor = gaussian_of(self.weight)
        self.mapper.mean.copy_(mean)
        self.mapper.factor.copy_(factor)

    def grid(self, generator: Generator) -> PictureBytes:
        assert isinstance(generator, MappedGenerator)
        shown = self.pictures[:_GRID]
        return pairs_in_rows(shown, generate(generator.inner, self.weight.detach()[: len(shown)]))


def _check_reconstruction(prepared: ProcedureInputs) -> None:
    problems = meaningless_alone(prepared.experiment)
    if prepared.experiment.mapper != "affine":
        problems.append("what it samples is decided by network.mapper = 'affine'; set it")
    _refuse("reconstruction", problems)


PROCEDURES.register("reconstruction")(
    Procedure(
        lambda prepared, processes: _Reconstruction(prepared, processes).parts(),
        "the generator learns each picture from a latent of its own; no discriminator",
        keeps_source=False,  # it samples near the latents of the pictures from the start
        trained=frozenset({"generator"}),
        check=_check_reconstruction,
    )
)


class _VAEEncoder(nn.Module):
    """The discriminator's layers without the score, and a linear layer to mean and log variance."""

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


def _vae(prepared: ProcedureInputs, processes: Processes) -> Parts:
    settings, hardware = prepared.experiment.vae, prepared.hardware
    rng = Randomness(prepared.experiment.seed).generator("encoder")
    encoder = _VAEEncoder(prepared.pair.architecture, rng)
    hardware.place(encoder)
    processes.share(encoder)
    real_batch = real_batches(prepared, processes)

    def terms(context: StepContext) -> Terms:
        """Return the negative evidence bound on one batch, in nats per picture.

        Source: Kingma and Welling 2014, eq. 7 (arXiv:1312.6114), with a Gaussian of variance 1/2
        for each pixel: its negative logarithm is the squared error, up to a constant.
        """
        real = real_batch(context.turn)
        with hardware.autocast():
            mean, log_variance = (part.float() for part in encoder(real))
            noise = context.generator("posterior")
            draws = draw_latents(len(mean), mean.shape[1], noise, hardware.device)
            deviation = (0.5 * log_variance).exp()
            drawn = prepared.pair.generator(mean + deviation * draws).float()
        squares = (drawn - real).square().flatten(1).sum(dim=1).mean()
        divergence = kl_to_standard_normal(mean, log_variance)
        return {"reconstruction": squares, "divergence": settings.kl_weight * divergence}

    @torch.no_grad()
    def grid(generator: Generator) -> PictureBytes:
        shown, was_training = prepared.images.pictures[:_GRID], encoder.training
        device = next(encoder.parameters()).device
        means, _ = encoder.eval()(to_images(shown.to(device)))
        encoder.train(was_training)
        return pairs_in_rows(shown, generate(generator, means.cpu()))

    own = OptimizationSettings(  # those of the experiment are for an adversarial loss
        optimizer="adam", generator_learning_rate=settings.vae_learning_rate, beta1=0.9, beta2=0.999
    )
    update = update_of("generator", prepared, terms, optimization=own)
    update = with_parameters(update, list(encoder.parameters()))
    update = replace(update, after=lambda: processes.average_buffers(encoder))
    return Parts([update], extra_modules={"encoder": encoder}, reconstruction_grid=grid)


PROCEDURES.register("vae")(
    Procedure(
        _vae,
        "the generator is the decoder of a variational auto-encoder; no discriminator",
        trained=frozenset({"generator"}),
        check=lambda prepared: _refuse("vae", meaningless_alone(prepared.experiment)),
        fresh_plan="D[*=freeze] G[*=fine_tune]",
    )
)
