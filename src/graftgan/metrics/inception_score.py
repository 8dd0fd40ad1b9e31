"""The Inception score: how sure a classifier is of each picture, and how varied its answers are."""

from collections.abc import Mapping

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.bootstrap import Estimate, Resampling
from graftgan.metrics.features import Features
from graftgan.metrics.metric import METRICS, Metric


def inception_score(logits: Tensor) -> float:
    """Return exp of the mean KL divergence of p(class | picture) from their mean; 1 to classes.

    Source: Salimans et al. 2016 (arXiv:1606.03498). Differs: over all pictures at once, where the
    paper averages ten parts; a part of few pictures cannot show many classes. It knows no
    reference: compare it only where ImageNet's classes describe the pictures.

    Args:
        logits: (n, classes).
    """
    return float(_scores(logits, torch.ones(1, len(logits), dtype=torch.float64)))


def _measure(
    generated: Features, reference: Features, resampling: Resampling
) -> Mapping[str, Estimate]:
    """Return the score of the generated pictures with its exact bootstrap interval."""
    if generated.logits is None:
        raise ScoreError(
            "the Inception score needs a classifier's logits and this feature network has none; "
            "take one that has"
        )
    value = inception_score(generated.logits)
    weights = resampling.weights(len(generated), "generated")
    return {"IS": resampling.interval(value, _scores(generated.logits, weights))}


def _scores(logits: Tensor, weights: Tensor) -> Tensor:
    """Return (r,): the score under each row of ``weights`` (r, n)."""
    shares = weights / weights.sum(dim=1, keepdim=True)
    probabilities = logits.double().softmax(dim=1)
    own = torch.special.entr(probabilities).sum(dim=1)
    together = torch.special.entr(shares @ probabilities).sum(dim=1)
    return (together - shares @ own).exp()


METRICS.register("inception_score")(
    Metric(
        measure=_measure,
        better={"IS": "higher"},
        settings={"splits": 1, "interval": "bootstrap of the generated set"},
        needs_logits=True,
    )
)
