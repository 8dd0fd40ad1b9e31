"""The details of a transfer, beside its plan."""

import math
from dataclasses import dataclass

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import ADDED_LAYERS, CLASS_LAYER
from graftgan.core.settings import strict
from graftgan.networks.normalisation_statistics import Statistics
from graftgan.transfer.actions import ACTIONS
from graftgan.transfer.modulation import LowRank


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettings:
    """The details of a transfer, beside its plan."""

    frozen_statistics: Statistics = "source"
    """What frozen and modulated layers normalise with: the source's statistics, or the batch's."""
    modulation_rate: float = 1.0
    """Learning rate of modulations (AdaFM, LoRA, ...), as a multiple of the network's."""
    modulations_from: float = 0.0
    """Share of the run after which modulations begin to learn; the other layers learn at once."""
    generator_from: float = 0.0
    """Share of the run after which the generator's layers learn, added ones at once: until then the
    discriminator warms up."""
    class_rate: float = 10.0
    """Learning rate of the generator's classes, as a multiple of the network's."""
    lora_rank: int = 4
    """Rank of the change that LoRA learns for each kernel."""
    lora_scale: float = 1.0
    """What LoRA's change is multiplied with."""
    modulated_share: float = 0.5
    """Share of a network's filters that by_importance modulates; it tunes the others."""
    probe_iterations: int = 100
    """Iterations of the probe before the run, which finds the filters that matter."""
    probe_samples: int = 128
    """Pictures on which the probe's filters are measured."""

    def __post_init__(self) -> None:
        for name in ("modulation_rate", "class_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(
                    f"{name} must be finite and positive, got {getattr(self, name)}"
                )
        for name in ("modulations_from", "generator_from"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.lora_rank < 1:
            raise SettingsError(f"lora_rank must be at least 1, got {self.lora_rank}")
        if not 0 <= self.modulated_share <= 1:
            raise SettingsError(f"modulated_share must be in [0, 1], got {self.modulated_share}")
        for name in ("probe_iterations", "probe_samples"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.lora_scale < math.inf:
            raise SettingsError(f"lora_scale must be finite and positive, got {self.lora_scale}")

    def rate_of(self, action: str, *, layer: str = "") -> float:
        """Return the multiple of the learning rate for a ``layer`` under ``action``."""
        if layer == CLASS_LAYER:  # a few numbers, which must part the classes in a short run
            return self.class_rate
        return self.modulation_rate if ACTIONS[action].modulates else 1.0

    def start_of(self, network: str, layer: str, action: str) -> float:
        """Return the share of the run after which ``layer``, which is under ``action``, learns."""
        way = ACTIONS[action]
        own = network == "generator" and layer not in ADDED_LAYERS and way.keeps_source
        return max(
            self.modulations_from if way.modulates else 0.0, self.generator_from if own else 0.0
        )

    def low_rank(self, seed: int) -> LowRank:
        """Return how ``lora`` is done in a run of ``seed``."""
        return LowRank(rank=self.lora_rank, scale=self.lora_scale, seed=seed)
