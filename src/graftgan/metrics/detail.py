"""Visible faults that no feature network names: speckle and blur, from the pixels themselves.

A pixel's difference from what surrounds it is small nearly everywhere in a clean picture and large
on its edges. Speckle, noise and checkerboards raise the median of these differences; blur lowers
their upper end. Both are compared with real pictures, which have a texture and a sharpness of
their own.
"""

from graftgan.core.errors import ScoreError
from graftgan.metrics.extractors.pixel_features import SURROUNDINGS
from graftgan.metrics.metric import METRICS, Estimate, Features, Metric, Resampling


def _measure(
    generated: Features, reference: Features, resampling: Resampling
) -> dict[str, Estimate]:
    """Return the mean logarithms less those of the reference, with a bootstrap of both sets."""
    if generated.detail is None or reference.detail is None:
        raise ScoreError("grain and sharpness are of pictures; features alone do not have them")
    found: dict[str, Estimate] = {}
    for column, label in enumerate(("grain", "sharpness")):
        sides = generated.detail[:, column].double(), reference.detail[:, column].double()
        spread = resampling.means(sides[0], "generated") - resampling.means(sides[1], "reference")
        found[label] = resampling.interval(float(sides[0].mean() - sides[1].mean()), spread)
    return found


METRICS.register("detail")(
    Metric(
        measure=_measure,
        better={"grain": "zero", "sharpness": "zero"},
        settings={
            "differences": f"brightness less its low-pass of {SURROUNDINGS} px",
            "unit": "doublings of those of real pictures",
            "interval": "bootstrap of both sets",
        },
        of_pixels=True,
    )
)
