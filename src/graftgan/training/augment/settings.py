"""How often and how strongly the discriminator's pictures are changed."""

import math
from dataclasses import dataclass, replace

from graftgan.core.errors import SettingsError
from graftgan.core.settings import strict
from graftgan.training.augment.policies import Policy

STRONGEST = 2.0  # beyond twice a policy's own ranges little of a picture is left
ADAPTIVE_IMAGES = 500_000  # Karras et al. 2020, section 3, from fresh weights
ADAPTIVE_IMAGES_OF_TRANSFERS = 100_000  # as their code has it: a transfer is shorter


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """What a person can set about any augmentation policy.

    Attributes:
        probability: Chance that an image is augmented at all, or by each operation of a policy that
            draws them one by one; with ada, where it starts. Without it 1, with ada 0, and 0.2 with
            its parts (blit, geom, color, bg, bgc).
        strength: Scales the range of every operation: 0 changes nothing, 1 is the policy as
            published, at most 2.
        fade_out: Share of the training, at its end, over which the probability falls linearly to
            0, so that what leaked into the samples can be unlearned; 0 never fades. Without it 0.1,
            with ada 0.
        flip: Mirror real pictures at random. Doubles a small set; wrong for text or anything else
            that has a side.
        adaptive_target: With ada: the mean sign of the scores of real pictures that its probability
            holds; lower augments more.
        adaptive_images: With ada: real pictures shown while the probability can go from 0 to 1.
            Without it 500,000, or 100,000 with a source.
    """

    probability: float | None = None
    strength: float = 1.0
    fade_out: float | None = None
    flip: bool = False
    adaptive_target: float = 0.6
    adaptive_images: int | None = None

    def __post_init__(self) -> None:
        limits = {
            "probability": (0.0, 1.0),
            "strength": (0.0, STRONGEST),
            "fade_out": (0.0, 1.0),
            "adaptive_target": (-1.0, 1.0),
            "adaptive_images": (1, math.inf),
        }
        given = {name: getattr(self, name) for name in limits}
        problems = [
            f"{name} must be {_within(*limits[name])}, got {value}"
            for name, value in given.items()
            if value is not None and not limits[name][0] <= value <= limits[name][1]
        ]
        if problems:
            raise SettingsError(f"augmentation: {'; '.join(problems)}")

    def or_else(self, policy: Policy, *, transfers: bool = False) -> "AugmentationSettings":
        """Fill what is not given with what is usual under ``policy``.

        Args:
            policy: What the settings are for.
            transfers: Whether the run begins with a source.
        """
        images = self.adaptive_images
        if policy.adaptive and images is None:
            images = ADAPTIVE_IMAGES_OF_TRANSFERS if transfers else ADAPTIVE_IMAGES
        return replace(
            self,
            probability=policy.probability if self.probability is None else self.probability,
            fade_out=policy.fade_out if self.fade_out is None else self.fade_out,
            adaptive_images=images,
        )

    def share_at(self, progress: float) -> float:
        """Return by what the probability is multiplied when ``progress`` of the training is done.

        Raises:
            ValueError: ``progress`` is not a share in [0, 1].
        """
        if not 0.0 <= progress <= 1.0:
            raise ValueError(f"progress is the share of training done, in [0, 1], got {progress}")
        return min(1.0, (1.0 - progress) / self.fade_out) if self.fade_out else 1.0


def _within(low: float, high: float) -> str:
    return f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
