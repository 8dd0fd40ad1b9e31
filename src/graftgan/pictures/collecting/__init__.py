"""Gather pictures into a folder, with where each comes from: sources in, a raw set out.

    collected = collect(["openverse:betta fish"], Path("raw"), CollectSettings(count=200))

To add a source: a file that registers a :class:`SourceKind` in ``SOURCES``, and its import here.
"""

from graftgan.pictures.collecting import commons as commons
from graftgan.pictures.collecting import gallery_sites as gallery_sites
from graftgan.pictures.collecting import instagram as instagram
from graftgan.pictures.collecting import lists as lists
from graftgan.pictures.collecting import local as local
from graftgan.pictures.collecting import openverse as openverse
from graftgan.pictures.collecting import video_frames as video_frames
from graftgan.pictures.collecting.candidates import (
    SOURCES,
    FoundPicture,
    Listing,
    SourceKind,
    remark_on,
)
from graftgan.pictures.collecting.collect import collect
from graftgan.pictures.collecting.outcome import Collected, CollectionProgress
from graftgan.pictures.collecting.rate_limit import Clock
from graftgan.pictures.collecting.raw_set import PICTURES, REFUSED
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import (
    COMMONS_API,
    LICENCES,
    OPENVERSE_API,
    CollectSettings,
    Through,
)
from graftgan.pictures.collecting.web import Web

__all__ = [
    "COMMONS_API",
    "LICENCES",
    "OPENVERSE_API",
    "PICTURES",
    "REFUSED",
    "SOURCES",
    "Clock",
    "CollectSettings",
    "Collected",
    "CollectionProgress",
    "FoundPicture",
    "Listing",
    "Refusal",
    "RefusalReason",
    "SourceKind",
    "Through",
    "Web",
    "collect",
    "remark_on",
]
