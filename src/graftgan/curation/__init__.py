"""From raw pictures to a clean set, with every decision to see and to overrule."""

from graftgan.curation.advice import COST_HEADINGS, Advice, advice_on, cost_rows
from graftgan.curation.curate import PAGE, Crop, Curation, CurationSettings, curate
from graftgan.curation.decide import Reason, Verdict, decide
from graftgan.curation.filters import FILTERS, Filter, Tools
from graftgan.curation.overrides import OVERRIDES, Overrides
from graftgan.curation.settings import Rule, rules_of, usual_rules

__all__ = [
    "COST_HEADINGS",
    "FILTERS",
    "OVERRIDES",
    "PAGE",
    "Advice",
    "Crop",
    "Curation",
    "CurationSettings",
    "Filter",
    "Overrides",
    "Reason",
    "Rule",
    "Tools",
    "Verdict",
    "advice_on",
    "cost_rows",
    "curate",
    "decide",
    "rules_of",
    "usual_rules",
]
