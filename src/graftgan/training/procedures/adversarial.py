"""Adversarial training: discriminator and generator take turns on pictures."""

from collections.abc import Callable, Sequence

import torch

from graftgan.networks import build_pair
from graftgan.training import AdversarialLosses, Processes
from graftgan.training.augment import AdaptiveProbability, build_augmenter
from graftgan.training.objectives import (
    OBJECTIVES,
    OptimizationSettings,
    clip_weights,
    path_length_of,
    penalties_of,
)
from graftgan.training.procedures.contract import ProcedureInputs
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    real_batches,
    real_classes,
    update_of,
)
from graftgan.transfer import (
    RegularizerSetup,
    RegularizerTerm,
    build_regularizers,
    factors_in,
    is_regularized,
)


def build_adversarial(prepared: ProcedureInputs, processes: Processes) -> Parts:
    """Return discriminator and generator under the objective.

    Raises:
        CheckpointError: What the regularizers remember belongs to another run.
    """
    experiment, pair = prepared.experiment, prepared.pair
    settings = experiment.optimization
    losses = OBJECTIVES[experiment.resolved_objective].begin(settings)
    extra_modules = dict[str, torch.nn.Module]()
    if isinstance(losses, torch.nn.Module):  # it keeps something, which belongs in checkpoints
        extra_modules["objective"] = losses.to(prepared.hardware.device)
    path_length = path_length_of(settings)
    if path_length is not None:
        extra_modules["path_length"] = path_length.to(prepared.hardware.device)

    def settle() -> None:
        losses.settle()
        for kept in extra_modules.values():
            processes.average_buffers(kept)

    views = build_augmenter(
        experiment.augment, experiment.augmentation, batch_size=experiment.training.batch
    )
    if views.controller is not None:
        extra_modules["augmentation"] = views.controller.to(prepared.hardware.device)
    loss = AdversarialLosses(
        pair=pair,
        losses=losses,
        penalties=penalties_of(settings),
        real_batch=real_batches(prepared, processes),
        real_classes=real_classes(prepared, processes),
        views=views,
        hardware=prepared.hardware,
        batch_size=experiment.training.batch // processes.count,
        regularizers=regularizers_of(prepared),
        style_mixing=settings.style_mixing or 0.0,
        path_length=path_length,
    )
    critic = [p for layer in prepared.plan.trainable["discriminator"] for p in layer.parameters]
    return Parts(
        [
            update_of(
                "discriminator",
                prepared,
                losses=loss.discriminator_terms,
                repeats=settings.critic_steps or 1,
                before=_constraint(pair.discriminator, critic, settings),
                after=_adaptation(views.controller, processes),
            ),
            update_of("generator", prepared, losses=loss.generator_terms, after=settle),
        ],
        extra_modules,
    )


PROCEDURES.register("adversarial")(
    Procedure(
        build_adversarial,
        "discriminator and generator take turns on pictures",
        takes_classes=True,
        fresh_plan="fine_tune",
    )
)


def regularizers_of(prepared: ProcedureInputs) -> list[RegularizerTerm]:
    """Return the regularizers that the settings ask for, from what they remember of the source.

    Raises:
        CheckpointError: What they remember belongs to another run.
    """
    experiment = prepared.experiment
    if not is_regularized(experiment.regularizers):
        return []
    plain = build_pair(prepared.pair.architecture)
    for _, network in plain.items():
        prepared.hardware.place(network)
    setup = RegularizerSetup(
        experiment.regularizers, prepared.pair, prepared.plan, plain, experiment.seed
    )
    return build_regularizers(setup, prepared.regularizer_state)


def _adaptation(controller: AdaptiveProbability | None, processes: Processes) -> Callable[[], None]:
    """Return what moves the probability of the augmentation, if anything does."""
    if controller is None:
        return lambda: None

    def settle() -> None:
        processes.average_buffers(controller)
        controller.settle()

    return settle


def _constraint(
    critic: torch.nn.Module,
    parameters: Sequence[torch.nn.Parameter],
    settings: OptimizationSettings,
) -> Callable[[], None]:
    """Return the clipping of the critic's weights, if the objective has one.

    Factors of modulations are no weights: a scale starts at 1, and clipped to 0.01 it would wipe
    out the kernel it belongs to; clipped low-rank factors would change next to nothing.
    """
    limit = settings.weight_clip
    if not limit:
        return lambda: None
    factors = {id(factor) for factor in factors_in(critic)}
    weights = [p for p in parameters if id(p) not in factors]
    return lambda: clip_weights(weights, limit)
