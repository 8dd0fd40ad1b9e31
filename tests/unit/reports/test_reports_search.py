"""The page of a search, from a folder that may lack anything, and its drawings."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fake_run_folder import write_json, write_lines, write_run

from graftgan.core.errors import RunError
from graftgan.core.settings import to_plain
from graftgan.reports.drawing import LineStyle, bundle_svg, heatmap_svg, scatter_svg
from graftgan.studies.search_page import trial_rows, write_search_report
from graftgan.studies.search_result import Cell, Confirmed, SearchResult, read_search_result
from graftgan.studies.study_statistics import VariantStatistics
from graftgan.studies.trials import Trial
from plain_scores import score

HOSTILE = "<script>alert(1)</script>"
SVG = "{http://www.w3.org/2000/svg}"
UNTOUCHED = VariantStatistics(
    variant="source, untouched", is_source=True, mean=8.0, verdict="worse"
)


def trial(number: int, cost: float | None, **more: Any) -> Trial:
    return Trial(
        number=number,
        overrides={"plan": "D(1,0,1) G(0,1,1)", "transfer.modulation_rate": 3.0},
        why="sampled",
        state="finished" if cost is not None else "pruned",
        message="" if cost is not None else "fell behind",
        plan="D(1,0,1) G(0,1,1)",
        cost=cost,
        iteration=900,
        images=57_600,
        wall=90.0,
        trainable=10 + number,
        parameters=40,
        **more,
    )


SCORED = trial(0, -9.0, end=score(9.0), best=score(9.5), curve=((0, 1.0), (900, 9.0)))


def result_of(*trials: Trial) -> SearchResult:
    cells = (
        Cell(freeze=0, tune=1, modulate=1, count=2, best=-9.0, mean=-8.0),
        Cell(freeze=1, tune=1, modulate=0, count=1, best=-4.0, mean=-4.0),
    )
    again = VariantStatistics(variant="0", mean=7.5, low=7.0, high=8.0, seeds=(1, 2))
    return SearchResult(
        settings_sha256="",
        strategy="optuna",
        judge="end",
        score="precision",
        better="higher",
        layers={"discriminator": ("layer1", "layer2"), "generator": ("layer1", "layer2")},
        trials=trials,
        surface={"generator": cells},
        early={"generator": cells[:1]},
        early_iteration=300,
        front=(1, 0),
        ranking=(0, 1),
        importances={"generator.layer1": 0.75, "discriminator.layer2": 0.25},
        confirmed=(Confirmed(trial=0, statistics=replace(again, verdict="best")),),
        winner=0,
        shared={"pictures": "/data/cats.zip"},
        says=("trial 0 has the best score.",),
        notes=(f"beware of {HOSTILE}",),
        complete=True,
        command="graftgan search cats.zip",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    result = result_of(
        trial(0, -9.0), trial(1, -7.0), trial(2, None), trial(3, -8, stage="confirm")
    )
    for entry in result.trials:
        path = write_run(tmp_path / "runs" / entry.name)
        lines = [
            {"iteration": i, "name": "precision", "value": i / 100, "decides": True}
            for i in (0, 300, 900)
        ]
        write_lines(path / "metrics.jsonl", lines)
    write_json(tmp_path / "search.json", to_plain(result))
    return tmp_path


def test_a_result_comes_back_as_it_was_written(tmp_path: Path):
    result = replace(result_of(SCORED, trial(1, -7.0), trial(2, None)), source=UNTOUCHED)
    write_json(tmp_path / "search.json", to_plain(result))
    assert read_search_result(tmp_path) == result


def test_the_page_shows_trials_surface_front_and_curves(folder: Path):
    page = write_search_report(folder).read_text(encoding="utf-8")
    assert page.count("<img") == 1
    assert page.count('class="curves"') == 5
    assert "The surface at iteration 300" in page
    for words in ("3 of 3 ended", "trial 0 has the best score.", "pruned: fell behind",
                  "modulation_rate 3.0", "10 (25.0 %)", "7.5 [7, 8]", "75 %", "Generator: best",
                  "winner.toml", "graftgan search --resume", "cats"):  # fmt: skip
        assert words in page, words
    assert HOSTILE not in page
    assert "https://" not in page
    assert write_search_report(folder).read_text(encoding="utf-8") == page


def test_the_best_trial_comes_first_and_its_score_has_its_sign_back():
    rows = trial_rows(result_of(trial(0, -9.0), trial(1, -7.0), trial(2, None)))
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert [row[5] for row in rows] == ["9", "7", "–"]


def test_the_best_score_of_a_trial_is_that_of_its_best_checkpoint():
    (row,) = trial_rows(result_of(SCORED))
    assert row[5:7] == ["9", "9.5"]


def test_the_source_stands_in_its_place_and_is_no_trial(folder: Path):
    result = result_of(trial(0, -9.0), trial(1, -7.0), trial(2, None))
    rows = trial_rows(replace(result, source=UNTOUCHED))
    assert [(line[0], line[2], line[5]) for line in rows if line[0] != "2"] == [
        ("0", "D(1,0,1) G(0,1,1)", "9"),
        ("–", "source, untouched", "8"),
        ("1", "D(1,0,1) G(0,1,1)", "7"),
    ]
    known = read_search_result(folder)
    again = Confirmed(statistics=replace(UNTOUCHED, low=7.9, high=8.1, seeds=(1,)))
    without = replace(known, source=UNTOUCHED, confirmed=(again, *known.confirmed), winner=None)
    write_json(folder / "search.json", to_plain(without))
    page = write_search_report(folder).read_text(encoding="utf-8")
    assert page.count("source, untouched") == 2
    assert "8 [7.9, 8.1]" in page
    assert "3 of 3 ended" in page
    for words in ("winner.toml", "Thick: the winner", "Pictures of the winner"):
        assert words not in page, words


def test_a_search_that_has_not_begun_still_has_a_page(tmp_path: Path):
    write_json(tmp_path / "search.json", {"settings_sha256": "0"})
    assert "0 of 0 ended" in write_search_report(tmp_path).read_text(encoding="utf-8")
    with pytest.raises(RunError, match="holds no search that can be read"):
        write_search_report(tmp_path / "nowhere")


def test_a_heat_map_has_a_field_for_every_split_and_a_dark_one_for_the_best():
    values = {(0, 2): (1.0, 3), (1, 1): (5.0, 1)}
    words = {"title": HOSTILE, "x_label": "k", "y_label": "i"}
    svg = heatmap_svg(values, size=2, lower_is_better=True, **words)
    fields = ElementTree.fromstring(svg).findall(f"{SVG}rect")
    assert len(fields) == 6  # (i,k) with i + k up to 2
    drawn = {
        field.findtext(f"{SVG}title"): field.get("fill")
        for field in fields
        if field.get("fill") != "none"
    }
    assert drawn == {"1 (3 trials)": "#0c5c48", "5 (1 trial)": "#ecf0e8"}
    turned = heatmap_svg(values, size=2, lower_is_better=False, **words)
    assert turned.index("#ecf0e8") < turned.index("1 (3 trials)")


def test_scatter_and_bundle_are_whole_drawings():
    points = {"0": (10.0, 1.0), "1": (20.0, 0.5), "2": (15.0, float("nan"))}
    svg = scatter_svg(points, front=["0", "1", "2"], title=HOSTILE, x_label="x", y_label="y")
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    assert sum("dots" in path.get("class", "") for path in paths) == 2  # no number, no point
    lines = [("one", LineStyle(line=0), [(0.0, 1.0), (9.0, 2.0)]), ("none", LineStyle(line=1), [])]
    drawn = ElementTree.fromstring(bundle_svg(lines, title="t", x_label="x", y_label="y"))
    assert [p.findtext(f"{SVG}title") for p in drawn.iter(f"{SVG}path") if p.get("aria-label")] == [
        "one",
        "none",
    ]
