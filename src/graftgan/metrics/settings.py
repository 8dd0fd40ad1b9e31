"""What a person can set about scores and feature networks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from graftgan.core.errors import SettingsError
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import strict
from graftgan.metrics.extractors import EXTRACTORS
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES
from graftgan.metrics.extractors.views import view_of
from graftgan.metrics.metric import METRICS
from graftgan.metrics.score import HEADLINE

_LARGEST_SIDE = 2048  # pixels: a batch of more would not fit into most memories


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorSettings:
    """Which network turns pictures into features, and how pictures come to it."""

    extractor: Annotated[
        str, NamesDoc("{}; or a TorchScript or ONNX file. FID is inception's.", EXTRACTORS)
    ] = "efficientnet_lite0"
    extractor_weights: Path | None = None
    """The file of published weights (inception, dinov2); without it, it is found or downloaded."""
    extractor_resize: Annotated[str | None, NamesDoc("{}; without it, clean_fid.", RESIZES)] = None
    extractor_side: int | None = None
    """Height and width in pixels that a network from a file takes; without it, 224."""
    extractor_pixels: Annotated[
        str | None, NamesDoc("What a network from a file takes: {}.", PIXEL_RANGES)
    ] = None
    extractor_view: str | None = None
    """What it is shown: visible (what a person sees) or pixels (all of them, as published scores
    have it); without it, visible, and pixels for inception."""

    def __post_init__(self) -> None:
        if self.extractor_resize is not None:
            _ = RESIZES[self.extractor_resize]  # refuses a name that it does not know
        if self.extractor_pixels is not None:
            _ = PIXEL_RANGES[self.extractor_pixels]
        if self.extractor_view is not None:
            view_of(self.extractor_view)
        if self.extractor_side is not None and not 1 <= self.extractor_side <= _LARGEST_SIDE:
            raise SettingsError(
                f"extractor_side must be from 1 to {_LARGEST_SIDE}, got {self.extractor_side}"
            )


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
