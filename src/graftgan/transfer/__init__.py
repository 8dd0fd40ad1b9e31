"""Decide for each layer what is kept of the source, what changes and how much.

To add an action: a file that registers it in ``ACTIONS``, and its import here. To add a plan: a row
in ``PRESETS``. To add a loss that holds the target to the source: a file in ``regularizers/``.
"""

from graftgan.transfer.actions import ACTIONS as ACTIONS
from graftgan.transfer.importance import Filters as Filters
from graftgan.transfer.importance import filter_importance as filter_importance
from graftgan.transfer.importance import filters_in as filters_in
from graftgan.transfer.importance import most_important as most_important
from graftgan.transfer.importance import refuse_mixed_samples as refuse_mixed_samples
from graftgan.transfer.modulation import LowRank as LowRank
from graftgan.transfer.modulation import factors_in as factors_in
from graftgan.transfer.modulation import fold as fold
from graftgan.transfer.modulation import mix_networks as mix_networks
from graftgan.transfer.modulation import modulations_in as modulations_in
from graftgan.transfer.plan import PRESETS as PRESETS
from graftgan.transfer.plan import AppliedPlan as AppliedPlan
from graftgan.transfer.plan import Plan as Plan
from graftgan.transfer.plan import PlanReport as PlanReport
from graftgan.transfer.plan import Rules as Rules
from graftgan.transfer.plan import Split as Split
from graftgan.transfer.plan import TrainableLayer as TrainableLayer
from graftgan.transfer.plan import apply_plan as apply_plan
from graftgan.transfer.plan import needs_probe as needs_probe
from graftgan.transfer.plan import parse_plan as parse_plan
from graftgan.transfer.plan import resolve as resolve
from graftgan.transfer.regularizers.regularizer import REGULARIZERS as REGULARIZERS
from graftgan.transfer.regularizers.regularizer import RegularizerSetup as RegularizerSetup
from graftgan.transfer.regularizers.regularizer import RegularizerTerm as RegularizerTerm
from graftgan.transfer.regularizers.regularizer import build_regularizers as build_regularizers
from graftgan.transfer.regularizers.regularizer import is_regularized as is_regularized
from graftgan.transfer.regularizers.regularizer import remember_source as remember_source
from graftgan.transfer.schedule import Schedule as Schedule
from graftgan.transfer.schedule import kept_names as kept_names
from graftgan.transfer.schedule import lasting as lasting
from graftgan.transfer.schedule import parse_schedule as parse_schedule
from graftgan.transfer.schedule import replanned as replanned
from graftgan.transfer.settings import RegularizerSettings as RegularizerSettings
from graftgan.transfer.settings import TransferSettings as TransferSettings
