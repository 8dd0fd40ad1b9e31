"""How strongly the target is held to the source, and by what."""

import math
from dataclasses import dataclass, fields

from graftgan.core.errors import SettingsError
from graftgan.core.settings import strict


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class RegularizerSettings:
    """Losses that hold the networks to the source; a weight of 0 leaves one out."""

    l2_sp_discriminator: float = 0.0
    """Weight of L2-SP, the squared distance to the source's weights, on the discriminator."""
    l2_sp_generator: float = 0.0
    """Weight of L2-SP on the generator."""
    feature_distillation: float = 0.0
    """Weight of the distance between the discriminators' features of real pictures."""
    distilled_layer: str | None = None
    """Discriminator layer whose output is compared; without it, the last but one."""
    ewc: float = 0.0
    """Weight of EWC on the generator: L2-SP, but by how much each weight matters."""
    ewc_samples: int = 128
    """Pictures that the Fisher information of EWC is measured on."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise SettingsError(f"{field.name} must be finite and not negative, got {value}")
        if self.ewc_samples < 1:
            raise SettingsError(f"ewc_samples must be at least 1, got {self.ewc_samples}")
