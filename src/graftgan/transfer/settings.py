"""The details of a transfer, beside its plan."""

from dataclasses import dataclass, fields

from graftgan.core.network_types import ADDED_LAYERS, CLASS_LAYER
from graftgan.core.settings import check_parts, parts_of, require_range, strict
from graftgan.networks.blocks import Statistics
from graftgan.transfer.actions import ACTIONS
from graftgan.transfer.modulation import LowRank
from graftgan.transfer.regularizers.regularizer import REGULARIZERS

_PARTS = parts_of({name: known.settings for name, known in REGULARIZERS.items()})


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettings:
    """The details of a transfer, beside its plan."""

    frozen_statistics: Statistics = "source"
    """Statistics that frozen and modulated layers normalise with: the source's or the batch's."""
    modulation_rate: float = 1.0
    """Learning rate of modulations (AdaFM, LoRA, ...), as a multiple of the network's."""
    modulations_from: float = 0.0
    """Share of the run after which modulations begin to learn; the other layers learn at once."""
    generator_from: float = 0.0
    """Share of the run after which the generator's own layers begin to learn, while the
    discriminator warms up; added layers learn at once."""
    class_rate: float = 10.0
    """Learning rate of the generator's classes, as a multiple of the network's."""
    lora_rank: int = 4
    """Rank of the change that LoRA learns for each kernel."""
    lora_scale: float = 1.0
    """Factor on LoRA's change."""
    modulated_share: float = 0.5
    """Share of a network's filters that by_importance modulates; it fine-tunes the others."""
    probe_iterations: int = 100
    """Iterations of the probe before the run that finds the important filters."""
    probe_samples: int = 128
    """Pictures on which the probe measures the importance of filters."""

    def __post_init__(self) -> None:
        require_range(self, "finite and positive", "modulation_rate", "class_rate", "lora_scale")
        require_range(self, "in [0, 1)", "modulations_from", "generator_from")
        require_range(self, "in [0, 1]", "modulated_share")
        require_range(self, "at least 1", "lora_rank", "probe_iterations", "probe_samples")

    def rate_of(self, action: str, *, layer: str = "") -> float:
        """Return the learning rate of a ``layer`` under ``action``, as a multiple."""
        if layer == CLASS_LAYER:  # few parameters, which must separate the classes in a short run
            return self.class_rate
        return self.modulation_rate if ACTIONS[action].modulates else 1.0

    def start_of(self, network: str, layer: str, action: str) -> float:
        """Return the share of the run after which a ``layer`` under ``action`` learns."""
        way = ACTIONS[action]
        own = network == "generator" and layer not in ADDED_LAYERS and way.keeps_source
        modulations = self.modulations_from if way.modulates else 0.0
        return max(modulations, self.generator_from if own else 0.0)

    def low_rank(self, seed: int) -> LowRank:
        """Return the settings of ``lora`` in a run with ``seed``."""
        return LowRank(rank=self.lora_rank, scale=self.lora_scale, seed=seed)


@strict
@dataclass(frozen=True, kw_only=True)
class RegularizerSettings(*_PARTS):  # pyright: ignore[reportUntypedBaseClass]
    """Losses that hold the networks to the source; a weight of 0 leaves one out."""

    def __post_init__(self) -> None:
        require_range(self, "finite and not negative", *(field.name for field in fields(self)))
        check_parts(self, _PARTS)
