"""``gallery:ADDRESS`` and ``instagram:#TAG``: other programs list the pictures, and we fetch them.

gallery-dl is under the GPL: it runs as a separate program, and none of it is imported. Hashtags are
listed by it or by Instaloader. Both keep their own rate limits and need the cookies of the user's
login. Only cookies.txt is read: a session file of Instaloader is a pickle, which can run code.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from http.cookiejar import LoadError, MozillaCookieJar
from typing import Any

from graftgan.core.errors import CollectError
from graftgan.core.files import parse_json
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
from graftgan.pictures.collecting.settings import CollectSettings

_FILE = 3  # the type of a message that names a file
_VIDEOS = frozenset(("mp4", "webm", "mov", "m4v", "mkv", "m3u8", "mp3", "m4a", "zip", "pdf"))
_REMEMBERED = 30  # lines of its log, to explain a failure
# Where sites write the author, title and page of a picture, each a path of names.
_AUTHOR = "author name, author, account acct, username, user name, user, artist, uploader, owner"
_TITLE, _LICENCE = "title, caption, description, content", "license, licence"
_PAGE = ("post_url", "page_url", "url", "uri")
_SITE = "https://www.instagram.com"
_NEEDED = ("sessionid", "csrftoken")


def open_gallery(address: str, settings: CollectSettings) -> Listing:
    """Return a listing of what gallery-dl finds at ``address``; CollectError: it cannot list."""
    if not address.startswith(("http://", "https://")):
        raise CollectError(f"gallery: needs a web address with https://, got '{address}'")
    words = ["--dump-json", "--verbose", "-o", "output.jsonl=true", "-o", "output.private=true"]
    for flag, path in (("--cookies", settings.cookies), ("--config", settings.gallery_config)):
        if path is not None:
            if not path.is_file():
                raise CollectError(f"there is no file {path}")
            words += [flag, str(path)]
    command = [*_gallery_program(), *words, "--", address]
    return lambda _web: _listed(command, address)


def _gallery_program() -> list[str]:
    if (found := shutil.which("gallery-dl")) is not None:
        return [found]
    if importlib.util.find_spec("gallery_dl") is not None:
        return [sys.executable, "-m", "gallery_dl"]
    raise CollectError("gallery-dl is not installed; install it with `pip install gallery-dl`")


def _listed(command: list[str], address: str) -> Iterator[FoundPicture]:
    said: deque[str] = deque(maxlen=_REMEMBERED)
    listed = 0
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as program:
        complaints = map(str.strip, program.stderr or ())
        ear = threading.Thread(target=said.extend, args=(complaints,), daemon=True)
        ear.start()
        try:
            for line in program.stdout or ():
                candidate = _of_message(line, home=private_home(address))
                if candidate is not None:
                    listed += 1
                    yield candidate
            code = program.wait()
            ear.join()
        finally:
            program.kill()  # harmless if it has ended
            program.wait()
            ear.join()
    problem = _problem(code, list(said), listed)
    if problem is not None:
        raise CollectError(f"gallery-dl listed {listed:,} pictures of {address} and {problem}")


def _problem(code: int, said: list[str], listed: int) -> str | None:
    """Return what its log says went wrong, if anything; after most errors it ends with code 0."""
    complaints = [line for line in said if re.search(r"\]\[(error|warning)\]", line)]
    statuses = [int(m[1]) for line in said if (m := re.search(r'" (\d{3}) (?:\d+|None)$', line))]
    if statuses and statuses[-1] >= 400:
        return f"then got status {statuses[-1]}; a login may be needed: --cookies cookies.txt"
    if code != 0 or (listed == 0 and complaints):
        last = (complaints or said or ["nothing"])[-1]
        return f"ended with code {code}; it said: {last[:200]}"
    return "found nothing; run it by hand to see why" if listed == 0 else None


def _of_message(line: str, *, home: str | None) -> FoundPicture | None:
    try:
        message = parse_json(line)
    except ValueError:
        return None
    url, about = entry(message, 1), entry(message, 2)
    if entry(message, 0) != _FILE or not isinstance(url, str) or not isinstance(about, dict):
        return None
    if str(about.get("extension", "")).lower() in _VIDEOS:
        return None
    category = text_of(about.get("category")) or "gallery"
    pages = (_first(about, place) for place in _PAGE)
    page, key = next((page for page in pages if page not in (None, url)), None), None
    post = text_of(about.get("post_shortcode"))
    if category == "instagram" and post is not None:  # it signs addresses anew each time
        page = f"{_SITE}/p/{post}/"
        key = f"instagram:{post}/{text_of(about.get('num')) or '1'}"
    origin = Origin(
        url=url,
        page=page,
        author=_first(about, _AUTHOR),
        licence=_first(about, _LICENCE),
        title=_first(about, _TITLE),
        published=text_of(about.get("date")),
        source=category,
    )
    referer = text_of(entry(about, "_http_headers", "Referer"))
    return FoundPicture(name=url, origin=origin, key=key, home=home, referer=referer)


def _first(about: dict[str, Any], places: str) -> str | None:
    texts = (plain_text(entry(about, *place.split())) for place in places.split(","))
    return next((text for text in texts if text), None)


def open_instagram(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the public pictures with a hashtag; CollectError: it cannot list."""
    tag = what.removeprefix("#")
    if not re.fullmatch(r"\w+", tag):
        raise CollectError(f"'{what}' is not a hashtag; write instagram:#bettafish")
    if settings.through == "gallery-dl":
        return open_gallery(f"{_SITE}/explore/tags/{tag.lower()}/", settings)
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
    return lambda _web: _tagged(loader, tag)


def _cookies(settings: CollectSettings) -> dict[str, str]:
    """Return Instagram's cookies in the user's cookies.txt; empty: none was given."""
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
            "browser and export its cookies again"
        )
    return found


def _tagged(loader: Any, tag: str) -> Iterator[FoundPicture]:
    import instaloader

    try:
        for post in instaloader.Hashtag.from_name(loader.context, tag).get_posts():
            yield from _pictures_of(post)
    except instaloader.InstaloaderException as error:
        raise CollectError(
            f"Instaloader cannot list #{tag}: {text_of(str(error))}; hashtags need the cookies of "
            "a login (--cookies), and the site limits the number of requests"
        ) from None
    except (KeyError, TypeError, ValueError) as error:  # the site changed the format
        raise CollectError(
            f"Instaloader does not understand the answer for #{tag} ({type(error).__name__}); "
            "update it, or collect --through gallery-dl"
        ) from None


def _pictures_of(post: Any) -> Iterator[FoundPicture]:
    """Yield the pictures of a post; videos are left out."""
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
        yield FoundPicture(name=url, origin=origin, key=f"instagram:{post.shortcode}/{number}")


SOURCES.register("gallery")(
    SourceKind(
        open=open_gallery,
        remark="read the site's terms: many forbid automated collection, or training on the "
        "pictures, which remain their authors' property",
    )
)
SOURCES.register("instagram")(
    SourceKind(
        open=open_instagram,
        remark="Instagram's terms forbid automated collection without its permission, and you may "
        "lose your account; the pictures remain their authors' property, without any licence",
    )
)
