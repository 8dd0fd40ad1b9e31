"""Numbers without interval, floor or protocol, as studies count with; what tells views apart."""

from collections.abc import Sequence

from graftgan.metrics.extractors.pixel_features import COLOUR_WEIGHT, DETAIL_WEIGHTS
from graftgan.metrics.extractors.views import COLOUR_SIGMA, FAINT, SIGMA
from graftgan.metrics.metric import METRICS, Features, Resampling


def numbers_of(
    metrics: Sequence[str], generated: Features, reference: Features
) -> dict[str, float]:
    """Return every number of ``metrics`` by its label."""
    once = Resampling(replicates=0)
    return {
        label: estimate.value
        for name in metrics
        for label, estimate in METRICS[name].measure(generated, reference, once).items()
    }


def view_settings(view: str) -> dict[str, list[float]]:
    """Return the settings of a view: what tells it from an earlier one of the same name."""
    if view == "pixels":
        return {}
    low_passes = [COLOUR_SIGMA, SIGMA]
    weights = [*DETAIL_WEIGHTS.tolist(), COLOUR_WEIGHT]
    return {"faint": [FAINT], "low_passes": low_passes, "glance_weights": weights}
