"""Numbers from two sets of pictures, with the protocol in the result.

Pictures become features (``extractors``), features become statistics, statistics become a number.
To add a metric: a file that registers it in ``METRICS``, and its import here.
"""

from graftgan.metrics import detail as detail
from graftgan.metrics import diversity as diversity
from graftgan.metrics import frechet as frechet
from graftgan.metrics import inception_score as inception_score
from graftgan.metrics import kernel as kernel
from graftgan.metrics import manifold as manifold
from graftgan.metrics.bootstrap import Estimate, Resampling
from graftgan.metrics.copying import (
    LEAST_HELD_OUT,
    CopyReport,
    copy_gallery_indices,
    copy_report,
    guarded_pictures,
)
from graftgan.metrics.extractors import (
    EXTRACTORS,
    Extractor,
    ExtractorSettings,
    build_extractor,
    dinov2_extractor,
    inception_extractor,
    pictures_sha256,
    user_extractor,
)
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.features import Features
from graftgan.metrics.manifold import precision_and_recall
from graftgan.metrics.measure import (
    HEADLINE,
    check_metrics,
    copy_scores,
    floors_of,
    full_name,
    measure,
    protocol_of,
)
from graftgan.metrics.metric import METRICS, Metric
from graftgan.metrics.perceptual import PerceptualDistance, perceptual_distance
from graftgan.metrics.score import (
    Floor,
    Score,
    ScoreComparison,
    ScoreProtocol,
    compare,
    differences,
)
from graftgan.metrics.settings import ScoringSettings
from graftgan.metrics.sliced_wasserstein import SlicedWassersteinProtocol, sliced_wasserstein

__all__ = [
    "EXTRACTORS",
    "HEADLINE",
    "LEAST_HELD_OUT",
    "METRICS",
    "CopyReport",
    "Estimate",
    "Extractor",
    "ExtractorSettings",
    "Features",
    "Floor",
    "Metric",
    "PerceptualDistance",
    "Resampling",
    "Score",
    "ScoreComparison",
    "ScoreProtocol",
    "ScoringSettings",
    "SlicedWassersteinProtocol",
    "build_extractor",
    "check_metrics",
    "compare",
    "copy_gallery_indices",
    "copy_report",
    "copy_scores",
    "differences",
    "dinov2_extractor",
    "features_of",
    "floors_of",
    "full_name",
    "guarded_pictures",
    "inception_extractor",
    "measure",
    "perceptual_distance",
    "pictures_sha256",
    "precision_and_recall",
    "protocol_of",
    "sliced_wasserstein",
    "user_extractor",
]
