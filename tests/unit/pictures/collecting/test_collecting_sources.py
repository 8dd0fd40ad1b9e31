"""The sources, each against a service that is played on this machine."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from collecting_services import play_commons, play_openverse, put_pictures
from PIL import Image

from fake_sites import FakeSite, picture, status
from graftgan.core.errors import CollectError, SettingsError
from graftgan.core.provenance import licences_in_words, origins_of
from graftgan.models.video import write_video
from graftgan.pictures.collecting import SOURCES, Collected, CollectSettings
from graftgan.pictures.collecting.candidates import list_candidates, plain_text, text_of
from graftgan.pictures.collecting.licensed import licence_code

Gather = Callable[..., Collected]


def by_url(collected: Collected) -> dict[str | None, object]:
    return {origin.url: origin for origin in collected.origins}


def refused_lines(raw: Path) -> dict[str, str]:
    lines = (raw / "refused.jsonl").read_text().splitlines()
    return {json.loads(line)["address"]: json.loads(line)["reason"] for line in lines}


def test_openverse_pages_with_licences(site: FakeSite, gather: Gather):
    urls = put_pictures(site, 45)
    api = play_openverse(site, urls)
    collected = gather("openverse:betta fish", openverse_api=api)
    assert collected.new == 45
    assert collected.problems == []
    assert site.visits_to("/v1/images/") == 3
    assert site.visits_to("/robots.txt") == 0
    origin = by_url(collected)[urls[1]]
    assert (origin.licence, origin.author, origin.source) == (
        "CC BY-SA 4.0",
        "Ada Ångström",
        "openverse",
    )
    assert origin.page.startswith(site.url)
    assert origin.title == f"Fish {urls[1][-8:]}"
    counts = set(licences_in_words(collected.origins).split(", "))
    assert counts == {"CC BY 4.0 (15)", "CC BY-SA 4.0 (15)", "CC0 1.0 (15)"}


def test_openverse_keeps_to_licences_and_counts(site: FakeSite, gather: Gather):
    api = play_openverse(site, put_pictures(site, 45))
    collected = gather("openverse:x", openverse_api=api, licence=("cc0",), count=7)
    assert collected.new == 7
    assert {origin.licence for origin in collected.origins} == {"CC0 1.0"}
    assert site.visits_to("/v1/images/") == 1, "a page that is not needed is not asked for"


def test_openverse_says_when_a_token_is_needed(
    site: FakeSite, gather: Gather, monkeypatch: pytest.MonkeyPatch
):
    api = play_openverse(site, put_pictures(site, 45), most=40)
    collected = gather("openverse:x", openverse_api=api)
    assert collected.new == 40
    assert "no more than 40 pictures without a token" in collected.problems[0]
    monkeypatch.setenv("OPENVERSE_TOKEN", "secret")
    with_token = gather("openverse:x", openverse_api=api)
    assert (with_token.new, with_token.problems) == (5, [])


def test_commons_goes_on_and_strips_html(site: FakeSite, gather: Gather):
    urls = put_pictures(site, 7)
    urls += [site.put("/drawing.svg", picture(90)), site.put("/giant.png", picture(91))]
    api = play_commons(site, urls)
    collected = gather("commons:Betta splendens", commons_api=api)
    assert (collected.new, collected.problems) == (7, [])
    assert dict(collected.refused) == {"not a picture": 1, "too large": 1}
    assert site.visits_to("/drawing.svg") == site.visits_to("/giant.png") == 0
    origin = by_url(collected)[urls[0]]
    assert (origin.author, origin.licence) == ("Bea & Cy", "CC BY-SA 4.0")
    assert (origin.title, origin.published) == ("Betta 0", "2012-05-01 10:00:00")
    assert site.visits_to("/w/api.php") == 3


def test_commons_by_category_and_licence(site: FakeSite, gather: Gather):
    asked: list[dict[str, str]] = []
    api = play_commons(site, put_pictures(site, 6), size=10)
    answer = site.answers["/w/api.php"]

    def listening(visit: object) -> None:
        asked.append(visit.query)
        answer(visit)

    site.put("/w/api.php", listening)
    collected = gather("commons:category: Betta", commons_api=api, licence=("by-sa", "cc0"))
    assert {origin.licence for origin in collected.origins} == {"CC BY-SA 4.0", "CC0"}
    assert collected.new == 4
    assert asked[0]["generator"] == "categorymembers"
    assert asked[0]["gcmtitle"] == "Category:Betta"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("CC BY-SA 4.0", "by-sa"),
        ("CC BY 2.0", "by"),
        ("cc-by-nc-nd-3.0", "by-nc-nd"),
        ("CC0", "cc0"),
        ("Public domain", "pdm"),
        ("PD-self", "pdm"),
        ("GFDL", None),
        (None, None),
    ],
)
def test_licence_codes(name: str | None, code: str | None):
    assert licence_code(name) == code


def test_an_api_that_fails_is_a_problem_not_a_crash(site: FakeSite, gather: Gather, tmp_path: Path):
    (tmp_path / "list.txt").write_text("\n".join(put_pictures(site, 3)))
    site.put("/v1/images/", status(500))
    site.put("/w/api.php", b'{"error": {"info": "no such thing"}}')
    sources = ["openverse:x", "commons:x", f"urls:{tmp_path / 'list.txt'}"]
    collected = gather(
        sources, openverse_api=site.url, commons_api=f"{site.url}/w/api.php", tries=2
    )
    assert collected.new == 3, "the other sources go on"
    assert "server error" in collected.problems[0]
    assert "no such thing" in collected.problems[1]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl"])
def test_lists_of_addresses(site: FakeSite, gather: Gather, tmp_path: Path, kind: str):
    urls = put_pictures(site, 3)
    bad = ["file:///etc/passwd", "no address"]
    path = tmp_path / f"list.{kind}"
    if kind == "txt":
        path.write_text("\ufeff# mine\n\n" + "\r\n".join(f"  {u}  " for u in [*urls, *bad]))
    elif kind == "jsonl":
        rows = [{"url": u, "licence": "CC BY 4.0", "author": "Bo"} for u in [*urls, *bad]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    else:
        mark = "," if kind == "csv" else "\t"
        rows = [mark.join(("Author", "URL", "licence"))]
        rows += [mark.join(("Bo", u, "CC BY 4.0")) for u in [*urls, *bad]]
        path.write_text("\n".join(rows) + "\n\n")
    collected = gather(f"urls:{path}")
    assert collected.new == 3
    reasons = {"not http": 1, "bad address": 2 if kind == "jsonl" else 1}
    assert dict(collected.refused) == reasons
    assert site.visits_to("/robots.txt") == 1
    origin = by_url(collected)[urls[0]]
    expected = (None, None) if kind == "txt" else ("Bo", "CC BY 4.0")
    assert (origin.author, origin.licence) == expected


def test_one_address(site: FakeSite, gather: Gather):
    (url,) = put_pictures(site, 1)
    assert gather(f"urls:{url}").new == 1


def test_a_table_without_addresses(tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text("name,size\na,1\n")
    with pytest.raises(CollectError, match="no column of addresses"):
        list_candidates(f"urls:{path}", CollectSettings())


def test_a_folder_is_copied_with_its_origins(gather: Gather, tmp_path: Path):
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "sub/b.png", "sub/again.png")):
        (folder / name).write_bytes(picture(min(number, 1) + 1))
    (folder / "broken.png").write_bytes(picture(3)[:60])
    (folder / "notes.png").write_text("<html>")
    line = {"name": "sub/b.png", "url": "http://example.org/b", "licence": "CC0"}
    (folder / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    collected = gather(str(folder))
    assert (collected.new, collected.duplicates) == (2, 1)
    assert dict(collected.refused) == {"damaged": 1, "not a picture": 1}
    assert {origin.licence for origin in collected.origins} == {None, "CC0"}
    again = gather(f"folder:{folder}")
    assert (again.new, again.already, again.duplicates) == (0, 3, 0)
    assert len((tmp_path / "raw" / "refused.jsonl").read_text().splitlines()) == 2
    # What was collected is a folder with origins itself.
    names = {line["name"] for line in map(json.loads, _manifest(tmp_path / "raw"))}
    assert set(origins_of(tmp_path / "raw")) == names


def test_two_folders_of_one_name_are_two(gather: Gather, tmp_path: Path):
    for number, parent in enumerate(("one", "two")):
        (tmp_path / parent / "set").mkdir(parents=True)
        (tmp_path / parent / "set" / "a.png").write_bytes(picture(number + 1))
    assert gather([str(tmp_path / "one" / "set"), str(tmp_path / "two" / "set")]).new == 2


def test_a_zip_cannot_write_elsewhere(gather: Gather, tmp_path: Path):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for number, name in enumerate(
            ("../../evil.png", "/evil.png", "a/../../evil.jpg", "ok.png")
        ):
            z.writestr(name, picture(number + 1))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        z.writestr(link, "/etc/passwd")
        z.writestr("manifest.jsonl", json.dumps({"name": "ok.png", "licence": "CC0"}) + "\n")
    before = {path for path in tmp_path.rglob("*") if "raw" not in path.parts}
    collected = gather(str(archive))
    assert collected.new == 4, "what climbs out is taken by the part of its name that does not"
    assert dict(collected.refused) == {"not a picture": 1}
    assert {path for path in tmp_path.rglob("*") if "raw" not in path.parts} == before
    assert not (tmp_path.parent / "evil.png").exists()
    assert sum(origin.licence == "CC0" for origin in collected.origins) == 1
    assert all(not path.is_symlink() for path in (tmp_path / "raw").rglob("*"))


def test_an_npz_becomes_pictures(gather: Gather, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=np.concatenate([pixels, pixels[:1]]))
    collected = gather(str(tmp_path / "set.npz"))
    assert (collected.new, collected.duplicates) == (3, 1)
    stored = [Image.open(io.BytesIO(p.read_bytes())) for p in _pictures(tmp_path)]
    assert {np.asarray(image).tobytes() for image in stored} == {p.tobytes() for p in pixels}


def test_the_largest_size_holds_for_files_too(gather: Gather, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.bmp").write_bytes(picture(1, "BMP", side=64))
    assert dict(gather(str(tmp_path / "mine"), largest_mb=0.01).refused) == {"too large": 1}


def test_a_video_becomes_frames_that_differ(gather: Gather, tmp_path: Path):
    colours = (
        0,
        0,
        0,
        0,
        90,
        90,
        200,
        200,
    )  # two frames a second: 0, 0, 90 and 200 at full seconds
    frames = torch.stack([torch.full((3, 32, 32), c, dtype=torch.uint8) for c in colours])
    write_video(frames, tmp_path / "tank.mp4", frames_per_second=2, size=32)
    collected = gather(f"video:{tmp_path / 'tank.mp4'}", every=1)
    means = sorted(np.asarray(Image.open(path)).mean() for path in _pictures(tmp_path))
    assert means == pytest.approx([0, 90, 200], abs=4)
    assert {origin.title for origin in collected.origins} == {
        "tank.mp4, 0 s",
        "tank.mp4, 2 s",
        "tank.mp4, 3 s",
    }
    assert gather(f"video:{tmp_path / 'tank.mp4'}", every=1).already == 3


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nURL\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.mp4\n",
    ],
)
def test_a_playlist_is_no_video(gather: Gather, site: FakeSite, tmp_path: Path, playlist: str):
    frames = torch.full((3, 3, 32, 32), 90, dtype=torch.uint8)
    write_video(frames, tmp_path / "secret.mp4", frames_per_second=1, size=32)
    url = site.put("/secret.ts", (tmp_path / "secret.mp4").read_bytes())
    (tmp_path / "video.mp4").write_text(playlist.replace("URL", url))
    collected = gather(f"video:{tmp_path / 'video.mp4'}")
    assert "cannot read" in collected.problems[0]
    assert (collected.new, site.visits) == (0, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("opnverse:fish", "did you mean 'openverse'"),
        ("nowhere/at/all", "there is no nowhere/at/all"),
        ("folder:nowhere", "there is no nowhere"),
        ("urls:nowhere.txt", "there is no list"),
        ("video:nowhere.mp4", "there is no video"),
        ("openverse:", "does not say what"),
        ("https://example.org/a.jpg", "urls:https"),
        ("#bettafish", "instagram:#bettafish"),
        ("instagram:betta fish", "not a hashtag"),
        ("instagram:#a/../b", "not a hashtag"),
        ("gallery:example.org", "https://"),
        ("gallery:--exec=ls", "https://"),
    ],
)
def test_mistakes_are_seen_before_anything_is_done(gather: Gather, tmp_path: Path, text, message):
    with pytest.raises(CollectError, match=message.replace("(", r"\(")):
        gather([str(tmp_path), text])
    assert not (tmp_path / "raw").exists()


def test_settings_that_make_no_sense():
    for wrong in ({"count": 0}, {"pause": -1}, {"connections": 0}, {"seconds": 0}, {"every": 0}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            CollectSettings(**wrong)
    with pytest.raises(SettingsError, match="cc-by"):
        CollectSettings(licence=("cc-by",))


def test_sources_without_licences_refuse_to_promise_them(tmp_path: Path):
    with pytest.raises(CollectError, match="does not know licences"):
        list_candidates(f"folder:{tmp_path}", CollectSettings(licence=("by",)))


def test_every_source_is_known():
    assert set(SOURCES) == {
        "commons", "folder", "gallery", "instagram", "openverse", "urls", "video",
    }  # fmt: skip


def test_text_of_strangers():
    assert text_of(" a\n\x00b\ud800 ") == "a b?"
    assert text_of(True) is text_of([1]) is text_of("  ") is None
    assert text_of("x" * 1000, longest=300) == "x" * 300
    assert plain_text("<p>a &lt;b&gt;</p><script>x()</script><br>c") == "a <b> c"


def _manifest(raw: Path) -> list[str]:
    return (raw / "manifest.jsonl").read_text().splitlines()


def _pictures(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "raw" / "pictures").iterdir())
