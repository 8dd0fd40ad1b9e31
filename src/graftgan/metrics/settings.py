"""Settings of scores and feature networks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from graftgan.core.errors import SettingsError
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import require_range, strict
from graftgan.metrics.extractors import EXTRACTORS
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES
from graftgan.metrics.extractors.views import VIEWS
from graftgan.metrics.metric import METRICS
from graftgan.metrics.score import HEADLINE

_LARGEST_SIDE = 2048  # pixels: a batch of larger images would not fit into most memories


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorSettings:
    """The network that turns pictures into features, and the preprocessing of pictures."""

    extractor: Annotated[
        str, NamesDoc("{}; or a TorchScript or ONNX file. FID needs inception.", EXTRACTORS)
    ] = "efficientnet_lite0"
    extractor_weights: Path | None = None
    """File of the published weights (inception, dinov2); by default found or downloaded."""
    extractor_resize: Annotated[str | None, NamesDoc("{}; default: clean_fid.", RESIZES)] = None
    extractor_side: int | None = None
    """Input height and width in pixels of a network from a file; default: 224."""
    extractor_pixels: Annotated[
        str | None, NamesDoc("Input range of a network from a file: {}.", PIXEL_RANGES)
    ] = None
    extractor_view: str | None = None
    """What the network is shown: visible (what a person sees) or pixels (all of them, as in
    published scores); default: visible, but pixels for inception."""

    def __post_init__(self) -> None:
        if self.extractor_resize is not None:
            _ = RESIZES[self.extractor_resize]  # raises UnknownName
        if self.extractor_pixels is not None:
            _ = PIXEL_RANGES[self.extractor_pixels]
        if self.extractor_view is not None:
            _ = VIEWS[self.extractor_view]
        if self.extractor_side is not None and not 1 <= self.extractor_side <= _LARGEST_SIDE:
            raise SettingsError(
                f"extractor_side must be from 1 to {_LARGEST_SIDE}, got {self.extractor_side}"
            )


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSettings:
    """How a run is scored during training, and when scores stop it."""

    score_every: int | None = None
    """Iterations between two scores; needs --reference or --held-out. By default, no scores."""
    metrics: Annotated[
        tuple[str, ...],
        NamesDoc("The scores: {}; the first one selects the best checkpoint.", METRICS),
    ] = (HEADLINE,)
    reference: Path | None = None
    """A larger set of pictures of the target, for scores only; default: the held-out pictures."""
    score_count: int = 500
    """Number of generated pictures per score."""
    patience: int | None = None
    """Stop and return to the best checkpoint after this many scores without improvement."""
    copy_guard: bool = True
    """Stop and go back if generated pictures copy training pictures; needs held-out pictures."""
    keep_pictures: bool = True
    """Keep the scored pictures in the run, so that `graftgan evaluate --again` can score them."""
    network: ExtractorSettings = field(default_factory=ExtractorSettings)

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "score_every", "patience")
        require_range(self, "from 1 to 1,000,000", "score_count")
        if not self.metrics:
            raise SettingsError("metrics must name at least one score, such as kid")
        if self.score_every is None and self.patience is not None:
            raise SettingsError("patience counts scores; set --score-every too")
