"""Gather pictures into a folder, with where each comes from: sources in, a raw set out.

    collected = collect(["openverse:betta fish"], Path("raw"), CollectSettings(count=200))

To add a source: a file that registers a :class:`SourceKind` in ``SOURCES``, and its import here.
"""

from graftgan.pictures.collecting import gallery_sites as gallery_sites
from graftgan.pictures.collecting import licensed as licensed
from graftgan.pictures.collecting import local as local
from graftgan.pictures.collecting.candidates import SOURCES, SourceKind, remark_on
from graftgan.pictures.collecting.collect import Collected, CollectionProgress, collect
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Clock, Web

__all__ = [
    "SOURCES",
    "Clock",
    "CollectSettings",
    "Collected",
    "CollectionProgress",
    "Refusal",
    "RefusalReason",
    "SourceKind",
    "Web",
    "collect",
    "remark_on",
]
