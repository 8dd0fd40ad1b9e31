"""The folder: nothing half, nothing twice, nothing lost, nothing elsewhere."""

import json
from pathlib import Path

import pytest

from fake_sites import picture
from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin, origins_of
from graftgan.pictures.collecting.candidates import FoundPicture
from graftgan.pictures.collecting.raw_set import RawSet, examine
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from hostile_json import RAW, as_bytes, damaged


def candidate(number: int, **options: object) -> FoundPicture:
    url = f"http://example.org/{number}.png"
    return FoundPicture(name=url, origin=Origin(url=url, licence="CC0", source="test"), **options)


def keep(store: RawSet, number: int, content: bytes) -> tuple[str, bool]:
    return store.keep(candidate(number), content, examine(content))


def fill(folder: Path, count: int) -> list[dict]:
    store = RawSet(folder)
    for number in range(1, count + 1):
        keep(store, number, picture(number))
    store.close()
    return lines_of(folder)


def lines_of(folder: Path, name: str = "manifest.jsonl") -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_what_a_picture_leaves(tmp_path: Path):
    (line,) = fill(tmp_path / "raw", 1)
    content = (tmp_path / "raw" / line["name"]).read_bytes()
    assert content == picture(1)
    assert line["name"] == f"pictures/{line['sha256'][:20]}.png"
    assert (line["bytes"], line["width"], line["height"]) == (len(content), 16, 16)
    assert line["url"] == line["address"] == "http://example.org/1.png"
    assert origins_of(tmp_path / "raw")[line["name"]].licence == "CC0"
    left = {path.name for path in (tmp_path / "raw").iterdir()}
    assert left == {"pictures", "manifest.jsonl", "refused.jsonl", ".collect.lock"}


def test_equal_bytes_are_stored_once_and_both_addresses_are_known(tmp_path: Path):
    store = RawSet(tmp_path)
    name, is_new = keep(store, 1, picture(5))
    assert is_new
    assert keep(store, 2, picture(5)) == keep(store, 1, picture(5)) == (name, False)
    store.close()
    (line,) = lines_of(tmp_path)
    assert line["also"] == ["http://example.org/2.png"]
    again = RawSet(tmp_path)
    assert again.name_at("http://example.org/2.png") == again.name_at(line["address"]) == name
    again.close()


def test_a_second_process_is_kept_out(tmp_path: Path):
    store = RawSet(tmp_path)
    with pytest.raises(CollectError, match="is in use by process"):
        RawSet(tmp_path)
    store.close()
    RawSet(tmp_path).close()


@pytest.mark.parametrize("part", ["pictures", "manifest.jsonl", "refused.jsonl", ".incoming"])
def test_links_are_refused(tmp_path: Path, part: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / part).symlink_to(outside / ("x" if "." in part[1:] else ""))
    with pytest.raises(CollectError, match="is a link"):
        RawSet(raw)
    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_a_picture_is_replaced_not_followed(tmp_path: Path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    raw = tmp_path / "raw"
    (raw / "pictures").mkdir(parents=True)
    target = raw / "pictures" / examine(picture(1)).file_name
    target.symlink_to(outside)
    fill(raw, 1)
    assert outside.read_bytes() == b"mine"
    assert not target.is_symlink()
    assert target.read_bytes() == picture(1)


def test_the_line_is_there_before_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = RawSet(tmp_path)
    seen: list[int] = []
    write = Path.write_bytes

    def look(path: Path, content: bytes) -> int:
        seen.append(len(lines_of(tmp_path)))
        if len(seen) == 2:
            raise KeyboardInterrupt  # as a kill between the two
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", look)
    keep(store, 1, picture(1))
    with pytest.raises(KeyboardInterrupt):
        keep(store, 2, picture(2))
    assert seen == [1, 2]
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    assert store.name_at("http://example.org/2.png") is None
    store.close()
    assert len(lines_of(tmp_path)) == 1


def test_a_torn_last_line_costs_that_picture_only(tmp_path: Path):
    fill(tmp_path, 3)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-40])
    store = RawSet(tmp_path)
    keep(store, 4, picture(4))
    store.close()
    lines = lines_of(tmp_path)
    assert len(lines) == len({line["sha256"] for line in lines}) == 4, "it was adopted"
    assert sum("url" in line for line in lines) == 3, "but where it came from is lost"

    store = RawSet(tmp_path)
    keep(store, 3, picture(3))
    store.close()
    assert sum("url" in line for line in lines_of(tmp_path)) == 4, "until it comes once more"


