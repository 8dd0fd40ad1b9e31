"""The filters. To add one: a file that registers a :class:`Filter`, and its import here."""

from graftgan.pictures.curation.filters import appearance as appearance
from graftgan.pictures.curation.filters import face as face
from graftgan.pictures.curation.filters import outlier as outlier
from graftgan.pictures.curation.filters import text as text
from graftgan.pictures.curation.filters.filter import FILTERS as FILTERS
from graftgan.pictures.curation.filters.filter import Compared as Compared
from graftgan.pictures.curation.filters.filter import FilterFunction as FilterFunction
from graftgan.pictures.curation.filters.filter import Mode as Mode
from graftgan.pictures.curation.filters.filter import PictureReadings as PictureReadings
from graftgan.pictures.curation.filters.filter import Reading as Reading
from graftgan.pictures.curation.filters.filter import Tools as Tools
