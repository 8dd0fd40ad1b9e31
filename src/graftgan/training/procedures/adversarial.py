"""Adversarial training: discriminator and generator take turns on pictures."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch

from graftgan.core.network_types import (
    ClassWeights,
    Generator,
    Images,
    Latents,
    NetworkPair,
    StyledGenerator,
    draw_latents,
    mixed_styles,
)
from graftgan.networks.backbone import build_pair
from graftgan.training import Hardware, Processes, StepContext, Terms
from graftgan.training.augment import Augmenter, build_augmenter
from graftgan.training.objectives import (
    OBJECTIVES,
    Losses,
    PathLength,
    Penalty,
    clip_weights,
    path_length_of,
    penalties_of,
)
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    ProcedureInputs,
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


@dataclass(frozen=True, slots=True)
class AdversarialLosses:
    """The losses of both networks, on batches of ``batch_size`` pictures in this process.

    Attributes:
        penalties: Terms added to the discriminator's loss.
        real_batch: Returns the real images for the discriminator's n-th turn.
        views: The augmentation.
        regularizers: Terms added to either loss.
        real_classes: Returns the classes of the n-th real batch; None: there are no classes.
        style_mixing: Share of generated pictures drawn from the styles of two latents.
    """

    pair: NetworkPair
    losses: Losses
    penalties: Sequence[Penalty]
    real_batch: Callable[[int], Images]
    views: Augmenter
    hardware: Hardware
    batch_size: int
    regularizers: Sequence[RegularizerTerm] = ()
    real_classes: Callable[[int], ClassWeights | None] = lambda turn: None
    style_mixing: float = 0.0
    path_length: PathLength | None = None

    def discriminator_terms(self, context: StepContext) -> Terms:
        """Return the terms of the discriminator's loss on one real and one generated batch."""
        real = self.real_batch(context.turn)
        real = self.views.real(real, context.generator("view of real"), progress=context.progress)
        classes = self.real_classes(context.turn)
        critic = self.pair.discriminator.conditioned_on(classes)
        with self.hardware.autocast():
            with torch.no_grad():
                fake = self._generate(context, classes)
            fake = self._view_of_fake(fake, context)
            with ExitStack() as watched:
                for regularizer in self._regularizers_of("discriminator"):
                    watched.enter_context(regularizer.watching())
                real_logits = critic(real).float()
            fake_logits = critic(fake).float()
            terms = {
                "loss": self.losses.discriminator_loss(real_logits, fake_logits),
                "_real": real_logits.mean(),
                "_fake": fake_logits.mean(),
            }
            for penalty in self.penalties:
                if context.turn % penalty.every == 0:
                    rng = context.generator(penalty.name)
                    terms[penalty.name] = penalty(critic, real, fake, rng)
            terms |= {a.name: a(real) for a in self._regularizers_of("discriminator")}
        terms |= {f"_{name}": value for name, value in self.views.observe(real_logits).items()}
        return terms

    def generator_terms(self, context: StepContext) -> Terms:
        """Return the generator's loss on one generated batch."""
        classes = self.real_classes(context.turn)
        with self.hardware.autocast():
            fake = self._view_of_fake(self._generate(context, classes), context)
            logits = self.pair.discriminator.conditioned_on(classes)(fake).float()
            terms = {"loss": self.losses.generator_loss(logits)}
            terms |= {f"_{name}": value for name, value in self.losses.gauges().items()}
            terms |= {a.name: a(None) for a in self._regularizers_of("generator")}
            if self.path_length is not None and context.turn % self.path_length.every == 0:
                latents = self._draw_latents(context, "path length latents", classes)
                rng = context.generator("path length")
                styled = _styled(self.pair.generator)
                terms["path_length"] = self.path_length(styled, latents, rng)
        return terms

    def _view_of_fake(self, fake: Images, context: StepContext) -> Images:
        rng = context.generator("view of fake")
        return self.views.fake(fake, rng, progress=context.progress)

    def _regularizers_of(self, role: str) -> list[RegularizerTerm]:
        return [regularizer for regularizer in self.regularizers if regularizer.role == role]

    def _generate(self, context: StepContext, classes: ClassWeights | None = None) -> Images:
        """Return a batch of pictures, each of the class of a real one."""
        latents = self._draw_latents(context, "latents", classes)
        noise = context.generator("noise")
        if not self.style_mixing:
            return self.pair.generator.in_training(latents, noise)
        generator = _styled(self.pair.generator)
        others = self._draw_latents(context, "latents of mixed styles", classes)
        pair = generator.styles(latents), generator.styles(others)
        rng = context.generator("style mixing")
        return generator.synthesize(mixed_styles(*pair, self.style_mixing, rng), noise)

    def _draw_latents(
        self, context: StepContext, stream: str, classes: ClassWeights | None
    ) -> Latents:
        """Return a batch of latents (b, z), or (b, z + k) with ``classes``."""
        size, rng = self.pair.architecture.latent_size, context.generator(stream)
        latents = draw_latents(self.batch_size, size, rng, self.hardware.device)
        return latents if classes is None else torch.cat([latents, classes], dim=1)


def _styled(generator: Generator) -> StyledGenerator:
    assert isinstance(generator, StyledGenerator)  # the settings were checked
    return generator


def _adversarial(prepared: ProcedureInputs, processes: Processes) -> Parts:
    experiment, pair = prepared.experiment, prepared.pair
    settings = experiment.optimization
    losses = OBJECTIVES[experiment.resolved_objective].begin(settings)
    path_length = path_length_of(settings)
    views = build_augmenter(
        experiment.augment, experiment.augmentation, batch_size=experiment.training.batch
    )
    kept = {"objective": losses, "path_length": path_length, "augmentation": views.controller}
    extra_modules: dict[str, torch.nn.Module] = {  # those with state belong in checkpoints
        name: part.to(prepared.hardware.device)
        for name, part in kept.items()
        if isinstance(part, torch.nn.Module)
    }

    def settle() -> None:
        losses.settle()
        for module in extra_modules.values():
            processes.average_buffers(module)

    def adapt() -> None:
        if views.controller is not None:
            processes.average_buffers(views.controller)
            views.controller.settle()

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
    # Factors of modulations are not clipped: a scale starts at 1, and at 0.01 it would wipe out its
    # kernel; low-rank factors would change next to nothing.
    factors = {id(factor) for factor in factors_in(pair.discriminator)}
    layers = prepared.plan.trainable["discriminator"]
    weights = [p for layer in layers for p in layer.parameters if id(p) not in factors]

    def clip() -> None:
        if settings.weight_clip:
            clip_weights(weights, settings.weight_clip)

    of_discriminator = replace(
        update_of("discriminator", prepared, loss.discriminator_terms),
        repeats=settings.critic_steps or 1,
        before=clip,
        after=adapt,
    )
    of_generator = replace(update_of("generator", prepared, loss.generator_terms), after=settle)
    return Parts([of_discriminator, of_generator], extra_modules)


PROCEDURES.register("adversarial")(
    Procedure(
        _adversarial,
        "discriminator and generator take turns on pictures",
        takes_classes=True,
        fresh_plan="fine_tune",
    )
)


def regularizers_of(prepared: ProcedureInputs) -> list[RegularizerTerm]:
    """Return the wanted regularizers; raise CheckpointError if their state is of another run."""
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
