"""An experiment put together: every part is there and fits, and nothing is trained yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from graftgan.core.network_types import NetworkPair
from graftgan.experiments.experiment import Experiment
from graftgan.metrics import LEAST_HELD_OUT, Extractor
from graftgan.pictures import ImageSet
from graftgan.pictures.reference import Reference, honest_pictures
from graftgan.training import Hardware
from graftgan.transfer import AppliedPlan

HELD_OUT = "held out"
"""What pictures are, in words, that a run holds out and is scored against."""


@dataclass(frozen=True, slots=True)
class ScoringReference:
    """What the scores of a run are measured with.

    Attributes:
        extractor: The feature network.
        reference: The pictures to score against; None: those held out.
        name: What they are, in words.
    """

    extractor: Extractor
    reference: Reference | None
    name: str = HELD_OUT


@dataclass(frozen=True, slots=True)
class Prepared:
    """An experiment whose every part has been checked, before anything is written.

    Attributes:
        experiment: With every default written out.
        pair: The networks at their start, under the plan.
        base: Fingerprints of the source's networks, by role; empty without a source.
        scoring_reference: What to score the run with; None where no scores are asked for.
        regularizer_state: What the regularizers need of the source; empty without regularizers.
        procedure_cache: What the procedure made of source and pictures before the run, if anything.
    """

    experiment: Experiment
    pair: NetworkPair
    plan: AppliedPlan
    images: ImageSet
    hardware: Hardware
    base: dict[str, str]
    scoring_reference: ScoringReference | None = None
    regularizer_state: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    procedure_cache: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def without_copy_guard(self) -> str:
        """Why copies cannot be told in a run that is scored; empty: they can, or are not asked for.

        The reason says what to do.
        """
        asked = self.scoring_reference is not None and self.experiment.scoring.copy_guard
        if not asked:
            return ""
        held_out, honest = len(self.images.held_out), len(honest_pictures(self.images))
        if honest >= LEAST_HELD_OUT:
            return ""
        if not held_out:
            return "it needs pictures that are not trained on: --held-out 0.2"
        return (
            f"it needs {LEAST_HELD_OUT} different pictures that are not trained on, and finds only "
            f"{honest} among {held_out} held out; hold more out, or add different pictures"
        )
