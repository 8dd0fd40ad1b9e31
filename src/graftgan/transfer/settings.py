"""The details of a transfer, beside its plan."""

import math
from dataclasses import dataclass

from graftgan.errors import SettingsError
from graftgan.settings import strict
from graftgan.transfer.statistics import Statistics


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettings:
    """The details of a transfer, beside its plan."""

    frozen_statistics: Statistics = "source"
    """What frozen and modulated layers normalise with: the source's statistics, or the batch's."""
    modulation_rate: float = 1.0
    """Learning rate of modulations (AdaFM, scale and shift), as a multiple of the network's."""

    def __post_init__(self) -> None:
        if not 0 < self.modulation_rate < math.inf:
            raise SettingsError(
                f"modulation_rate must be finite and positive, got {self.modulation_rate}"
            )

    def rate_of(self, action: str) -> float:
        """Return the multiple of the learning rate for layers under ``action``."""
        return self.modulation_rate if action in {"adafm", "filter_scale_shift"} else 1.0
