"""From raw pictures to a clean set; every decision can be seen and overruled."""

from graftgan.pictures.curation.advice import COST_HEADINGS as COST_HEADINGS
from graftgan.pictures.curation.advice import advice_on as advice_on
from graftgan.pictures.curation.advice import cost_rows as cost_rows
from graftgan.pictures.curation.curate import PAGE as PAGE
from graftgan.pictures.curation.curate import Crop as Crop
from graftgan.pictures.curation.curate import Curation as Curation
from graftgan.pictures.curation.curate import CurationSettings as CurationSettings
from graftgan.pictures.curation.curate import curate as curate
from graftgan.pictures.curation.decisions import OVERRIDES as OVERRIDES
from graftgan.pictures.curation.decisions import rules_of as rules_of
from graftgan.pictures.curation.filters import FILTERS as FILTERS
from graftgan.pictures.curation.filters import Tools as Tools
