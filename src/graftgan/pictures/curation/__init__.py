"""From raw pictures to a clean set, with every decision to see and to overrule."""

from graftgan.pictures.curation.advice import COST_HEADINGS, Advice, advice_on, cost_rows
from graftgan.pictures.curation.curate import PAGE, Crop, Curation, CurationSettings, curate
from graftgan.pictures.curation.decisions import OVERRIDES, rules_of
from graftgan.pictures.curation.filters import FILTERS, Tools

__all__ = [
    "COST_HEADINGS",
    "FILTERS",
    "OVERRIDES",
    "PAGE",
    "Advice",
    "Crop",
    "Curation",
    "CurationSettings",
    "Tools",
    "advice_on",
    "cost_rows",
    "curate",
    "rules_of",
]
