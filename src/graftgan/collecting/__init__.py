"""Gather pictures into a folder, with where each comes from: sources in, a raw set out.

    collected = collect(["openverse:betta fish"], Path("raw"), CollectSettings(count=200))

To add a source: a file that registers a :class:`SourceKind` in ``SOURCES``, and its import here.
"""

from graftgan.collecting import commons as commons
from graftgan.collecting import film as film
from graftgan.collecting import gallery as gallery
from graftgan.collecting import instagram as instagram
from graftgan.collecting import lists as lists
from graftgan.collecting import local as local
from graftgan.collecting import openverse as openverse
from graftgan.collecting.candidates import SOURCES, Candidate, Listing, SourceKind, remark_on
from graftgan.collecting.collect import collect
from graftgan.collecting.outcome import Collected, Standing
from graftgan.collecting.pace import Clock
from graftgan.collecting.reasons import Reason, Refusal
from graftgan.collecting.settings import (
    COMMONS_API,
    LICENCES,
    OPENVERSE_API,
    CollectSettings,
    Through,
)
from graftgan.collecting.store import PICTURES, REFUSED
from graftgan.collecting.web import Web

__all__ = [
    "COMMONS_API",
    "LICENCES",
    "OPENVERSE_API",
    "PICTURES",
    "REFUSED",
    "SOURCES",
    "Candidate",
    "Clock",
    "CollectSettings",
    "Collected",
    "Listing",
    "Reason",
    "Refusal",
    "SourceKind",
    "Standing",
    "Through",
    "Web",
    "collect",
    "remark_on",
]
