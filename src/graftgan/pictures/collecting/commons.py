"""``commons:WORDS`` or ``commons:Category:NAME``: pictures of Wikimedia Commons with licences."""

import re
from collections.abc import Iterator
from typing import Any

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.pictures.collecting.candidates import (
    SOURCES,
    FoundPicture,
    Listing,
    SourceKind,
    entry,
    plain_text,
    text_of,
)
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import LICENCES, CollectSettings
from graftgan.pictures.collecting.web import Web, private_home

_PAGE = "50"
_MOST_PAGES = 2_000  # an API that never says it is done is not asked for ever
_KINDS = frozenset(
    ("image/jpeg", "image/png", "image/gif", "image/webp", "image/tiff", "image/avif", "image/bmp")
)


def open_commons(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the files in a category, or of those that a search finds."""
    query = {**_COMMON, **_generator(what)}

    def listing(web: Web) -> Iterator[FoundPicture]:
        more: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            try:
                answer = web.listing(settings.commons_api, {**query, **more})
            except Refusal as refusal:
                raise CollectError(f"Wikimedia Commons cannot be asked: {refusal}") from None
            if (problem := entry(answer, "error", "info")) is not None:
                raise CollectError(f"Wikimedia Commons answers: {text_of(problem)}")
            pages = entry(answer, "query", "pages")
            for page in pages if isinstance(pages, list) else []:
                candidate = _candidate(page, settings)
                if candidate is not None:
                    yield candidate
            more = _as_query(entry(answer, "continue"))
            if not more:
                return

    return listing


_COMMON = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "prop": "imageinfo",
    "iiprop": "url|extmetadata|size|mime|sha1",
    "iiextmetadatafilter": "Artist|LicenseShortName|LicenseUrl|ObjectName|DateTimeOriginal",
}


def _generator(what: str) -> dict[str, str]:
    if what.lower().startswith("category:"):
        title = "Category:" + what.partition(":")[2].strip()
        members = {"gcmtitle": title, "gcmtype": "file", "gcmlimit": _PAGE}
        return {"generator": "categorymembers", **members}
    search = {"gsrsearch": f"filetype:bitmap {what}", "gsrnamespace": "6", "gsrlimit": _PAGE}
    return {"generator": "search", **search}


def _candidate(page: Any, settings: CollectSettings) -> FoundPicture | None:
    """Return the file of a page; None where it has none, or another licence than is wanted."""
    info = entry(page, "imageinfo", 0)
    url = text_of(entry(info, "url"))
    licence = plain_text(entry(info, "extmetadata", "LicenseShortName", "value"))
    if url is None or (settings.licence and licence_code(licence) not in settings.licence):
        return None
    about = entry(info, "extmetadata")
    origin = Origin(
        url=url,
        page=text_of(entry(info, "descriptionurl")),
        author=plain_text(entry(about, "Artist", "value")),
        licence=licence,
        licence_url=text_of(entry(about, "LicenseUrl", "value")),
        title=plain_text(entry(about, "ObjectName", "value")) or text_of(entry(page, "title")),
        published=plain_text(entry(about, "DateTimeOriginal", "value")),
        source="commons",
    )
    return FoundPicture(
        name=url,
        origin=origin,
        refusal=_refusal(info, settings),
        home=private_home(settings.commons_api),
    )


def licence_code(licence: str | None) -> str | None:
    """Return the code of a licence by its short name: ``by-sa`` for ``CC BY-SA 4.0``."""
    name = (licence or "").lower()
    if name.startswith("public domain") or name.startswith("pd"):
        return "pdm"
    if name.startswith(("cc0", "cc zero", "cc-zero")):
        return "cc0"
    found = re.match(r"cc[ -](by(?:-[a-z]{2})*)\b", name)
    return found[1] if found and found[1] in LICENCES else None


def _refusal(info: Any, settings: CollectSettings) -> Refusal | None:
    kind, size = entry(info, "mime"), entry(info, "size")
    if isinstance(kind, str) and kind not in _KINDS:
        return Refusal(RefusalReason.NOT_A_PICTURE, kind)
    if isinstance(size, int) and size > settings.largest_bytes:
        return Refusal(RefusalReason.TOO_LARGE, f"{size / 1e6:,.3g} MB")
    return None


def _as_query(more: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in more.items()} if isinstance(more, dict) else {}


SOURCES.register("commons")(SourceKind(open=open_commons, knows_licences=True))
