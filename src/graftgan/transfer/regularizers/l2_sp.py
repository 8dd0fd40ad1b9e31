"""L2-SP: the squared distance of the weights to the source's.

lambda * sum of (theta - theta_source)^2 over the weights of one network that move.

Source: Li et al. 2018 (arXiv:1802.01483, eq. 2), without its half. The sum runs over single
weights; a mean for each tensor would let small tensors count more. Of a modulated layer the weight
that results is held, not the modulation's own numbers.
"""

from dataclasses import dataclass

from torch import Tensor

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
    """How L2-SP holds each network."""

    l2_sp_discriminator: float = 0.0
    """Weight of L2-SP, the squared distance to the source's weights, on the discriminator."""
    l2_sp_generator: float = 0.0
    """Weight of L2-SP on the generator."""


def _weights(settings: L2SPSettings) -> dict[Role, float]:
    given: dict[Role, float] = {
        "discriminator": settings.l2_sp_discriminator,
        "generator": settings.l2_sp_generator,
    }
    return {role: weight for role, weight in given.items() if weight}


def _wanted(settings: L2SPSettings) -> bool:
    return bool(_weights(settings))


def _remember(setup: RegularizerSetup[L2SPSettings]) -> dict[str, Tensor]:
    source = dict(setup.source.items())
    return {
        f"{role}.{name}": tensor
        for role in _weights(setup.settings)
        for name, tensor in weights_of(source[role], held_tensors(setup, role)).items()
    }


def _build(setup: RegularizerSetup[L2SPSettings], state: RegularizerState) -> list[RegularizerTerm]:
    terms: list[RegularizerTerm] = []
    for role, weight in _weights(setup.settings).items():
        held = held_tensors(setup, role)
        terms.append(HeldWeights("l2_sp", role, weight, held, laid_out_as(held, state, f"{role}.")))
    return terms


REGULARIZERS.register("l2_sp")(
    Regularizer(
        L2SPSettings, _wanted, _remember, _build, "hold the weights to the source's, all alike"
    )
)
