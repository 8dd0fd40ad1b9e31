"""From raw pictures to a clean set, with every decision to see and to overrule."""

from graftgan.pictures.curation.curate import PAGE, Crop, Curation, CurationSettings, curate
from graftgan.pictures.curation.decisions import RejectionReason, Verdict, decide
from graftgan.pictures.curation.filters import FILTERS, Filter, Tools
from graftgan.pictures.curation.overrides import OVERRIDES, Overrides
from graftgan.pictures.curation.settings import Rule, rules_of, usual_rules
from graftgan.pictures.curation.suggestions import COST_HEADINGS, Advice, advice_on, cost_rows

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
    "RejectionReason",
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
