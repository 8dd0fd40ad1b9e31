"""Scores of generated pictures against real ones, each with its protocol.

Feature networks (``extractors``) turn pictures into features, and metrics turn features into
numbers. To add a metric: a file that registers it in ``METRICS``, and its import here.
"""

from graftgan.metrics import detail as detail
from graftgan.metrics import diversity as diversity
from graftgan.metrics import inception_scores as inception_scores
from graftgan.metrics import manifold as manifold
from graftgan.metrics.score import compare as compare
