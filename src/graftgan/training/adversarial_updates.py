"""The two updates of a GAN: the discriminator's and the generator's."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import torch

from graftgan.core.network_types import (
    Generator,
    NetworkPair,
    StyledGenerator,
    draw_latents,
    mixed_styles,
)
from graftgan.core.tensors import ClassWeights, Images, Latents, Logits, Scalar
from graftgan.training.hardware import Hardware
from graftgan.training.objectives.adversarial_losses import Losses
from graftgan.training.objectives.penalties import Penalty
from graftgan.training.updates import StepContext, Terms
from graftgan.transfer import RegularizerTerm


class StylePenalty(Protocol):
    """A term on how the generator's pictures follow its styles, due every ``every`` turns."""

    @property
    def every(self) -> int:
        """Turns between two uses."""
        ...

    def __call__(
        self, generator: StyledGenerator, latents: Latents, rng: torch.Generator
    ) -> Scalar:
        """Return the weighted term."""
        ...


class Views(Protocol):
    """What the discriminator sees of real and of generated images."""

    def real(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return real images as the discriminator sees them."""
        ...

    def fake(self, images: Images, rng: torch.Generator, *, progress: float) -> Images:
        """Return generated images as the discriminator sees them."""
        ...

    def observe(self, real: Logits) -> Terms:
        """Take note of the scores of real images as they were seen; return numbers for the log."""
        ...


@dataclass(frozen=True, slots=True)
class AdversarialLosses:
    """The losses of both networks.

    Attributes:
        pair: The networks.
        losses: The objective.
        penalties: Terms added to the discriminator's loss.
        real_batch: Returns the real images for the discriminator's n-th turn.
        views: The augmentation.
        hardware: Device and number format.
        batch_size: Pictures in a batch of this process.
        regularizers: Terms added to either loss.
        real_classes: Returns the classes of the n-th real batch; None: the pair knows no classes.
        style_mixing: Share of generated pictures drawn from the styles of two latents.
        path_length: The penalty on uneven path lengths; None: there is none.
    """

    pair: NetworkPair
    losses: Losses
    penalties: Sequence[Penalty]
    real_batch: Callable[[int], Images]
    views: Views
    hardware: Hardware
    batch_size: int
    regularizers: Sequence[RegularizerTerm] = ()
    real_classes: Callable[[int], ClassWeights | None] = lambda turn: None
    style_mixing: float = 0.0
    path_length: StylePenalty | None = None

    def discriminator_terms(self, context: StepContext) -> Terms:
        """Return the terms of the discriminator's loss on one real and one generated batch."""
        real = self.real_batch(context.turn)
        real = self.views.real(real, context.generator("view of real"), progress=context.progress)
        classes = self.real_classes(context.turn)
        critic = self.pair.discriminator.conditioned_on(classes)
        with self.hardware.autocast():
            with torch.no_grad():
                fake = self._generate(context, classes)
            fake = self.views.fake(
                fake, context.generator("view of fake"), progress=context.progress
            )
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
            fake = self._generate(context, classes)
            fake = self.views.fake(
                fake, context.generator("view of fake"), progress=context.progress
            )
            logits = self.pair.discriminator.conditioned_on(classes)(fake).float()
            terms = {"loss": self.losses.generator_loss(logits)}
            terms |= {f"_{name}": value for name, value in self.losses.gauges().items()}
            terms |= {a.name: a(None) for a in self._regularizers_of("generator")}
            if self.path_length is not None and context.turn % self.path_length.every == 0:
                terms["path_length"] = self._path_length(context, classes)
        return terms

    def _path_length(self, context: StepContext, classes: ClassWeights | None) -> Scalar:
        assert self.path_length is not None
        latents = self._draw_latents(context, "path length latents", classes)
        rng = context.generator("path length")
        return self.path_length(_styled(self.pair.generator), latents, rng)

    def _regularizers_of(self, role: str) -> list[RegularizerTerm]:
        return [regularizer for regularizer in self.regularizers if regularizer.role == role]

    def _generate(self, context: StepContext, classes: ClassWeights | None = None) -> Images:
        """Return a generated batch, of the classes of the real one.

        So classes are as frequent among generated pictures as among real ones, and a penalty on
        mixes of the two mixes pictures of one class.
        """
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
