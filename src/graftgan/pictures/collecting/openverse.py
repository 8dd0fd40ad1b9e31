"""``openverse:WORDS``: openly licensed pictures, found through the Openverse API."""

import os
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
    text_of,
)
from graftgan.pictures.collecting.reasons import Refusal
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web, private_home

_TOKEN = "OPENVERSE_TOKEN"  # a secret: in the environment, and in no settings or flags
_PAGE, _PAGE_WITH_TOKEN = 20, 100  # a request without a token gets no more


def open_openverse(words: str, settings: CollectSettings) -> Listing:
    """Return a listing of what Openverse finds for ``words``."""
    api = settings.openverse_api.rstrip("/") + "/v1/images/"
    token = os.environ.get(_TOKEN)
    size = _PAGE_WITH_TOKEN if token else _PAGE
    query = {"q": words, "page_size": str(size)}
    if settings.licence:
        query["license"] = ",".join(settings.licence)

    def listing(web: Web) -> Iterator[FoundPicture]:
        page, listed = 1, 0
        while True:
            try:
                answer = web.listing(api, {**query, "page": str(page)}, token=token)
            except Refusal as refusal:
                raise _explain(refusal, page, listed, has_token=bool(token)) from None
            results = entry(answer, "results")
            if not isinstance(results, list) or not results:
                return
            for result in results:
                listed += 1
                yield _candidate(result, home=private_home(api))
            pages = entry(answer, "page_count")
            if isinstance(pages, int) and page >= pages:
                return
            page += 1

    return listing


def _candidate(result: Any, *, home: str | None) -> FoundPicture:
    url = text_of(entry(result, "url")) or ""
    origin = Origin(
        url=url,
        page=text_of(entry(result, "foreign_landing_url")),
        author=text_of(entry(result, "creator")),
        licence=licence_name(entry(result, "license"), entry(result, "license_version")),
        licence_url=text_of(entry(result, "license_url")),
        title=text_of(entry(result, "title")),
        source="openverse",
    )
    return FoundPicture(name=url, origin=origin, home=home)


def licence_name(code: object, number: object) -> str | None:
    """Return the usual short name of a licence that Openverse names by code and version."""
    short, edition = text_of(code), text_of(number)
    if short is None:
        return None
    names = {"cc0": "CC0", "pdm": "Public Domain Mark"}
    name = names.get(short, f"CC {short.upper()}")
    return f"{name} {edition}" if edition else name


def _explain(refusal: Refusal, page: int, listed: int, *, has_token: bool) -> CollectError:
    if page > 1 and not has_token and not refusal.reason.passes:
        return CollectError(
            f"Openverse lists no more than {listed:,} pictures without a token ({refusal}); "
            f"set {_TOKEN}, or ask with other words"
        )
    return CollectError(f"Openverse cannot be asked: {refusal}")


SOURCES.register("openverse")(SourceKind(open=open_openverse, knows_licences=True))
