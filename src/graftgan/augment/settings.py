"""How often and how strongly the discriminator's pictures are changed."""

from dataclasses import dataclass

from graftgan.errors import SettingsError
from graftgan.settings import strict

STRONGEST = 2.0  # beyond twice a policy's own ranges little of a picture is left


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """What a person can set about any augmentation policy.

    Attributes:
        probability: Chance that an image is augmented at all.
        strength: Scales the range of every operation: 0 changes nothing, 1 is the policy as
            published, at most 2.
        fade_out: Share of the training, at its end, over which the probability falls linearly to
            0, so that what leaked into the samples can be unlearned; 0 never fades.
        flip: Mirror real pictures at random. Doubles a small set; wrong for text or anything else
            that has a side.
    """

    probability: float = 1.0
    strength: float = 1.0
    fade_out: float = 0.1
    flip: bool = False

    def __post_init__(self) -> None:
        limits = {"probability": 1.0, "strength": STRONGEST, "fade_out": 1.0}
        problems = [
            f"{name} must be between 0 and {limit:g}, got {getattr(self, name)}"
            for name, limit in limits.items()
            if not 0.0 <= getattr(self, name) <= limit
        ]
        if problems:
            raise SettingsError(f"augmentation: {'; '.join(problems)}")

    def probability_at(self, progress: float) -> float:
        """Return the chance that an image is augmented when ``progress`` of the training is done.

        Raises:
            ValueError: ``progress`` is not a share in [0, 1].
        """
        if not 0.0 <= progress <= 1.0:
            raise ValueError(f"progress is the share of training done, in [0, 1], got {progress}")
        if self.fade_out == 0.0:
            return self.probability
        return self.probability * min(1.0, (1.0 - progress) / self.fade_out)
