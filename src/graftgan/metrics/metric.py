"""Every metric by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graftgan.core.registry import Registry
from graftgan.metrics.bootstrap import Estimate, Resampling
from graftgan.metrics.features import Features

MetricFunction = Callable[[Features, Features, Resampling], Mapping[str, Estimate]]
"""(generated, reference, resampling) -> estimates by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Numbers that are measured together.

    Attributes:
        measure: Returns one estimate for each of ``better``.
        better: Which way is better, "lower" or "higher", by the number's label, such as "KID".
        settings: The constants of the method; part of a score's protocol.
        least: Fewest pictures on each side.
        needs_logits: Whether the feature network must have a classifier.
        of_pixels: Whether the numbers are of the pictures themselves, whatever the network.
    """

    measure: MetricFunction
    better: Mapping[str, str]
    settings: Mapping[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    least: int = 2
    needs_logits: bool = False
    of_pixels: bool = False


METRICS: Registry[Metric] = Registry("metric")
