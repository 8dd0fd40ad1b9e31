"""Numbers without interval, floor or protocol, as studies count with."""

from collections.abc import Sequence

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
