"""Hashtags: gallery-dl as a program, Instaloader as a package, the sites played here."""

import importlib.util
import json
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from collecting_services import instagram_post, play_instagram, play_mastodon, put_pictures

from fake_sites import FakeSite, as_json, status
from graftgan.core.errors import CollectError
from graftgan.pictures.collecting import SOURCES, Collected, CollectSettings
from graftgan.pictures.collecting.candidates import list_candidates

Gather = Callable[..., Collected]
COOKIE = "{domain}\tTRUE\t/\tTRUE\t0\t{name}\t{name}-value\n"


@pytest.fixture
def cookies(tmp_path: Path) -> Path:
    path = tmp_path / "cookies.txt"
    lines = [COOKIE.format(domain=".instagram.com", name=n) for n in ("sessionid", "csrftoken")]
    lines.append(COOKIE.format(domain=".example.org", name="other"))
    path.write_text("# Netscape HTTP Cookie File\n" + "".join(lines))
    return path


@pytest.fixture
def instagram(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lead Instaloader to the site; return the cookies of each request."""
    adapters = pytest.importorskip("requests.adapters")
    instaloader = pytest.importorskip("instaloader")
    send = adapters.HTTPAdapter.send
    seen: list[str] = []

    def send_here(self: object, request: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        assert parts.hostname.endswith("instagram.com"), "Instaloader only lists"
        request.url = f"{site.url}{parts.path}?{parts.query}"
        seen.append(request.headers.get("Cookie", ""))
        return send(self, request, **options)

    monkeypatch.setattr(adapters.HTTPAdapter, "send", send_here)
    monkeypatch.setattr(instaloader.InstaloaderContext, "do_sleep", lambda _self: None)
    return seen


@pytest.fixture
def no_gallery_dl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put a program called gallery-dl on the PATH that prints ``messages``."""

    def write(*messages: object, code: int = 0, says: str = "") -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        lines = "".join(json.dumps(message) + "\n" for message in messages)
        program = folder / "gallery-dl"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(tmp_path / 'words')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
            f"sys.stdout.write({lines!r})\nsys.stderr.write({says!r})\nsys.exit({code})\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        return tmp_path / "words"

    return write


def by_page(collected: Collected) -> dict[str | None, Any]:
    return {origin.page: origin for origin in collected.origins}


def test_the_real_gallery_dl_lists_and_we_fetch(site: FakeSite, gather: Gather, tmp_path: Path):
    pytest.importorskip("gallery_dl")
    urls = put_pictures(site, 6)
    video = site.put("/media/video.mp4", b"")
    config = play_mastodon(site, [*urls, video], tmp_path)
    source = f"gallery:{site.url}/tags/cats"
    collected = gather(source, gallery_config=config)
    assert (collected.new, collected.problems, dict(collected.refused)) == (6, [], {})
    assert site.visits_to("/media/video.mp4") == 0
    origin = by_page(collected)[f"{site.url}/@ann/2"]
    assert (origin.author, origin.title, origin.url) == ("ann", "My cat", urls[2])
    assert origin.published == "2026-01-02 03:04:05"
    fetched = [headers for path, headers in site.visits if path.startswith("/media/")]
    assert all(headers["user-agent"].startswith("graftgan/") for headers in fetched)
    again = gather(source, gallery_config=config)
    assert (again.new, again.already) == (0, 6)
    assert all(site.visits_to(urlsplit(url).path) == 1 for url in urls)


def test_the_real_gallery_dl_stops_when_there_is_enough(
    site: FakeSite, gather: Gather, tmp_path: Path
):
    pytest.importorskip("gallery_dl")
    config = play_mastodon(site, put_pictures(site, 6), tmp_path)
    collected = gather(f"gallery:{site.url}/tags/cats", gallery_config=config, count=2)
    assert (collected.new, collected.problems) == (2, [])


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/tags/cats", status(401), "status 401"),
        ("/tags/cats", as_json([]), "found nothing"),
        ("/unknown", status(404), "Unsupported URL"),
    ],
)
def test_the_real_gallery_dl_fails_with_a_reason(
    site: FakeSite, gather: Gather, tmp_path: Path, path: str, answer: Any, message: str
):
    pytest.importorskip("gallery_dl")
    config = play_mastodon(site, [], tmp_path)
    site.put("/api/v1/timelines/tag/cats", answer)
    collected = gather(f"gallery:{site.url}{path}", gallery_config=config)
    assert message in collected.problems[0]


def test_a_hashtag_through_gallery_dl(
    site: FakeSite, gather: Gather, pretend: Callable[..., Path], cookies: Path
):
    urls = put_pictures(site, 2)
    posts = [
        {"category": "instagram", "post_shortcode": f"C{i}", "num": 1, "username": "fishkeeper",
         "description": "My #betta", "date": "2026-01-01 00:00:00", "extension": "png",
         "_http_headers": {"Referer": "https://www.instagram.com/"}}
        for i in range(2)
    ]  # fmt: skip
    words = pretend(
        [2, {"category": "instagram"}],
        *[[3, f"{url}?signed=once", post] for url, post in zip(urls, posts, strict=True)],
        *([6, "https://x/", {}], "odd", [3]),
    )
    hashtag = "instagram:#BettaFish"
    collected = gather(hashtag, cookies=cookies, allow_private=True)
    assert (collected.new, collected.problems) == (2, [])
    origin = by_page(collected)["https://www.instagram.com/p/C0/"]
    assert (origin.author, origin.title, origin.source) == ("fishkeeper", "My #betta", "instagram")
    given = json.loads(words.read_text())
    assert given[-2:] == ["--", "https://www.instagram.com/explore/tags/bettafish/"]
    assert given[given.index("--cookies") + 1] == str(cookies)
    assert site.visits[-1][1]["referer"] == "https://www.instagram.com/"
    # The next listing signs the addresses anew; the posts are known all the same.
    pretend(*[[3, f"{url}?signed=again", post] for url, post in zip(urls, posts, strict=True)])
    assert gather(hashtag, allow_private=True).already == 2


