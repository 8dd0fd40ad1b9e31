"""Decide, layer by layer, what carries over, what may change and how much.

To add an action: register it in ``actions.py``. To add a plan: a row in ``PRESETS``. To add a loss
that holds the target to the source: a file in ``anchors/``.
"""

from graftgan.transfer.actions import ACTIONS, Action
from graftgan.transfer.anchors import (
    ANCHORS,
    Anchor,
    AnchorSettings,
    AnchorSetup,
    AnchorTerm,
    build_anchors,
    is_anchored,
    remember_source,
)
from graftgan.transfer.apply import (
    AppliedPlan,
    LayerReport,
    PlanReport,
    TrainableLayer,
    apply_plan,
    resolve,
)
from graftgan.transfer.fisher import refuse_mixed_samples
from graftgan.transfer.fold import fold
from graftgan.transfer.importance import (
    Filters,
    filter_importance,
    filters_in,
    most_important,
    needs_probe,
)
from graftgan.transfer.modulation import LowRank, factors_in
from graftgan.transfer.plan import PRESETS, Plan, Rules, Split, parse_plan
from graftgan.transfer.settings import TransferSettings
from graftgan.transfer.statistics import (
    Statistics,
    evaluation_mode,
    layers_on_batch_statistics,
    use_batch_statistics,
)

__all__ = [
    "ACTIONS",
    "ANCHORS",
    "PRESETS",
    "Action",
    "Anchor",
    "AnchorSettings",
    "AnchorSetup",
    "AnchorTerm",
    "AppliedPlan",
    "Filters",
    "LayerReport",
    "LowRank",
    "Plan",
    "PlanReport",
    "Rules",
    "Split",
    "Statistics",
    "TrainableLayer",
    "TransferSettings",
    "apply_plan",
    "build_anchors",
    "evaluation_mode",
    "factors_in",
    "filter_importance",
    "filters_in",
    "fold",
    "is_anchored",
    "layers_on_batch_statistics",
    "most_important",
    "needs_probe",
    "parse_plan",
    "refuse_mixed_samples",
    "remember_source",
    "resolve",
    "use_batch_statistics",
]
