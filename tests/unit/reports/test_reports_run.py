import base64
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from fake_run_folder import CARD, CELL, SETTINGS, log_entry, write_json, write_lines
from PIL import Image

from graftgan.core.errors import RunError
from graftgan.core.files import read_jsonl
from graftgan.experiments.records import RunState, write_run_card
from graftgan.experiments.run_page import write_run_report
from graftgan.reports.page import duration, share

VOID = {"meta", "img", "link", "br", "hr", "col", "input", "wbr"}
HOSTILE = "<script>alert('\"&')</script>"


class Page(HTMLParser):
    """Reads a page and fails on an end that closes nothing, or the wrong thing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.opened: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(self.html)
        self.close()
        assert self.opened == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.opened and self.opened[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def iterations(self) -> list[int]:
        alts = [str(image["alt"]) for image in self.named("img")]
        strips = [re.fullmatch(r"8 generated pictures at iteration ([\d,]+)", a) for a in alts]
        return [int(match[1].replace(",", "")) for match in strips if match]


def test_a_page_is_one_whole_file_that_needs_nothing_outside(run: Path) -> None:
    page = Page(write_run_report(run))
    addresses = [
        str(value)
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "data", "xlink:href", "action", "poster"}
    ]
    assert len(addresses) >= 13
    assert all(address.startswith("data:image/webp;base64,") for address in addresses)
    assert not re.search(r"url\(|@import", page.html)
    assert "link" not in {tag for tag, _ in page.tags}


def test_the_one_script_is_the_one_the_page_allows(run: Path) -> None:
    page = Page(write_run_report(run))
    scripts = re.findall(r"<script>(.*?)</script>", page.html, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(m["content"] for m in page.named("meta") if "http-equiv" in m)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_a_page_of_a_512_px_sheet_stays_below_2_mb_and_says_what_it_compressed(run: Path) -> None:
    rng = np.random.default_rng(0)
    for path in (run / "samples").iterdir():  # noise: nothing is harder to compress
        Image.fromarray(rng.integers(0, 256, (512, 512, 3), dtype=np.uint8)).save(path)
    page = write_run_report(run)
    assert page.stat().st_size < 2_000_000
    assert "WebP, quality 90" in Page(page).text


def test_rows_are_evenly_chosen_with_the_first_and_the_last(run: Path) -> None:
    page = Page(write_run_report(run))
    chosen = page.iterations
    assert len(chosen) == 12
    assert (chosen[0], chosen[-1]) == (0, 900)
    assert {b - a for a, b in pairwise(chosen)} == {50, 100}
    assert "12 of 19 snapshots" in page.text


def test_few_snapshots_are_all_shown(run: Path) -> None:
    for path in sorted((run / "samples").iterdir())[3:]:
        path.unlink()
    page = Page(write_run_report(run))
    assert page.iterations == [0, 50, 100]
    assert "snapshots, evenly chosen" not in page.text


def test_each_row_shows_the_first_row_of_its_sheet_exactly(run: Path) -> None:
    page = Page(write_run_report(run))
    hero, *strips = [str(image["src"]) for image in page.named("img")]
    for iteration, uri in zip(page.iterations, strips, strict=True):
        sheet = np.asarray(Image.open(run / "samples" / f"{iteration:06d}.png"))
        assert np.array_equal(pixels(uri), sheet[:CELL])
    assert np.array_equal(pixels(hero), np.asarray(Image.open(run / "samples" / "000900.png")))


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_images_seen_and_scores_stand_beside_their_rows(run: Path) -> None:
    text = Page(write_run_report(run)).text
    assert "900 57,600 images SWD(32px) 0.125" in text
    assert "0 0 images SWD(32px) 0.125" in text
    assert "450 28,800 images" in text or "500 32,000 images" in text


def test_every_setting_is_shown(run: Path) -> None:
    text = Page(write_run_report(run)).text
    settings = dict(flat(SETTINGS))
    assert len(settings) == 15
    for name, value in settings.items():
        said = "yes" if value is True else value if isinstance(value, str) else json.dumps(value)
        assert name + said in text


def flat(table: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in table.items():
        nested = isinstance(value, dict)
        inner = "" if not prefix and nested else f"{prefix}{key}."
        found += flat(value, inner) if nested else [(prefix + key, value)]
    return found


def test_the_plan_names_each_layer_with_its_action_and_share(run: Path) -> None:
    page = Page(write_run_report(run))
    assert "D(1,0,1) G(0,2,0)" in page.text
    classes = [str(row.get("class")) for row in page.named("tr") if row.get("class")]
    assert classes == ["freeze", "fine_tune", "adafm", "filter_scale_shift"]
    assert "3,072 of 6,144 parameters train (50.0 %)" in page.text
    assert "< 0.1 %" in page.text


def test_an_action_of_another_package_is_shown_in_a_neutral_tone(run: Path) -> None:
    plan = json.loads((run / "plan.json").read_text())
    plan["networks"]["generator"][0]["action"] = 'low_rank" onclick="x'
    write_json(run / "plan.json", plan)
    page = Page(write_run_report(run))
    assert 'low_rank" onclick="x' in page.text
    assert not any("onclick" in attributes for _, attributes in page.tags)


def test_data_commands_and_machine_are_told(run: Path) -> None:
    text = Page(write_run_report(run)).text
    assert "30 pictures trained on, 7 held out, 1 skipped" in text
    assert "broken.heic" in text
    quoted = f"'{run}'"  # the folder's name holds a space
    for line in (
        f"graftgan transfer --resume {quoted}",
        f"graftgan sample {quoted} --count 64",
        f"graftgan interpolate {quoted}",
        f"graftgan adapter fold {quoted} 'my run-folded'",
    ):
        assert line in text
    for word in ("a small laptop", "2.13.0", "graftgan transfer --seed 7"):
        assert word in text


def test_a_run_from_fresh_weights_goes_on_as_one_and_has_no_adapter(run: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "source"}
    (run / "experiment.toml").write_text(tomli_w.dumps(settings))
    text = Page(write_run_report(run)).text
    assert "fresh weights → cats_100" in text
    assert f"graftgan pretrain --resume '{run}'" in text
    assert "adapter fold" not in text


def test_curves_come_in_panels_that_share_a_scale(run: Path) -> None:
    page = Page(write_run_report(run))
    labels = [str(svg.get("aria-label")) for svg in page.named("svg") if svg.get("role")]
    starts = ["Losses.", "Logits of real and fake.", "SWD(32px).", "Speed.", "augmentation."]
    assert [any(label.startswith(start) for label in labels) for start in starts] == [True] * 5
    assert len(labels) == 5
    assert "generator.loss goes from 2 to 2" in labels[0]
    assert "note" not in " ".join(labels)


def test_scores_of_two_protocols_never_share_a_curve(run: Path) -> None:
    other = {"iteration": 900, "name": "SWD(32px)", "value": 9.0, "protocol": {"fake": 50}}
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(other) + "\n")
    page = Page(write_run_report(run))
    labels = [str(svg.get("aria-label")) for svg in page.named("svg")]
    assert "SWD(32px), protocol 1. SWD(32px), protocol 1 goes from 0.125 to 0.125." in labels
    assert "SWD(32px), protocol 2. SWD(32px), protocol 2 goes from 9 to 9." in labels
    assert "fake: 50" in page.text


def test_a_score_shows_its_interval_and_its_floor(run: Path) -> None:
    score = {"name": "KID", "protocol": {"extractor": "net"}, "decides": True}
    floor = {"mean": 0.011, "low": 0.0, "high": 0.02}
    during = [
        {**score, "iteration": 300, "value": 0.5, "low": 0.4, "high": 0.62, "floor": floor},
        {**score, "iteration": 900, "value": 0.25, "low": 0.21, "high": 0.31, "floor": floor},
    ]
    after = {"iteration": 900, "name": "FD(net)", "value": 77.0, "model": "run", "protocol": {}}
    write_lines(run / "metrics.jsonl", [*during, after])
    page = Page(write_run_report(run))
    labels = [str(svg.get("aria-label")) for svg in page.named("svg") if svg.get("role")]
    curves = next(label for label in labels if label.startswith("KID."))
    assert "KID goes from 0.5 to 0.25" in curves
    assert "interval, low goes from 0.4 to 0.21" in curves
    assert "interval, high goes from 0.62 to 0.31" in curves
    assert "real against real goes from 0.011 to 0.011" in curves
    assert not any(label.startswith("FD(net)") for label in labels)  # one point is no curve
    for words in ("0.21 to 0.31", "77"):
        assert words in page.text


def test_hostile_text_stays_text_everywhere(run: Path) -> None:
    card = replace(CARD, state=RunState.INTERRUPTED, message=f"m {HOSTILE}")
    write_run_card(run / "card.json", card)
    skipped = [{"name": f"n {HOSTILE}", "reason": f"r {HOSTILE}"}]
    write_json(run / "manifest.json", {"pictures": [], "skipped": skipped})
    write_lines(run / "log.jsonl", [{"iteration": i, f"c {HOSTILE}": 1.0} for i in range(60)])
    score = {"iteration": 900, "name": f"s {HOSTILE}", "value": 1, "protocol": {HOSTILE: HOSTILE}}
    write_lines(run / "metrics.jsonl", [score])
    (run / "experiment.toml").write_text(
        f"source = '''x{HOSTILE}'''\n[data]\na = '''{HOSTILE}'''\n"
    )
    page = Page(write_run_report(run))
    assert page.html.count("<script") == 1
    for letter in "mnrcs":
        assert f"{letter} {HOSTILE}" in page.text


@pytest.mark.parametrize(
    "name",
    ["experiment.toml", "plan.json", "log.jsonl", "metrics.jsonl", "manifest.json", "card.json"],
)
@pytest.mark.parametrize("content", [None, b"", b'{"networks": ', b"[1, 2]", b"\xff\xfe\x00"])
def test_each_file_may_be_missing_or_damaged(run: Path, name: str, content: bytes | None) -> None:
    for path in sorted((run / "samples").iterdir())[1:]:
        path.unlink()
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)
    text = Page(write_run_report(run)).text
    optional = name in {"metrics.jsonl", "manifest.json"} and content is None
    is_empty = name in {"experiment.toml", "metrics.jsonl"} and content == b""
    said = "Missing from this page" in text and name in text.split("iterations")[0]
    assert said != (optional or is_empty)


@pytest.mark.parametrize("value", ["words", 3, [1], {"a": 1}, None, [[1]], {"d": [{"x": None}]}])
def test_unexpected_shapes_inside_files_are_tolerated(run: Path, value: object) -> None:
    for name in ("plan.json", "manifest.json", "card.json"):
        known = json.loads((run / name).read_text())
        write_json(run / name, dict.fromkeys(known, value))
    write_lines(run / "log.jsonl", [{**log_entry(10), "images": value, "generator.loss": value}])
    assert Page(write_run_report(run)).iterations


def test_an_empty_folder_gets_a_page_that_says_so(tmp_path: Path) -> None:
    text = Page(write_run_report(tmp_path)).text
    for word in ("experiment.toml", "plan.json", "card.json", "log.jsonl", "samples/"):
        assert word in text.split("No sample picture")[0]
    assert "unknown source" in text


def test_a_missing_folder_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run folder"):
        write_run_report(tmp_path / "nowhere")


def test_a_damaged_sample_is_named_and_the_rest_shown(run: Path) -> None:
    last = run / "samples" / "000900.png"
    last.write_bytes(last.read_bytes()[:200])
    page = Page(write_run_report(run))
    assert "samples/000900.png cannot be read" in page.text
    assert page.iterations[-1] < 900


def test_the_last_sheet_of_reconstructions_is_shown(run: Path) -> None:
    assert "Reconstructions" not in Page(write_run_report(run)).text
    shutil.copytree(run / "samples", run / "reconstructions")
    page = Page(write_run_report(run))
    assert "each above its reconstructions, 8 in a row, at iteration 900" in page.html
    last = run / "reconstructions" / "000900.png"
    last.write_bytes(last.read_bytes()[:200])
    assert "reconstructions/000900.png cannot be read" in Page(write_run_report(run)).text


def test_a_last_log_line_cut_short_is_skipped(run: Path) -> None:
    log = run / "log.jsonl"
    whole = Page(write_run_report(run)).html
    assert len(read_jsonl(log)) == 90
    log.write_text(log.read_text() + '{"iteration": 910, "imag')
    assert len(read_jsonl(log)) == 90
    assert Page(write_run_report(run)).html == whole
    assert read_jsonl(run / "nowhere.jsonl") == []


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "null"])
def test_not_a_number_in_the_log_is_a_gap(run: Path, bad: str) -> None:
    lines = [json.dumps(log_entry(i)) for i in range(10, 901, 10)]
    lines[40] = lines[40].replace('"generator.loss": 2.0', f'"generator.loss": {bad}')
    assert bad in lines[40]
    (run / "log.jsonl").write_text("\n".join(lines))
    page = Page(write_run_report(run))
    drawn = {str(p["data-name"]): str(p["d"]) for p in page.named("path") if "data-name" in p}
    assert drawn["generator.loss"].count("M") == 2
    assert drawn["discriminator.loss"].count("M") == 1


def test_a_resumed_run_counts_each_iteration_once(run: Path) -> None:
    entries = [log_entry(i) for i in (10, 20, 30)]
    again = [{**log_entry(20), "generator.loss": 4.0}, {**log_entry(30), "generator.loss": 6.0}]
    write_lines(run / "log.jsonl", entries + again)
    page = Page(write_run_report(run))
    assert "generator.loss goes from 2 to 6" in str(page.named("svg")[0].get("aria-label"))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("interrupted", "The run stopped at iteration 420 of 900: the disk was full"),
        ("diverged", "The run diverged at iteration 420 of 900: the disk was full"),
        ("running", "the run was active or had been killed, at iteration 900 of 900: the"),
        ("failed", "The run failed at iteration 420 of 900: the disk was full"),
    ],
)
def test_a_run_that_did_not_finish_says_where_and_why(run: Path, state: str, words: str) -> None:
    card = replace(CARD, state=RunState(state), iteration=420, message="the disk was full")
    write_run_card(run / "card.json", card)
    assert words in Page(write_run_report(run)).text


def test_an_edited_card_is_not_believed(run: Path) -> None:
    card = json.loads((run / "card.json").read_text())
    write_json(run / "card.json", {**card, "iteration": 90_000})
    text = Page(write_run_report(run)).text
    assert "How the run ended is not recorded; its files reach up to iteration 900" in text
    assert "does not match its sha256" in text


def test_a_page_can_be_written_before_the_card_is(run: Path) -> None:
    card = replace(CARD, state=RunState.STOPPED, message="it was good enough")
    text = Page(write_run_report(run, card=card)).text
    assert "was ended by its scores at iteration 900 of 900: it was good enough" in text


def test_a_finished_run_has_no_warning(run: Path) -> None:
    page = Page(write_run_report(run))
    assert not any("box" in str(attributes.get("class")) for attributes in page.named("div"))
    assert "faces_64 → cats_100" in page.text


def test_the_report_appears_whole_and_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name for path in run.iterdir()}
    page = write_run_report(run)
    assert {path.name for path in run.iterdir()} - before == {"report.html"}
    first = page.read_bytes()
    assert write_run_report(run).read_bytes() == first

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    (run / "card.json").unlink()
    with pytest.raises(RunError, match="disk full"):
        write_run_report(run)
    assert page.read_bytes() == first
    assert not list(run.glob("*.partial")) + list(run.glob(".*.partial"))


def test_the_page_goes_where_it_is_sent(run: Path, tmp_path: Path) -> None:
    destination = tmp_path / "pages" / "cats.html"
    assert write_run_report(run, destination) == destination
    assert destination.is_file()
    assert not (run / "report.html").exists()


def test_every_picture_and_table_says_what_it_is(run: Path) -> None:
    page = Page(write_run_report(run))
    assert all(image.get("alt") for image in page.named("img"))
    assert len(page.named("table")) >= 8
    scopes = [header.get("scope") for header in page.named("th")]
    assert set(scopes) == {"row", "col"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.4, "8 s"), (321, "5 min 21 s"), (7260, "2 h 1 min"), (180_000, "2 d 2 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("part", "words"),
    [(0, "0 %"), (1, "< 0.1 %"), (5000, "50.0 %"), (9999, "> 99.9 %"), (10_000, "100 %")],
)
def test_shares(part: int, words: str) -> None:
    assert share(part, 10_000) == words
