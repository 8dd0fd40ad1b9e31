"""What a person can set about the scores of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from graftgan.core.errors import SettingsError
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import strict
from graftgan.metrics.extractors import ExtractorSettings
from graftgan.metrics.measure import HEADLINE
from graftgan.metrics.metric import METRICS


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSettings:
    """How a run is scored while it trains, and when the scores end it."""

    score_every: int | None = None
    """Iterations between two scores; they need --reference or --held-out. Without it, none."""
    metrics: Annotated[
        tuple[str, ...],
        NamesDoc("The scores: {}; the first decides which checkpoint is the best.", METRICS),
    ] = (HEADLINE,)
    reference: Path | None = None
    """A larger set of the target's pictures, for scores only; without it, those held out."""
    score_count: int = 500
    """Generated pictures that are scored."""
    patience: int | None = None
    """Stop, and go back to the best, after so many scores in a row without a better one."""
    copy_guard: bool = True
    """Stop, and go back, when the pictures copy the training ones; needs pictures held out."""
    keep_pictures: bool = True
    """Keep the scored pictures in the run, so that `graftgan evaluate --again` can score them."""
    network: ExtractorSettings = field(default_factory=ExtractorSettings)

    def __post_init__(self) -> None:
        for name in ("score_every", "score_count", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} must be at least 1, got {value}")
        if not self.metrics:
            raise SettingsError("metrics must name at least one score, such as kid")
        if self.score_every is None and self.patience is not None:
            raise SettingsError("patience counts scores; set --score-every too")
