"""Collecting as a whole: counts, duplicates, going on, stopping, refusing."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from collecting_services import StillClock, put_pictures

from fake_sites import (
    FakeSite,
    Visit,
    first,
    jpeg,
    picture,
    serve,
    slow_drip,
    status,
)
from graftgan.core.errors import CollectError, GraftganError
from graftgan.pictures.collecting import (
    Clock,
    Collected,
    CollectionProgress,
    CollectSettings,
    collect,
)

Gather = Callable[..., Collected]


def listed(tmp_path: Path, *addresses: str) -> str:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(addresses))
    return f"urls:{path}"


def manifest(tmp_path: Path) -> list[dict]:
    text = (tmp_path / "raw" / "manifest.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_one_address_in_many_spellings_is_fetched_once(
    site: FakeSite, gather: Gather, tmp_path: Path
):
    site.put("/a~b.png", picture(1))
    host = site.host
    spellings = [
        f"http://{host}/a~b.png",
        f"HTTP://{host}/a%7Eb.png#x",
        f" http://{host}/a%7eb.png",
    ]
    collected = gather(listed(tmp_path, *spellings))
    assert (collected.new, collected.duplicates) == (1, 2)
    assert site.visits_to("/a~b.png") + site.visits_to("/a%7Eb.png") == 1


def test_equal_bytes_from_two_addresses_are_stored_once(
    site: FakeSite, gather: Gather, tmp_path: Path
):
    addresses = [site.put(f"/{n}.png", picture(1)) for n in range(6)]
    collected = gather(listed(tmp_path, *addresses))
    assert (collected.new, collected.duplicates) == (1, 5)
    (line,) = manifest(tmp_path)
    assert sorted([line["address"], *line["also"]]) == sorted(addresses)
    again = gather(listed(tmp_path, *addresses))
    assert (again.new, again.already) == (0, 6)
    assert all(site.visits_to(f"/{n}.png") == 1 for n in range(6))


def test_names_are_ours_whatever_the_server_says(site: FakeSite, gather: Gather, tmp_path: Path):
    evil = 'attachment; filename="../../../evil.sh"'
    addresses = [
        site.put("/../../evil.png", serve(picture(1), Content_Disposition=evil)),
        site.put("/%2e%2e/%2e%2e/evil.png", serve(picture(2), Content_Disposition=evil)),
        site.put("/..%2f..%2fevil.php", serve(jpeg(3), Content_Type="text/x-php")),
        site.put("/x.png", serve(jpeg(4), Content_Type="image/png")),
    ]
    for number, path in enumerate(("/evil.png", "/..%2F..%2Fevil.php")):  # as they are sent
        site.put(path, (picture(1), jpeg(3))[number])
    gather(listed(tmp_path, *addresses))
    stored = {path.name: path for path in (tmp_path / "raw" / "pictures").iterdir()}
    assert {path.suffix for path in stored.values()} == {".png", ".jpg"}
    assert all(len(path.stem) == 20 and path.stem.isalnum() for path in stored.values())
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("connections", [1, 4])
def test_as_many_as_wanted_and_no_more(
    site: FakeSite, gather: Gather, tmp_path: Path, connections: int
):
    addresses = put_pictures(site, 20)
    site.put("/media/1.png", status(404))
    site.put("/media/2.png", picture(1))  # as /media/0.png
    source = listed(tmp_path, *addresses)
    collected = gather(source, count=5, connections=connections)
    assert len(collected.origins) == 5
    # Only what was missing after refusals and duplicates was fetched on top.
    assert sum(path.startswith("/media/") for path, _ in site.visits) <= 7
    assert gather(source, count=5, connections=connections).new == 0
    more = gather(source, count=8, connections=connections)
    assert (more.new, len(more.origins)) == (3, 8)
    assert max(n for path, n in site.counts().items() if path != "/robots.txt") == 1


def test_the_count_is_of_each_source(site: FakeSite, gather: Gather, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    for number in range(5):
        (tmp_path / "mine" / f"{number}.png").write_bytes(picture(100 + number))
    source = listed(tmp_path, *put_pictures(site, 5))
    assert gather([source, str(tmp_path / "mine")], count=3).new == 6


def test_refused_is_refused_until_it_is_asked_for_again(
    site: FakeSite, gather: Gather, tmp_path: Path
):
    gone = site.put("/gone.png", status(404))
    busy = site.put("/busy.png", first(2, status(503), serve(picture(1))))
    source = listed(tmp_path, gone, busy)
    before = gather(source, tries=2)
    assert dict(before.refused) == {"not found": 1, "server error": 1}
    assert before.worth_trying_again == 1
    still = gather(source, tries=2)
    assert (still.refused_before, dict(still.refused)) == (2, {})
    assert site.visits_to("/busy.png") == 2
    again = gather(source, tries=2, retry_refused=True)
    assert (again.new, again.refused_before, again.worth_trying_again) == (1, 1, 0)
    assert site.visits_to("/gone.png") == 1
    refused = (tmp_path / "raw" / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["address"] for line in refused] == [gone]


def test_damage_on_the_way_is_tried_once_more(site: FakeSite, gather: Gather, tmp_path: Path):
    half = jpeg(1)[: len(jpeg(1)) // 2]
    flaky = site.put("/flaky.jpg", first(1, serve(half), serve(jpeg(1))))
    damaged = site.put("/damaged.jpg", half)
    collected = gather(listed(tmp_path, flaky, damaged))
    assert (collected.new, dict(collected.refused)) == (1, {"damaged": 1})
    assert site.visits_to("/damaged.jpg") == 2


def test_it_tells_how_far_it_is(site: FakeSite, tmp_path: Path):
    source = listed(tmp_path, *put_pictures(site, 5), site.url + "/none")
    seen: list[CollectionProgress] = []
    settings = CollectSettings(pause=0, count=5)
    collect([source], tmp_path / "raw", settings, watch=seen.append)
    assert {standing.wanted for standing in seen} == {5}
    assert max(standing.have for standing in seen) == 5
    assert len(seen) == 5 + seen[-1].refused


def test_it_waits_between_requests(site: FakeSite, tmp_path: Path, clock: StillClock):
    source = listed(tmp_path, *put_pictures(site, 10))
    collect([source], tmp_path / "raw", CollectSettings(pause=2), clock=clock)
    assert clock.time == pytest.approx(20), "ten pictures and robots.txt"


def test_a_stop_ends_what_is_on_its_way(site: FakeSite, tmp_path: Path):
    """An error in the middle, as a Ctrl-C is, leaves a folder that the next call goes on with."""
    dripping = threading.Event()

    def drip(visit: Visit) -> None:
        dripping.set()
        slow_drip(visit)

    addresses = [
        *put_pictures(site, 3),
        site.put("/slow.png", drip),
        *put_pictures(site, 2, start=3),
    ]
    source = listed(tmp_path, *addresses)

    def stop(standing: CollectionProgress) -> None:
        dripping.wait(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(
            [source],
            tmp_path / "raw",
            CollectSettings(pause=0, seconds=60, silence=60),
            watch=stop,
        )
    stored = {line["name"] for line in manifest(tmp_path)}
    assert 1 <= len(stored) <= 5
    assert (tmp_path / "raw" / "refused.jsonl").read_text() == "", "what was stopped is not refused"
    site.put("/slow.png", picture(99))
    again = collect([source], tmp_path / "raw", CollectSettings(pause=0))
    assert again.already == len(stored)
    assert len(again.origins) == 6


def test_a_stopped_clock_ends_it_quietly(site: FakeSite, tmp_path: Path):
    clock = Clock()
    source = listed(tmp_path, *put_pictures(site, 50))
    settings = CollectSettings(pause=0, connections=1)
    collected = collect(
        [source], tmp_path / "raw", settings, watch=lambda _standing: clock.stop(), clock=clock
    )
    assert 1 <= collected.new == len(manifest(tmp_path)) < 50
    assert dict(collected.refused) == {}


def test_a_disk_that_cannot_be_written_is_said(
    site: FakeSite, gather: Gather, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    source = listed(tmp_path, *put_pictures(site, 3))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(GraftganError, match="No space left"):
            gather(source)
    assert gather(source).new == 3


def test_the_folder_may_not_lie_in_what_is_collected(tmp_path: Path):
    for out in (tmp_path, tmp_path / "raw"):
        with pytest.raises(CollectError, match="choose another"):
            collect([str(tmp_path)], out)


def test_what_is_seen_is_what_is_stored(site: FakeSite, gather: Gather, tmp_path: Path):
    """The manifest, the folder and the summary tell the same."""
    collected = gather(listed(tmp_path, *put_pictures(site, 9), site.url + "/none"))
    names = Counter(line["name"] for line in manifest(tmp_path))
    on_disk = {f"pictures/{path.name}" for path in (tmp_path / "raw" / "pictures").iterdir()}
    assert set(names) == on_disk
    assert max(names.values()) == 1
    assert len(names) == collected.new == len(collected.origins) == 9
