"""``gallery:ADDRESS``: what gallery-dl lists there. It lists, we fetch.

gallery-dl is under the GPL: it is run as a program of its own, and none of it is imported.
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
from typing import IO, Any

from graftgan.core.errors import CollectError
from graftgan.core.files import parse_json
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
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web, private_home

_FILE = 3  # the kind of message that names a file
_FILMS = frozenset(("mp4", "webm", "mov", "m4v", "mkv", "m3u8", "mp3", "m4a", "zip", "pdf"))
_REMEMBERED = 30  # lines of what it says, to explain a failure
_AUTHOR = (
    ("author", "name"),
    ("author",),
    ("account", "acct"),
    ("username",),
    ("user", "name"),
    ("user",),
    ("artist",),
    ("uploader",),
    ("owner",),
)
_TITLE = (("title",), ("caption",), ("description",), ("content",))
_PAGE = (("post_url",), ("page_url",), ("url",), ("uri",))


def open_gallery(address: str, settings: CollectSettings) -> Listing:
    """Return a listing of what gallery-dl finds at ``address``.

    Raises:
        CollectError: It is no web address, or gallery-dl is missing.
    """
    if not address.startswith(("http://", "https://")):
        raise CollectError(f"gallery: needs a web address with https://, got '{address}'")
    options = _options(settings)
    command = [*gallery_program(), *options, "--", address]

    def listing(_web: Web) -> Iterator[FoundPicture]:
        return _listed(command, address)

    return listing


def gallery_program() -> list[str]:
    """Return the words that start gallery-dl.

    Raises:
        CollectError: It is not installed.
    """
    if (found := shutil.which("gallery-dl")) is not None:
        return [found]
    if importlib.util.find_spec("gallery_dl") is not None:
        return [sys.executable, "-m", "gallery_dl"]
    raise CollectError(
        "gallery-dl is not installed; `pip install gallery-dl`, a program of its own"
    )


def _options(settings: CollectSettings) -> list[str]:
    words = ["--dump-json", "--verbose", "-o", "output.jsonl=true", "-o", "output.private=true"]
    for flag, path in (("--cookies", settings.cookies), ("--config", settings.gallery_config)):
        if path is not None:
            if not path.is_file():
                raise CollectError(f"there is no file {path}")
            words += [flag, str(path)]
    return words


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
        ear = threading.Thread(target=_remember, args=(program.stderr, said), daemon=True)
        ear.start()
        try:
            for line in program.stdout or ():
                candidate = _candidate(line, home=private_home(address))
                if candidate is not None:
                    listed += 1
                    yield candidate
            code = program.wait()
            ear.join()
        finally:
            program.kill()  # no harm where it has ended
            program.wait()
            ear.join()
    problem = _problem(code, list(said), listed)
    if problem is not None:
        raise CollectError(f"gallery-dl listed {listed:,} pictures of {address} and {problem}")


def _remember(stream: IO[str] | None, said: deque[str]) -> None:
    for line in stream or ():
        said.append(line.strip())


def _problem(code: int, said: list[str], listed: int) -> str | None:
    """Return what went wrong, as far as what it said tells; it ends quietly after most errors."""
    complaints = [line for line in said if re.search(r"\]\[(error|warning)\]", line)]
    statuses = [int(m[1]) for line in said if (m := re.search(r'" (\d{3}) (?:\d+|None)$', line))]
    if statuses and statuses[-1] >= 400:
        return f"then got status {statuses[-1]}; a login may be needed: --cookies cookies.txt"
    if code != 0 or (listed == 0 and complaints):
        last = (complaints or said or ["nothing"])[-1]
        return f"ended with code {code}; it said: {last[:200]}"
    return "found nothing; run it by hand to see why" if listed == 0 else None


def _candidate(line: str, *, home: str | None) -> FoundPicture | None:
    try:
        message = parse_json(line)
    except ValueError:
        return None
    url, about = entry(message, 1), entry(message, 2)
    if entry(message, 0) != _FILE or not isinstance(url, str) or not isinstance(about, dict):
        return None
    if str(about.get("extension", "")).lower() in _FILMS:
        return None
    category = text_of(about.get("category")) or "gallery"
    origin = Origin(
        url=url,
        page=_page(about, category, url),
        author=_first(about, _AUTHOR),
        licence=_first(about, (("license",), ("licence",))),
        title=_first(about, _TITLE),
        published=text_of(about.get("date")),
        source=category,
    )
    return FoundPicture(
        name=url,
        origin=origin,
        key=_key(about, category),
        home=home,
        referer=text_of(entry(about, "_http_headers", "Referer")),
    )


def _key(about: dict[str, Any], category: str) -> str | None:
    """Return what names a picture where addresses are signed anew for each listing."""
    post, number = text_of(about.get("post_shortcode")), text_of(about.get("num"))
    if category != "instagram" or post is None:
        return None
    return instagram_key(post, number or "1")


def instagram_key(post: str, number: str | int) -> str:
    """Return what names the picture ``number``, from 1, of a post."""
    return f"instagram:{post}/{number}"


def _page(about: dict[str, Any], category: str, url: str) -> str | None:
    post = text_of(about.get("post_shortcode"))
    if category == "instagram" and post is not None:
        return f"https://www.instagram.com/p/{post}/"
    pages = (_first(about, (place,)) for place in _PAGE)
    return next((page for page in pages if page not in (None, url)), None)


def _first(about: dict[str, Any], places: tuple[tuple[str, ...], ...]) -> str | None:
    return next((said for place in places if (said := plain_text(entry(about, *place)))), None)


SOURCES.register("gallery")(
    SourceKind(
        open=open_gallery,
        remark="read the site's terms: many forbid collecting by programs, or training on what is "
        "shown; the pictures stay their authors'",
    )
)