def test_half_a_line_does_not_swallow_the_next(tmp_path: Path):
    fill(tmp_path, 1)
    for name in ("manifest.jsonl", "refused.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"name": "pictu')
    store = RawSet(tmp_path)
    keep(store, 2, picture(2))
    store.refuse(candidate(3), Refusal(RefusalReason.NOT_FOUND))
    assert len(lines_of(tmp_path)) == 2, "each of them is whole, also before a close"
    assert len(lines_of(tmp_path, "refused.jsonl")) == 1
    store.close()


def test_a_line_without_its_picture_counts_as_nothing(tmp_path: Path):
    first, *_ = fill(tmp_path, 2)
    (tmp_path / first["name"]).unlink()
    store = RawSet(tmp_path)
    assert store.name_at(first["address"]) is None
    store.close()
    assert len(lines_of(tmp_path)) == 1


def test_a_picture_of_another_length_is_fetched_again(tmp_path: Path):
    (line,) = fill(tmp_path, 1)
    (tmp_path / line["name"]).write_bytes(b"half")
    store = RawSet(tmp_path)
    assert store.name_at(line["address"]) is None
    assert keep(store, 1, picture(1)) == (line["name"], True)
    store.close()
    assert (tmp_path / line["name"]).read_bytes() == picture(1)


def test_what_a_kill_may_leave_is_cleared_away(tmp_path: Path):
    (line,) = fill(tmp_path, 1)
    half = (tmp_path / line["name"]).with_name(".abc.png.partial-99")
    half.write_bytes(b"half")
    (tmp_path / "pictures" / "mine.png").write_bytes(b"a file of the person's own")
    RawSet(tmp_path).close()
    assert not half.exists()
    assert (tmp_path / "pictures" / "mine.png").exists()
    assert len(lines_of(tmp_path)) == 1


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "pictures/../../x.png", 7])
def test_names_in_a_manifest_do_not_lead_outside(tmp_path: Path, name: object):
    raw = tmp_path / "raw"
    raw.mkdir()
    (tmp_path / "outside.png").write_bytes(picture(1))
    evil = {"name": name, "sha256": "0" * 64, "bytes": len(picture(1)), "address": "http://e/"}
    (raw / "manifest.jsonl").write_text(json.dumps(evil) + "\n")
    store = RawSet(raw)
    assert store.name_at("http://e/") is None
    store.close()
    assert lines_of(raw) == []


def test_refusals_are_remembered_until_the_picture_comes(tmp_path: Path):
    store = RawSet(tmp_path)
    gone, slow = candidate(1), candidate(2)
    assert store.refuse(gone, Refusal(RefusalReason.NOT_FOUND, "status 404"))
    assert store.refuse(slow, Refusal(RefusalReason.TOO_SLOW))
    assert not store.refuse(slow, Refusal(RefusalReason.TOO_SLOW)), "no news"
    store.close()
    store = RawSet(tmp_path)
    assert store.is_refused(gone.address, for_good=True)
    assert store.is_refused(slow.address, for_good=False)
    assert not store.is_refused(slow.address, for_good=True)
    assert store.worth_trying_again() == 1
    keep(store, 2, picture(2))
    store.close()
    (line,) = lines_of(tmp_path, "refused.jsonl")
    assert (line["address"], line["reason"], line["again"]) == (gone.address, "not found", False)


def test_what_strangers_say_cannot_break_a_line(tmp_path: Path):
    said = "a\u2028b\x85c\nd\ud800"
    store = RawSet(tmp_path)
    origin = Origin(url="http://example.org/" + "u" * 900, title=said, author="x" * 900)
    strange = FoundPicture(name=said, origin=origin, key="key\u2028of\nmine")
    store.keep(strange, picture(1), examine(picture(1)))
    store.refuse(FoundPicture(name=said), Refusal(RefusalReason.BAD_ADDRESS, said))
    store.close()
    (line,) = lines_of(tmp_path)
    assert line["title"] == "a b c d?"
    assert line["url"] == origin.url, "addresses are kept whole"
    assert len(line["author"]) == 300
    (line,) = lines_of(tmp_path, "refused.jsonl")
    assert line["address"] == "a b c d?"


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CollectError, match="cannot write"):
        RawSet(tmp_path / "file" / "raw")


@pytest.mark.parametrize("name", ["manifest.jsonl", "refused.jsonl"])
def test_damaged_lines_cost_no_picture(tmp_path: Path, name: str):
    store = RawSet(tmp_path)
    keep(store, 1, picture(1))
    keep(store, 2, picture(1))
    store.refuse(candidate(7), Refusal(RefusalReason.NOT_FOUND, "status 404"))
    store.close()
    (line,) = lines_of(tmp_path, name)
    for what, changed in damaged(line):
        (tmp_path / name).write_bytes(as_bytes(changed) + b"\n")
        store = RawSet(tmp_path)
        assert len(store.origins) == 1, what
        assert keep(store, 9, picture(1))[1] is False, what
        store.refuse(candidate(7), Refusal(RefusalReason.FORBIDDEN))
        assert store.worth_trying_again() == 1, what
        store.close()
    (tmp_path / name).write_bytes(b"\n".join(RAW.values()))
    store = RawSet(tmp_path)
    assert len(store.origins) == 1
    store.close()
