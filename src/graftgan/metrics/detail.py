"""Speckle and blur, which feature networks miss, measured from the pixels.

In a clean picture, pixels differ little from their surroundings except on edges. Speckle, noise and
checkerboards raise the median of these differences; blur lowers their upper quantiles. Both are
compared with real pictures, which have their own texture and sharpness.
"""

from graftgan.core.errors import ScoreError
from graftgan.metrics.extractors.pixel_features import SURROUNDINGS
from graftgan.metrics.metric import Estimates, Features, Resampling, register_metric


@register_metric(
    "detail",
    {"grain": "zero", "sharpness": "zero"},
    settings={
        "differences": f"brightness less its low-pass of {SURROUNDINGS} px",
        "unit": "doublings of those of real pictures",
        "interval": "bootstrap of both sets",
    },
    of_pixels=True,
)
def _measure(generated: Features, reference: Features, resampling: Resampling) -> Estimates:
    """Return the mean logarithms less those of the reference, with a bootstrap of both sets."""
    if generated.detail is None or reference.detail is None:
        raise ScoreError("grain and sharpness need the pictures; only their features are known")
    found: Estimates = {}
    for column, label in enumerate(("grain", "sharpness")):
        sides = generated.detail[:, column].double(), reference.detail[:, column].double()
        spread = resampling.means(sides[0], "generated") - resampling.means(sides[1], "reference")
        found[label] = resampling.interval(float(sides[0].mean() - sides[1].mean()), spread)
    return found
