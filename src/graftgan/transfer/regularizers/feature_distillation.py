"""Feature distillation: the discriminator must see in real pictures what the source's saw."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, SettingsError
from graftgan.core.network_types import ADDED_LAYERS, Discriminator, tensors_of
from graftgan.core.registry import suggest
from graftgan.core.tensors import Images, Scalar
from graftgan.core.untrusted import shown
from graftgan.networks.normalisation_statistics import follow_the_modes_of
from graftgan.transfer.regularizers.regularizer import (
    REGULARIZERS,
    Regularizer,
    RegularizerSetup,
    RegularizerState,
    RegularizerTerm,
    Role,
)


@dataclass(frozen=True, kw_only=True)
class FeatureDistillationSettings:
    """How the features of the discriminator are held."""

    feature_distillation: float = 0.0
    """Weight of the distance between the discriminators' features of real pictures."""
    distilled_layer: str | None = None
    """Discriminator layer whose output is compared; without it, the last but one."""


@dataclass(frozen=True, slots=True)
class FeatureDistillation:
    """lambda * mean of (f(x) - f_source(x))^2 over real pictures x and the features f of a layer.

    Source: the comparison in Mo et al. 2020 (arXiv:2002.10964, section 3). The features are read
    off as the discriminator scores the real batch, which costs no second pass and moves no running
    statistics twice. The source's discriminator sees the same pictures, augmented alike, and
    normalises as the target's does; at the start the term is zero.
    """

    weight: float
    target: Discriminator
    source: Discriminator
    layer: str
    role: Role = "discriminator"
    name: str = "feature_distillation"
    _seen: list[Tensor] = field(default_factory=list[Tensor])

    @contextmanager
    def watching(self) -> Generator[None]:
        """Keep the features of the pass that happens meanwhile."""
        with _reading(self.target, self.layer, self._seen):
            yield

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
        del module, given
        into[:] = [output]

    handle = network.layers()[layer].register_forward_hook(read)
    try:
        yield
    finally:
        handle.remove()


def _layer(setup: RegularizerSetup[FeatureDistillationSettings]) -> str:
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


def _wanted(settings: FeatureDistillationSettings) -> bool:
    return settings.feature_distillation > 0


def _remember(setup: RegularizerSetup[FeatureDistillationSettings]) -> dict[str, Tensor]:
    layer = _layer(setup)
    layers = list(setup.pair.discriminator.layers())
    moving = {row.layer for row in setup.plan.trainable["discriminator"]}
    if not moving & set(layers[: layers.index(layer) + 1]):
        raise SettingsError(
            f"feature_distillation holds nothing: no layer of the discriminator up to {layer} "
            "trains; leave it out, or take a later layer as distilled_layer"
        )
    return tensors_of(setup.source.discriminator)


def _build(
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
    return [FeatureDistillation(weight, target, source, _layer(setup))]


REGULARIZERS.register("feature_distillation")(
    Regularizer(
        FeatureDistillationSettings,
        _wanted,
        _remember,
        _build,
        "hold the discriminator's features of real pictures",
        needs_scores=True,
    )
)
