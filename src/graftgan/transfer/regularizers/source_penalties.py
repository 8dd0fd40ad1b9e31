"""The losses that hold the target to the source: L2-SP, EWC and feature distillation."""

from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, Progress, SettingsError, shown, silent
from graftgan.core.network_types import (
    ADDED_LAYERS,
    Discriminator,
    Images,
    Latents,
    NetworkPair,
    Scalar,
    draw_latents,
    tensors_of,
)
from graftgan.core.randomness import Randomness
from graftgan.core.registry import suggest
from graftgan.core.settings import require_range
from graftgan.networks.blocks import follow_the_modes_of
from graftgan.transfer.importance import mean_squared_gradients, refuse_mixed_samples
from graftgan.transfer.regularizers.regularizer import (
    REGULARIZERS,
    HeldWeights,
    Regularizer,
    RegularizerSetup,
    RegularizerState,
    RegularizerTerm,
    Role,
    held_tensors,
    laid_out_as,
    weights_of,
)


@dataclass(frozen=True, kw_only=True)
class L2SPSettings:
    """How L2-SP holds each network (Li et al. 2018, arXiv:1802.01483, eq. 2, without its half)."""

    l2_sp_discriminator: float = 0.0
    """Weight of L2-SP, the squared distance to the source's weights, on the discriminator."""
    l2_sp_generator: float = 0.0
    """Weight of L2-SP on the generator."""


def _l2_weights(settings: L2SPSettings) -> dict[Role, float]:
    roles: tuple[Role, ...] = ("discriminator", "generator")
    return {role: weight for role in roles if (weight := getattr(settings, f"l2_sp_{role}"))}


def _remember_weights(setup: RegularizerSetup[L2SPSettings]) -> dict[str, Tensor]:
    source = dict(setup.source.items())
    return {
        f"{role}.{name}": tensor
        for role in _l2_weights(setup.settings)
        for name, tensor in weights_of(source[role], held_tensors(setup, role)).items()
    }


def _build_l2_sp(
    setup: RegularizerSetup[L2SPSettings], state: RegularizerState
) -> list[RegularizerTerm]:
    terms: list[RegularizerTerm] = []
    for role, weight in _l2_weights(setup.settings).items():
        held = held_tensors(setup, role)
        terms.append(HeldWeights("l2_sp", role, weight, held, laid_out_as(held, state, f"{role}.")))
    return terms


@dataclass(frozen=True, kw_only=True)
class EWCSettings:
    """How EWC holds the generator (Li et al. 2020, arXiv:2012.02780, eq. 2-3)."""

    ewc: float = 0.0
    """Weight of EWC on the generator: L2-SP, weighted by the importance of each weight."""
    ewc_samples: int = 128
    """Pictures on which EWC measures the Fisher information."""

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "ewc_samples")


def fisher_of_generator(
    source: NetworkPair, names: Iterable[str], latents: Latents, progress: Progress = silent
) -> dict[str, Tensor]:
    """Return the Fisher information of the generator's parameters ``names`` by name.

    The likelihood of a latent z is the verdict of the source's own discriminator: sigmoid(D(G(z))).
    Both networks are set to evaluation mode, so that samples do not mix.
    """
    for _, network in source.items():
        network.eval().requires_grad_(False)
    parameters = {n: p for n, p in source.generator.named_parameters() if n in set(names)}
    for parameter in parameters.values():
        parameter.requires_grad_(True)

    def log_likelihood(latent: Tensor) -> Scalar:
        return F.logsigmoid(source.discriminator(source.generator(latent[None]))).sum()

    chosen, what = list(parameters.values()), "measuring what matters"
    found = mean_squared_gradients(
        log_likelihood, chosen, latents.unbind(), what=what, progress=progress
    )
    return dict(zip(parameters, found, strict=True))


def _remember_fisher(setup: RegularizerSetup[EWCSettings]) -> dict[str, Tensor]:
    """Return weights and Fisher information of the source; F is that of the plain weight."""
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


def _build_ewc(
    setup: RegularizerSetup[EWCSettings], state: RegularizerState
) -> list[RegularizerTerm]:
    held = held_tensors(setup, "generator")
    start, fisher = (laid_out_as(held, state, prefix) for prefix in ("start.", "fisher."))
    return [HeldWeights("ewc", "generator", setup.settings.ewc, held, start, importance=fisher)]


