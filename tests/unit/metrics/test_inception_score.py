"""The Inception score at its two ends and in between."""

import math

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics.inception_scores import inception_score
from graftgan.metrics.metric import METRICS, Estimate, Features, Resampling


def score(logits: Tensor | None, resampling: Resampling | None = None) -> Estimate:
    count = 3 if logits is None else len(logits)
    generated = Features(values=torch.ones(count, 2), logits=logits, sha256="")
    reference = Features(values=torch.ones(3, 2), logits=None, sha256="")
    metric = METRICS["inception_score"]
    return metric.measure(generated, reference, resampling or Resampling())["IS"]


def test_sure_and_even_answers_count_the_classes():
    sure = torch.eye(5).repeat(4, 1) * 200
    assert inception_score(sure) == pytest.approx(5.0)
    assert inception_score(sure[:3]) == pytest.approx(3.0)


def test_unsure_or_equal_answers_score_one():
    assert inception_score(torch.zeros(10, 5)) == pytest.approx(1.0)
    assert inception_score(torch.eye(5)[:1].repeat(10, 1) * 200) == pytest.approx(1.0)


def test_two_answers_in_closed_form():
    """Two classes at 3/4 and 1/4, mirrored: ln IS = ln 2 - H(3/4)."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score(logits) == pytest.approx(2 * math.exp(-entropy), rel=1e-6)


def test_every_replicate_is_the_score_of_its_resample():
    logits = 2 * torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
    resampling = Resampling(replicates=30)
    drawn = resampling.weights(12, "generated").long()
    replicates = [inception_score(logits.repeat_interleave(counts, dim=0)) for counts in drawn]
    value = inception_score(logits)
    expected = resampling.interval(value, torch.tensor(replicates, dtype=torch.float64))
    found = score(logits, resampling)
    assert found.value == value
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert found.low < found.value < found.high


def test_it_needs_a_classifier():
    assert METRICS["inception_score"].needs_logits
    with pytest.raises(ScoreError, match="needs a classifier's logits"):
        score(None)
