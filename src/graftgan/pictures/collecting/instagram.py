"""``instagram:#TAG``: public posts with a hashtag, through gallery-dl or Instaloader.

Both keep their own rate limits, and both want the cookies of a person's own login. A session file
of Instaloader is a pickle, which runs whatever is in it; so only cookies.txt is read.
"""

import re
from collections.abc import Iterator
from http.cookiejar import LoadError, MozillaCookieJar
from typing import Any

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.pictures.collecting.candidates import (
    SOURCES,
    FoundPicture,
    Listing,
    SourceKind,
    text_of,
)
from graftgan.pictures.collecting.gallery_sites import instagram_key, open_gallery
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web

_SITE = "https://www.instagram.com"
_NEEDED = ("sessionid", "csrftoken")


def open_instagram(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the pictures with a hashtag.

    Raises:
        CollectError: It is no hashtag, the program is missing, or there are no cookies of a login.
    """
    tag = what.removeprefix("#")
    if not re.fullmatch(r"\w+", tag):
        raise CollectError(f"'{what}' is no hashtag; write instagram:#bettafish")
    if settings.through == "gallery-dl":
        return open_gallery(f"{_SITE}/explore/tags/{tag.lower()}/", settings)
    loader = _loader(settings)

    def listing(_web: Web) -> Iterator[FoundPicture]:
        return _listed(loader, tag)

    return listing


def _loader(settings: CollectSettings) -> Any:
    try:
        import instaloader
    except ImportError:
        raise CollectError(
            "Instaloader is not installed; install graftgan with its extra `collect`, or collect "
            "--through gallery-dl"
        ) from None
    loader = instaloader.Instaloader(quiet=True, max_connection_attempts=2)
    cookies = _cookies(settings)
    if cookies:
        loader.load_session(cookies.get("ds_user_id", "me"), cookies)
    return loader


def _cookies(settings: CollectSettings) -> dict[str, str]:
    """Return the cookies of the site in the person's cookies.txt; empty: none was given."""
    if settings.cookies is None:
        return {}
    jar = MozillaCookieJar(settings.cookies)
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except (OSError, LoadError) as error:
        raise CollectError(f"cannot read {settings.cookies} as cookies.txt: {error}") from None
    found = {c.name: c.value or "" for c in jar if c.domain.endswith("instagram.com")}
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise CollectError(
            f"{settings.cookies} has no cookie '{missing[0]}' of instagram.com; log in with a "
            "browser and export its cookies once more"
        )
    return found


def _listed(loader: Any, tag: str) -> Iterator[FoundPicture]:
    import instaloader

    try:
        posts = instaloader.Hashtag.from_name(loader.context, tag).get_posts()
        for post in posts:
            yield from _pictures_of(post)
    except instaloader.InstaloaderException as error:
        raise CollectError(
            f"Instaloader cannot list #{tag}: {text_of(str(error))}; hashtags need the cookies of "
            "a login (--cookies), and the site limits how much one may see"
        ) from None
    except (KeyError, TypeError, ValueError) as error:  # the site changed what it answers
        raise CollectError(
            f"Instaloader does not understand the answer for #{tag} ({type(error).__name__}); "
            "update it, or collect --through gallery-dl"
        ) from None


def _pictures_of(post: Any) -> Iterator[FoundPicture]:
    """Yield the pictures of a post; films are left out."""
    if post.typename == "GraphSidecar":
        nodes = enumerate(post.get_sidecar_nodes(), start=1)
        urls = [(number, node.display_url) for number, node in nodes if not node.is_video]
    else:
        urls = [] if post.is_video else [(1, post.url)]
    for number, url in urls:
        origin = Origin(
            url=url,
            page=f"{_SITE}/p/{post.shortcode}/",
            author=text_of(post.owner_username),
            title=text_of(post.caption),
            published=f"{post.date_utc.isoformat()}Z",
            source="instagram",
        )
        yield FoundPicture(name=url, origin=origin, key=instagram_key(post.shortcode, number))


SOURCES.register("instagram")(
    SourceKind(
        open=open_instagram,
        remark="Instagram's terms forbid collecting by programs without its permission, and may "
        "cost you the account; the pictures stay their authors', and no licence comes with them",
    )
)