@dataclass(frozen=True, kw_only=True)
class FeatureDistillationSettings:
    """How the discriminator's features are held."""

    feature_distillation: float = 0.0
    """Weight of the distance between the discriminators' features of real pictures."""
    distilled_layer: str | None = None
    """Discriminator layer whose output is compared; without it, the last but one."""


@dataclass(frozen=True, slots=True)
class FeatureDistillation(RegularizerTerm):
    """weight * mean of (f(x) - f_source(x))^2 over real pictures x and the features f of a layer.

    Source: the comparison in Mo et al. 2020 (arXiv:2002.10964, section 3). A hook reads the
    features while the discriminator scores the real batch: no second pass, and running statistics
    move once. The source's discriminator sees the same augmented pictures and normalises as the
    target's does; at the start the term is zero.
    """

    target: Discriminator
    source: Discriminator
    layer: str
    _seen: list[Tensor] = field(default_factory=list[Tensor])

    def watching(self) -> AbstractContextManager[None]:
        """Record the features of the passes within."""
        return _reading(self.target, self.layer, self._seen)

    def __call__(self, real: Images | None) -> Scalar:
        """Return the weighted distance of the features of the batch just scored."""
        assert real is not None  # the discriminator's loss
        features, wanted = self._seen.pop(), list[Tensor]()
        with torch.no_grad(), _reading(self.source, self.layer, wanted):
            self.source(real)
        return self.weight * F.mse_loss(features.float(), wanted.pop().float())


@contextmanager
def _reading(network: Discriminator, layer: str, into: list[Tensor]) -> Generator[None]:
    def read(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        into[:] = [output]

    handle = network.layers()[layer].register_forward_hook(read)
    try:
        yield
    finally:
        handle.remove()


def _distilled_layer(setup: RegularizerSetup[FeatureDistillationSettings]) -> str:
    layers = [la for la in setup.pair.discriminator.layers() if la not in ADDED_LAYERS]
    asked = setup.settings.distilled_layer
    if asked is None:
        return layers[max(len(layers) - 2, 0)]
    if asked not in layers:
        raise SettingsError(
            f"distilled_layer: the discriminator has no layer '{shown(asked)}'; "
            f"{suggest(asked, layers)}"
        )
    return asked


def _remember_features(setup: RegularizerSetup[FeatureDistillationSettings]) -> dict[str, Tensor]:
    layer = _distilled_layer(setup)
    layers = list(setup.pair.discriminator.layers())
    moving = {row.layer for row in setup.plan.trainable["discriminator"]}
    if not moving & set(layers[: layers.index(layer) + 1]):
        raise SettingsError(
            f"feature_distillation holds nothing: no layer of the discriminator up to {layer} "
            "trains; leave it out, or take a later layer as distilled_layer"
        )
    return tensors_of(setup.source.discriminator)


def _build_distillation(
    setup: RegularizerSetup[FeatureDistillationSettings], state: RegularizerState
) -> list[RegularizerTerm]:
    source, target = setup.source.discriminator, setup.pair.discriminator
    try:
        source.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the saved state of the regularizers does not fit this run: {shown(error, 300)}"
        ) from None
    source.requires_grad_(False)
    follow_the_modes_of(target, source)
    weight = setup.settings.feature_distillation
    name, layer = "feature_distillation", _distilled_layer(setup)
    return [FeatureDistillation(name, "discriminator", weight, target, source, layer)]


REGULARIZERS.register("ewc")(
    Regularizer(
        EWCSettings,
        lambda settings: settings.ewc > 0,
        _remember_fisher,
        _build_ewc,
        "hold the generator's weights, each by its importance",
    )
)
REGULARIZERS.register("feature_distillation")(
    Regularizer(
        FeatureDistillationSettings,
        lambda settings: settings.feature_distillation > 0,
        _remember_features,
        _build_distillation,
        "hold the discriminator's features of real pictures",
        needs_scores=True,
    )
)
REGULARIZERS.register("l2_sp")(
    Regularizer(
        L2SPSettings,
        lambda settings: bool(_l2_weights(settings)),
        _remember_weights,
        _build_l2_sp,
        "hold the weights to the source's, all alike",
    )
)
