"""Decide, layer by layer, what carries over, what may change and how much.

To add an action: a file that registers it in ``ACTIONS``, and its import here. To add a plan: a row
in ``PRESETS``. To add a loss that holds the target to the source: a file in ``regularizers/``.
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
from graftgan.transfer.fisher import refuse_mixed_samples
from graftgan.transfer.folding import fold
from graftgan.transfer.importance import (
    Filters,
    filter_importance,
    filters_in,
    most_important,
    needs_probe,
)
from graftgan.transfer.modulation import LowRank, Modulation, factors_in, modulations_in
from graftgan.transfer.plan import PRESETS, Plan, Rules, Split, parse_plan
from graftgan.transfer.regularizers import (
    REGULARIZERS,
    Regularizer,
    RegularizerSettings,
    RegularizerSetup,
    RegularizerTerm,
    build_regularizers,
    is_regularized,
    remember_source,
)
from graftgan.transfer.settings import TransferSettings
from graftgan.transfer.weighted_mean import mix_networks

__all__ = [
    "ACTIONS",
    "PRESETS",
    "REGULARIZERS",
    "Action",
    "AppliedPlan",
    "Filters",
    "LayerReport",
    "LowRank",
    "Modulation",
    "Plan",
    "PlanReport",
    "Regularizer",
    "RegularizerSettings",
    "RegularizerSetup",
    "RegularizerTerm",
    "Rules",
    "Split",
    "TrainableLayer",
    "TransferSettings",
    "apply_plan",
    "build_regularizers",
    "factors_in",
    "filter_importance",
    "filters_in",
    "fold",
    "is_regularized",
    "mix_networks",
    "modulations_in",
    "most_important",
    "needs_probe",
    "parse_plan",
    "refuse_mixed_samples",
    "remember_source",
    "resolve",
]
