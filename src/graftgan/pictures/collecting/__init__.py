"""Gather pictures into a folder and record where each comes from.

    collected = collect(["openverse:betta fish"], Path("raw"), CollectSettings(count=200))

To add a source: a file that registers a :class:`SourceKind` in ``SOURCES``, and its import here.
"""

from graftgan.pictures.collecting import gallery_sites as gallery_sites
from graftgan.pictures.collecting import licensed as licensed
from graftgan.pictures.collecting import local as local
from graftgan.pictures.collecting.candidates import SOURCES as SOURCES
from graftgan.pictures.collecting.candidates import SourceKind as SourceKind
from graftgan.pictures.collecting.candidates import remark_on as remark_on
from graftgan.pictures.collecting.collect import Collected as Collected
from graftgan.pictures.collecting.collect import CollectionProgress as CollectionProgress
from graftgan.pictures.collecting.collect import collect as collect
from graftgan.pictures.collecting.settings import CollectSettings as CollectSettings
from graftgan.pictures.collecting.web import Clock as Clock
