"""Decide, layer by layer, what carries over, what may change and how much.

To add an action: register it in ``actions.py``. To add a method: a row in ``PRESETS``.
"""

from graftgan.transfer.actions import ACTIONS, Action
from graftgan.transfer.apply import (
    AppliedPlan,
    LayerReport,
    PlanReport,
    TrainableLayer,
    apply_plan,
    resolve,
)
from graftgan.transfer.fold import fold
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
    "PRESETS",
    "Action",
    "AppliedPlan",
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
    "evaluation_mode",
    "factors_in",
    "fold",
    "layers_on_batch_statistics",
    "parse_plan",
    "resolve",
    "use_batch_statistics",
]
