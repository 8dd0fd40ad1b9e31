"""Services that list pictures, played by a site on this machine."""

import itertools
import json
import threading
from pathlib import Path
from typing import Any

from fake_sites import FakeSite, Visit, as_json, picture
from graftgan.pictures.collecting import Clock


def put_pictures(site: FakeSite, count: int, *, start: int = 0) -> list[str]:
    """Serve pictures that differ; return their addresses."""
    return [site.put(f"/media/{i}.png", picture(i + 1)) for i in range(start, start + count)]


def play_openverse(site: FakeSite, urls: list[str], *, most: int | None = None) -> str:
    """Answer like the image search of Openverse; ``most`` results go to who has no token."""

    def answer(visit: Visit) -> None:
        page, size = int(visit.query["page"]), int(visit.query["page_size"])
        if most is not None and page * size > most and "Authorization" not in visit.headers:
            return visit.send(b'{"detail": "too deep"}', status=401)
        licences = visit.query.get("license", "by,by-sa,cc0").split(",")
        found = [
            _openverse_result(site, url, code)
            for url, code in zip(urls, itertools.cycle(("by", "by-sa", "cc0")), strict=False)
            if code in licences
        ]
        results = found[(page - 1) * size : page * size]
        data = {
            "result_count": len(found),
            "page_count": -(-len(found) // size),
            "page_size": size,
            "page": page,
            "results": results,
        }
        return as_json(data)(visit)

    site.put("/v1/images/", answer)
    return site.url


def _openverse_result(site: FakeSite, url: str, code: str) -> dict[str, Any]:
    return {
        "id": url[-20:],
        "title": f"Fish\u0000 {url[-8:]}",
        "foreign_landing_url": f"{site.url}/about{url[-8:]}",
        "url": url,
        "creator": "Ada Ångström",
        "license": code,
        "license_version": "1.0" if code == "cc0" else "4.0",
        "license_url": f"https://creativecommons.org/licenses/{code}/4.0/",
        "mature": False,
    }


def play_commons(site: FakeSite, urls: list[str], *, size: int = 3) -> str:
    """Answer like the API of a MediaWiki: a few files at once, and how to go on."""

    def answer(visit: Visit) -> None:
        offset = int(visit.query.get("gsroffset", "0"))
        shown = [_commons_page(offset + i, u) for i, u in enumerate(urls[offset : offset + size])]
        data: dict[str, Any] = {"query": {"pages": shown}}
        if offset + size < len(urls):
            data["continue"] = {"gsroffset": offset + size, "continue": "gsroffset||"}
        return as_json(data)(visit)

    return site.put("/w/api.php", answer)


def _commons_page(number: int, url: str) -> dict[str, Any]:
    kind = "image/svg+xml" if url.endswith(".svg") else "image/png"
    licence = ("CC BY-SA 4.0", "Public domain", "CC0")[number % 3]
    about = {
        "Artist": {"value": '<a href="//x/User:B"><b>Bea</b> &amp; <i>Cy</i></a>'},
        "LicenseShortName": {"value": licence},
        "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
        "ObjectName": {"value": f"Betta {number}"},
        "DateTimeOriginal": {"value": "2012-05-01 10:00:00"},
    }
    size = 10**9 if "giant" in url else 900
    info = {"url": url, "descriptionurl": f"{url}.html", "mime": kind, "size": size}
    return {"title": f"File:{number}.png", "imageinfo": [{**info, "extmetadata": about}]}


def play_mastodon(site: FakeSite, urls: list[str], folder: Path, *, pages: int = 2) -> Path:
    """Answer like a Mastodon; return a configuration that leads gallery-dl here."""
    share = -(-len(urls) // pages)

    def answer(visit: Visit) -> None:
        page = int(visit.query.get("page", "0"))
        posts = [_toot(site, number, url) for number, url in enumerate(urls)]
        posts = posts[page * share : (page + 1) * share]
        links = {"Link": f'<{site.url}/api/v1/timelines/tag/cats?page={page + 1}>; rel="next"'}
        more = (page + 1) * share < len(urls)

        visit.send(json.dumps(posts).encode(), **(links if more else {}))

    site.put("/api/v1/timelines/tag/cats", answer)
    config = folder / "gallery-dl.json"
    instance = {"root": site.url, "access-token": "x"}

    settings = {"extractor": {"mastodon": {"fake": instance}, "sleep-request": 0}}
    config.write_text(json.dumps(settings))
    return config


def _toot(site: FakeSite, number: int, url: str) -> dict[str, Any]:
    return {
        "id": str(number),
        "uri": f"{site.url}/users/ann/statuses/{number}",
        "url": f"{site.url}/@ann/{number}",
        "created_at": "2026-01-02T03:04:05.000Z",
        "in_reply_to_id": None,
        "reblog": None,
        "account": {"id": "7", "username": "ann", "acct": "ann", "moved": None},
        "content": "<p>My <b>cat</b></p>",
        "tags": [{"name": "cats"}],
        "media_attachments": [{"id": str(number), "type": "image", "url": url}],
    }


def instagram_post(number: int, url: str, *, carousel: list[str] | None = None) -> dict[str, Any]:
    """Return a post as Instagram's phone API describes it."""

    def image(address: str) -> dict[str, Any]:
        return {"media_type": 1, "image_versions2": {"candidates": [{"url": address}]}}

    post: dict[str, Any] = {
        "code": f"CODE{number}",
        "pk": 1000 + number,
        "taken_at": 1_700_000_000 + number,
        "caption": {"text": f"Post {number}\n#bettafish"},
        "has_liked": False,
        "like_count": 3,
        "user": {
            "pk": 5,
            "username": "fishkeeper",
            "is_private": False,
            "full_name": "F K",
            "profile_pic_url": "",
        },
        **image(url),
    }
    if carousel is not None:
        post |= {"media_type": 8, "carousel_media": [image(address) for address in carousel]}
    return post


def play_instagram(site: FakeSite, posts: list[dict[str, Any]], *, size: int = 2) -> None:
    """Answer like Instagram's pages of a hashtag, ``size`` posts at once."""

    def section(start: int) -> dict[str, Any]:
        medias = [{"media": post} for post in posts[start : start + size]]
        more = start + size < len(posts)
        sections = [{"layout_content": {"medias": medias}}]
        return {"sections": sections, "more_available": more, "next_max_id": str(start + size)}

    def answer(visit: Visit) -> None:
        recent = section(int(visit.query.get("max_id", "0")))
        data = {"name": "bettafish", "id": "1", "recent": recent, "top": section(10**6)}
        as_json({"data": data, "status": "ok"})(visit)

    site.put("/api/v1/tags/web_info/", answer)
    site.put("/explore/tags/bettafish/", answer)


class StillClock(Clock):
    """A clock that jumps ahead instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.waits: list[float] = []
        self._jumps = threading.Lock()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        super().sleep(0)
        with self._jumps:
            self.time += max(seconds, 0)
            if seconds > 0:
                self.waits.append(seconds)
