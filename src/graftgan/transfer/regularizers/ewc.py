"""EWC: the squared distance of the weights to the source's, by how much each of them matters.

lambda * sum of F * (theta - theta_source)^2 over the generator's weights that move.

Source: Li et al. 2020 (arXiv:2012.02780, eq. 2-3). F is the Fisher information of the source pair.
Of a modulated layer the weight that results is held, with the F of the plain weight.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import NetworkPair, draw_latents
from graftgan.core.progress import Progress, silent
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import Latents, Scalar
from graftgan.transfer.fisher import mean_squared_gradients, refuse_mixed_samples
from graftgan.transfer.regularizers.regularizer import (
    REGULARIZERS,
    HeldWeights,
    Regularizer,
    RegularizerSetup,
    RegularizerState,
    RegularizerTerm,
    held_tensors,
    laid_out_as,
    weights_of,
)


@dataclass(frozen=True, kw_only=True)
class EWCSettings:
    """How EWC holds the generator."""

    ewc: float = 0.0
    """Weight of EWC on the generator: L2-SP, but by how much each weight matters."""
    ewc_samples: int = 128
    """Pictures that the Fisher information of EWC is measured on."""

    def __post_init__(self) -> None:
        if self.ewc_samples < 1:
            raise SettingsError(f"ewc_samples must be at least 1, got {self.ewc_samples}")


def fisher_of_generator(
    source: NetworkPair, names: Iterable[str], latents: Latents, progress: Progress = silent
) -> dict[str, Tensor]:
    """Return the Fisher information of the generator's parameters ``names`` by name.

    The likelihood of a sample z is what the source's own discriminator says: sigmoid(D(G(z))).
    Both networks are set to evaluation mode, so that samples do not mix.
    """
    for _, network in source.items():
        network.eval().requires_grad_(False)
    parameters = {n: p for n, p in source.generator.named_parameters() if n in set(names)}
    for parameter in parameters.values():
        parameter.requires_grad_(True)

    def log_likelihood(latent: Tensor) -> Scalar:
        return F.logsigmoid(source.discriminator(source.generator(latent[None]))).sum()

    found = mean_squared_gradients(
        log_likelihood,
        list(parameters.values()),
        latents.unbind(),
        what="measuring what matters",
        progress=progress,
    )
    return dict(zip(parameters, found, strict=True))


def _wanted(settings: EWCSettings) -> bool:
    return settings.ewc > 0


def _remember(setup: RegularizerSetup[EWCSettings]) -> dict[str, Tensor]:
    source = setup.source
    refuse_mixed_samples(source, what="ewc", instead="l2_sp, or another source")
    held = held_tensors(setup, "generator")
    device = next(source.generator.parameters()).device
    rng = Randomness(setup.seed).generator("fisher information")
    size = source.architecture.latent_size
    latents = draw_latents(setup.settings.ewc_samples, size, rng, device)
    latents = source.architecture.with_labels(latents)
    fisher = fisher_of_generator(source, held, latents, setup.progress)
    return {
        **{f"start.{n}": t for n, t in weights_of(source.generator, held).items()},
        **{f"fisher.{n}": t for n, t in fisher.items()},
    }


def _build(setup: RegularizerSetup[EWCSettings], state: RegularizerState) -> list[RegularizerTerm]:
    held = held_tensors(setup, "generator")
    start, fisher = (laid_out_as(held, state, prefix) for prefix in ("start.", "fisher."))
    weight = setup.settings.ewc
    return [HeldWeights("ewc", "generator", weight, held, start, importance=fisher)]


REGULARIZERS.register("ewc")(
    Regularizer(
        EWCSettings,
        _wanted,
        _remember,
        _build,
        "hold the generator's weights by how much each matters",
    )
)
