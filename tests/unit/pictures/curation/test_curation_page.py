"""The page of a curation, from verdicts by hand: what it says, shows, and leaves out."""

import html
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from curation_verdicts import Readings, only, picture_bytes, verdicts_on
from graftgan.pictures.curation.curation_page import MOST, quoted, write_curation_page
from graftgan.pictures.curation.decisions import FilterRules

HOSTILE = '<script>alert(1)</script> "x".jpg'
BACKSLASHED = "caf\\xe9\\udcff.jpg"
HASHES = {"one": "0" * 32, "two": "0" * 15 + "1" + "0" * 16, "three": "f" * 16 + "0" * 16}


class Files:
    """The bytes of any picture, and a list of what was read."""

    def __init__(self, *, gone: Sequence[str] = ()) -> None:
        self.asked: list[str] = []
        self.gone = gone
        self._content = picture_bytes(1)

    def __call__(self, name: str) -> bytes | None:
        self.asked.append(name)
        if name in self.gone:
            raise OSError("no such file")
        return self._content


def page_of(
    folder: Path,
    readings: Readings,
    rules: FilterRules,
    *,
    read: Files | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    command: str = "graftgan curate raw clean",
) -> str:
    path = write_curation_page(
        verdicts_on(readings, rules, keep=keep, drop=drop),
        rules,
        read=read or Files(),
        name="holiday & photos",
        command=command,
        destination=folder / "curation.html",
    )
    return path.read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """Return the words that a reader sees."""
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def wall(page: str, heading: str) -> list[str]:
    """Return the names on a wall, as they are to be copied."""
    start = page.index(f"<h4>{heading}")
    ends = [page.find(mark, start + 4) for mark in ("<h4>", "</section>")]
    part = page[start : min(end for end in ends if end > 0)]
    found = [html.unescape(name) for name in re.findall(r"<figcaption>.*?<code>(.*?)</code>", part)]
    return [tomllib.loads(f"name = {name}")["name"] for name in found]


def mixed() -> Readings:
    found: dict[str, dict[str, float | str] | str] = {
        f"{i:02d}.jpg": {"small": 200.0 + 10 * i, "overlay": 0.1 * (i % 10)} for i in range(20)
    }
    return found | {"broken.jpg": "damaged or truncated"}


def test_it_says_what_was_kept_and_what_each_filter_did(tmp_path: Path):
    page = page_of(tmp_path, mixed(), only(small=255, overlay=0.75), keep=["00.jpg"])
    said = text_of(page)
    # Small: 00 to 05, of which 00 is kept by hand. Overlay: 08, 09, 18, 19.
    assert "11 of 21 pictures kept" in said
    assert "raw 21 kept 11 rejected 9 unusable 1 overruled 1 kept, 0 dropped" in said
    assert "small rejects ≤ 255 20 6 5" in said
    assert "overlay rejects ≥ 0.75 20 4 4" in said
    assert "gray off" in said
    assert "Only 11 pictures are kept" in said
    assert "small alone rejects 5 pictures (25 % of all)." in said
    assert "graftgan curate raw clean" in said
    assert "broken.jpg damaged or truncated" in said
    assert page.count('class="curves"') == 2
    assert "255" in said
    assert "kept 11 rejected by it 5 rejected otherwise 4" in said


def test_walls_begin_with_what_is_nearest_to_the_threshold(tmp_path: Path):
    page = page_of(tmp_path, mixed(), only(small=255, overlay=0.75), keep=["00.jpg"])
    assert wall(page, "Rejected by small") == [f"0{i}.jpg" for i in (5, 4, 3, 2, 1, 0)]
    near = wall(page, "Kept, but the nearest to being rejected by small")
    assert near[:3] == ["06.jpg", "07.jpg", "10.jpg"]
    assert wall(page, "Overruled") == ["00.jpg"]
    assert len(wall(page, "Kept ")) == 11
    assert page.count("kept by you") == 3  # small's wall, the kept ones, the overruled ones
    assert "is small (250)" in page


def test_a_table_says_what_another_threshold_would_keep(tmp_path: Path):
    rules = only(small=255, overlay=0.75)
    page = page_of(tmp_path, mixed(), rules)
    rows = re.findall(
        r'<tr><th scope="row" class="n">(.*?)</th><td class="n">(.*?)</td><td class="n">(.*?)</td>'
        r"<td><code>--threshold small=(.*?)</code>",
        page,
    )
    assert len(rows) >= 4
    for threshold, kept, change, flag in rows:
        assert threshold == flag
        again = {**rules, "small": type(rules["small"])("reject", float(flag))}
        count = sum(verdict.kept for verdict in verdicts_on(mixed(), again))
        assert int(kept.replace(",", "")) == count
        assert int(change.replace("−", "-")) == count - 10


