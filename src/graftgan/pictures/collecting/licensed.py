"""Sites that state licences: ``openverse:WORDS``, ``commons:WORDS`` and ``commons:Category:NAME``.

The first uses the Openverse API, the second that of Wikimedia Commons or another wiki.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.pictures.collecting.addresses import private_home
from graftgan.pictures.collecting.candidates import (
    SOURCES,
    FoundPicture,
    Listing,
    SourceKind,
    entry,
    plain_text,
    text_of,
)
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import LICENCES, CollectSettings
from graftgan.pictures.collecting.web import Web

_TOKEN = "OPENVERSE_TOKEN"  # a secret, so it is read from the environment only
_PAGE, _PAGE_WITH_TOKEN = 20, 100  # the most results that Openverse returns at once
_COMMONS_PAGE = "50"
_MOST_PAGES = 2_000  # stops at an API that never says it is done
_KINDS = {f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp", "tiff", "avif", "bmp")}
_COMMONS_QUERY = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "prop": "imageinfo",
    "iiprop": "url|extmetadata|size|mime|sha1",
    "iiextmetadatafilter": "Artist|LicenseShortName|LicenseUrl|ObjectName|DateTimeOriginal",
}


def open_commons(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the files in a category or of the results of a search."""
    query = {**_COMMONS_QUERY, "generator": "search", "gsrlimit": _COMMONS_PAGE}
    query |= {"gsrsearch": f"filetype:bitmap {what}", "gsrnamespace": "6"}
    if what.lower().startswith("category:"):
        title = "Category:" + what.partition(":")[2].strip()
        query = {**_COMMONS_QUERY, "generator": "categorymembers", "gcmlimit": _COMMONS_PAGE}
        query |= {"gcmtitle": title, "gcmtype": "file"}

    def listing(web: Web) -> Iterator[FoundPicture]:
        more: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            try:
                answer = web.listing(settings.commons_api, {**query, **more})
            except Refusal as refusal:
                raise CollectError(f"cannot query Wikimedia Commons: {refusal}") from None
            if (problem := entry(answer, "error", "info")) is not None:
                raise CollectError(f"Wikimedia Commons answers: {text_of(problem)}")
            pages = entry(answer, "query", "pages")
            for page in pages if isinstance(pages, list) else []:
                if (candidate := _of_commons(page, settings)) is not None:
                    yield candidate
            following = entry(answer, "continue")
            if not isinstance(following, dict) or not following:
                return
            more = {str(k): str(v) for k, v in following.items()}

    return listing


def _of_commons(page: Any, settings: CollectSettings) -> FoundPicture | None:
    """Return the file of a page; None: it has no file or not a wanted licence."""
    info = entry(page, "imageinfo", 0)
    about = entry(info, "extmetadata")
    url = text_of(entry(info, "url"))
    licence = plain_text(entry(about, "LicenseShortName", "value"))
    if url is None or (settings.licence and licence_code(licence) not in settings.licence):
        return None
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
    kind, size, refusal = entry(info, "mime"), entry(info, "size"), None
    if isinstance(kind, str) and kind not in _KINDS:
        refusal = Refusal(RefusalReason.NOT_A_PICTURE, kind)
    elif isinstance(size, int) and size > settings.largest_bytes:
        refusal = Refusal(RefusalReason.TOO_LARGE, f"{size / 1e6:,.3g} MB")
    home = private_home(settings.commons_api)
    return FoundPicture(name=url, origin=origin, refusal=refusal, home=home)


def licence_code(licence: str | None) -> str | None:
    """Return the code of a licence by its short name, such as ``by-sa`` for ``CC BY-SA 4.0``."""
    name = (licence or "").lower()
    if name.startswith(("public domain", "pd")):
        return "pdm"
    if name.startswith(("cc0", "cc zero", "cc-zero")):
        return "cc0"
    found = re.match(r"cc[ -](by(?:-[a-z]{2})*)\b", name)
    return found[1] if found and found[1] in LICENCES else None


def open_openverse(words: str, settings: CollectSettings) -> Listing:
    """Return a listing of what Openverse finds for ``words``."""
    api = settings.openverse_api.rstrip("/") + "/v1/images/"
    token = os.environ.get(_TOKEN)
    query = {"q": words, "page_size": str(_PAGE_WITH_TOKEN if token else _PAGE)}
    if settings.licence:
        query["license"] = ",".join(settings.licence)

    def listing(web: Web) -> Iterator[FoundPicture]:
        page, listed = 1, 0
        while True:
            try:
                answer = web.listing(api, {**query, "page": str(page)}, token=token)
            except Refusal as refusal:
                problem = f"cannot query Openverse: {refusal}"
                if page > 1 and not token and not refusal.reason.passes:
                    problem = (
                        f"Openverse lists no more than {listed:,} pictures without a token "
                        f"({refusal}); set {_TOKEN}, or use other words"
                    )
                raise CollectError(problem) from None
            results = entry(answer, "results")
            if not isinstance(results, list) or not results:
                return
            for result in results:
                listed += 1
                yield _of_openverse(result, home=private_home(api))
            pages = entry(answer, "page_count")
            if isinstance(pages, int) and page >= pages:
                return
            page += 1

    return listing


def _of_openverse(result: Any, *, home: str | None) -> FoundPicture:
    url = text_of(entry(result, "url")) or ""
    code, edition = text_of(entry(result, "license")), text_of(entry(result, "license_version"))
    licence = None
    if code is not None:
        licence = {"cc0": "CC0", "pdm": "Public Domain Mark"}.get(code, f"CC {code.upper()}")
        licence += f" {edition}" if edition else ""
    origin = Origin(
        url=url,
        page=text_of(entry(result, "foreign_landing_url")),
        author=text_of(entry(result, "creator")),
        licence=licence,
        licence_url=text_of(entry(result, "license_url")),
        title=text_of(entry(result, "title")),
        source="openverse",
    )
    return FoundPicture(name=url, origin=origin, home=home)


SOURCES.register("commons")(SourceKind(open=open_commons, knows_licences=True))
SOURCES.register("openverse")(SourceKind(open=open_openverse, knows_licences=True))