def test_what_a_hashtag_leads_to_may_not_be_private(
    site: FakeSite, gather: Gather, pretend: Callable[..., Path]
):
    (url,) = put_pictures(site, 1)
    pretend([3, url, {"category": "instagram"}], [3, "file:///etc/passwd", {}])
    collected = gather("instagram:#bettafish")
    assert dict(collected.refused) == {"private address": 1, "not http": 1}
    assert site.visits == []


def test_a_program_that_fails_halfway(site: FakeSite, gather: Gather, pretend: Callable[..., Path]):
    (url,) = put_pictures(site, 1)
    pretend([3, url, {}], code=4, says="[x][error] challenge required\n")
    collected = gather(f"gallery:{site.url}/x")
    assert collected.new == 1
    assert "listed 1 pictures" in collected.problems[0]
    assert "challenge required" in collected.problems[0]


def test_without_gallery_dl(no_gallery_dl: None):
    with pytest.raises(CollectError, match="pip install gallery-dl"):
        list_candidates("gallery:https://example.org/", CollectSettings())


def test_gallery_dl_is_never_imported():
    import graftgan.pictures.collecting

    sources = Path(graftgan.pictures.collecting.__file__).parent.glob("*.py")
    texts = [path.read_text(encoding="utf-8") for path in sources]
    assert len(texts) > 10
    assert not any("import gallery_dl" in t or "from gallery_dl" in t for t in texts)


def test_a_hashtag_through_instaloader(
    site: FakeSite, gather: Gather, instagram: list[str], cookies: Path
):
    urls = put_pictures(site, 8)
    posts = [instagram_post(i, url) for i, url in enumerate(urls[:5])]
    posts.append(instagram_post(9, urls[5], carousel=urls[5:]))
    video = instagram_post(10, urls[0]) | {"media_type": 2}
    play_instagram(site, [video, *posts])
    options = {"through": "instaloader", "cookies": cookies, "allow_private": True}
    collected = gather("instagram:#bettafish", **options)
    assert (collected.new, collected.problems) == (8, [])
    origin = by_page(collected)["https://www.instagram.com/p/CODE1/"]
    assert (origin.author, origin.title) == ("fishkeeper", "Post 1 #bettafish")
    assert origin.published == "2023-11-14T22:13:21Z"
    assert origin.licence is None
    assert all("sessionid=sessionid-value" in sent for sent in instagram)
    assert not any("other" in sent for sent in instagram)
    assert gather("instagram:#bettafish", **options).already == 8


def test_instaloader_stops_when_there_is_enough(
    site: FakeSite, gather: Gather, instagram: list[str]
):
    play_instagram(site, [instagram_post(i, u) for i, u in enumerate(put_pictures(site, 8))])
    options = {"through": "instaloader", "allow_private": True, "count": 2, "connections": 1}
    assert gather("instagram:#bettafish", **options).new == 2
    assert site.visits_to("/explore/tags/bettafish/") <= 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (status(401), "cookies of a login"),
        (status(404), "cannot list #bettafish"),
        (as_json({"data": {"name": "x", "recent": {"sections": [{}]}}}), "does not understand"),
    ],
)
def test_instaloader_fails_with_a_reason(
    site: FakeSite, gather: Gather, instagram: list[str], answer: Any, message: str
):
    site.put("/api/v1/tags/web_info/", answer)
    collected = gather("instagram:#bettafish", through="instaloader")
    assert message in collected.problems[0]


def test_cookies_that_are_none(tmp_path: Path, cookies: Path):
    pytest.importorskip("instaloader")
    for text, message in (("nonsense", "as cookies.txt"), (None, "cannot read")):
        path = tmp_path / "other.txt"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(CollectError, match=message):
            _instaloader(path)
    cookies.write_text(cookies.read_text().replace("sessionid", "other"))
    with pytest.raises(CollectError, match="no cookie 'sessionid'"):
        _instaloader(cookies)


def test_without_instaloader(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "instaloader", None)
    with pytest.raises(CollectError, match="extra `collect`"):
        list_candidates("instagram:#x", CollectSettings(through="instaloader"))


def test_both_warn_of_the_terms():
    assert "terms" in (SOURCES["instagram"].remark or "")
    assert "terms" in (SOURCES["gallery"].remark or "")
    assert SOURCES["openverse"].remark is None


def _instaloader(cookies: Path) -> None:
    settings = CollectSettings(through="instaloader", cookies=cookies)
    list_candidates("instagram:#x", settings)