def test_it_loads_nothing_runs_nothing_and_is_the_same_twice(tmp_path: Path):
    readings = {
        HOSTILE: {"small": 300.0},
        BACKSLASHED: {"small": 100.0},
        "a`b` \n\t\u202e.jpg": {"small": 100.0},
        f"u{HOSTILE}": HOSTILE,
    }
    rules = only(small=255)
    page = page_of(tmp_path, readings, rules, command=f"graftgan curate {HOSTILE}")
    assert "<script>alert" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    names = wall(page, "Kept ") + wall(page, "Rejected by small")
    assert sorted(names) == sorted(list(readings)[:3])
    assert page_of(tmp_path, readings, rules, command=f"graftgan curate {HOSTILE}") == page


def test_the_example_of_overruling_is_a_file_that_can_be_read(tmp_path: Path):
    page = page_of(tmp_path, {HOSTILE: {"small": 100.0}, "b": {"small": 300.0}}, only(small=255))
    start = page.index("<p>overrides.toml</p><pre>") + len("<p>overrides.toml</p><pre>")
    snippet = html.unescape(page[start : page.index("</pre>", start)])
    assert tomllib.loads(snippet) == {"keep": [HOSTILE], "drop": ["b"]}


def test_what_is_nearly_the_same_is_shown_beside_the_better_picture(tmp_path: Path):
    readings = {name: {"duplicate": mark} for name, mark in HASHES.items()}
    files = Files()
    page = page_of(tmp_path, readings, only(duplicate=6), read=files)
    (name,) = wall(page, "Rejected by duplicate")
    assert name == "two"
    assert "is nearly the same as &#34;one&#34; (1)" in page
    assert page.count('alt="The one beside it"') == 1
    assert sorted(files.asked) == ["one", "three", "two"]  # once each


def test_only_so_many_pictures_are_shown_and_only_those_are_read(tmp_path: Path):
    readings = {f"{i:04d}": {"small": float(i), "overlay": i / 1000} for i in range(3000)}
    files = Files()
    progress: list[tuple[int, int]] = []
    rules = only(small=999, overlay=2.0)
    path = write_curation_page(
        verdicts_on(readings, rules),
        rules,
        read=files,
        name="many",
        command="graftgan curate",
        destination=tmp_path / "page.html",
        progress=lambda done, total: progress.append((done, total)),
    )
    page = path.read_text(encoding="utf-8")
    assert wall(page, "Rejected by small") == [f"{i:04d}" for i in range(999, 999 - MOST, -1)]
    assert wall(page, "Rejected by overlay")[0] == "2000"
    kept = wall(page, "Kept ")
    assert (len(kept), kept[0], kept[-1]) == (MOST, "1000", "1999")
    assert "1,000, 120 of them here" in page
    assert len(set(files.asked)) == len(files.asked) <= 3 * MOST + 48
    assert progress[-1] == (len(files.asked), len(files.asked))
    assert page.count("<img ") == 3 * MOST + 48


def test_a_picture_that_is_gone_leaves_a_gap_not_an_error(tmp_path: Path):
    readings = {"a": {"small": 300.0}, "b": {"small": 300.0}}
    page = page_of(tmp_path, readings, only(small=255), read=Files(gone=["b"]))
    assert page.count("cannot be read now") == 2  # on the wall of the kept, and as nearly rejected
    assert page.count("<img ") == 2


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        ({}, "0 of 0 pictures kept"),
        ({"a": {"small": 1.0}}, "0 of 1 pictures kept"),
        ({"a": {"small": 999.0}}, "1 of 1 pictures kept"),
        ({"a": "not a picture"}, "0 of 1 pictures kept"),
        ({"a": {}}, "1 of 1 pictures kept"),
        ({"a": {"small": math.inf}, "b": {"small": math.nan}, "c": {"small": -1e300}}, "2 of 3"),
    ],
)
def test_next_to_nothing_has_a_page(tmp_path: Path, readings: Readings, said: str):
    assert said in text_of(page_of(tmp_path, readings, only(small=255)))


def test_what_cheap_filters_reject_is_counted_as_not_looked_at(tmp_path: Path):
    readings = {"a": {"small": 100.0}, "b": {"small": 300.0, "face": 0.9}}
    said = text_of(page_of(tmp_path, readings, only(small=255, face=("keep_only", 0.5))))
    assert "Keeps only what has a face: confidence of the clearest face ≥ 0.5." in said
    assert "Not looked at: 1, which others had rejected before." in said
    assert "up to 2 +1" in said
    assert said.count("It alone rejects nothing, so a looser threshold brings nothing back.") == 1
    assert "Up to: other filters have not looked at 1 of what would come back." in said


@pytest.mark.parametrize("name", ["a.jpg", HOSTILE, BACKSLASHED, "\n\t\x7f'", "ü 猫"])
def test_names_can_be_copied_into_the_overrides(name: str):
    assert tomllib.loads(f"keep = [{quoted(name)}]") == {"keep": [name]}
    assert "\n" not in quoted(name)
