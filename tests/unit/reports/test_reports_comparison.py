"""The page of a comparison, from a folder that may lack anything."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_run_folder import write_lines, write_run

from graftgan.core.errors import RunError
from graftgan.studies.comparison_page import comparison_rows, write_comparison_report

HOSTILE = "<script>alert(1)</script>"


def standing(variant: str, mean: float, **more: Any) -> dict[str, Any]:
    return {"variant": variant, "mean": mean, "low": mean - 1, "high": mean + 1, **more}


def data_of(*variants: str) -> dict[str, Any]:
    best, *others = variants
    worse = {"difference": {"difference": 2.5, "low": 1.5, "high": 3.5}, "verdict": "worse"}
    at_end = [standing(best, 10.0, verdict="best"), *(standing(v, 12.5, **worse) for v in others)]
    runs = [
        {
            "folder": f"{variant}-{seed}",
            "variant": variant,
            "seed": seed,
            "settings": {"plan": variant, "seed": seed},
            "state": "finished",
            "iteration": 900,
            "trainable": 10,
            "parameters": 40,
            "adapter_bytes": 2_500_000,
            "seconds": 60.0,
        }
        for seed in (0, 1)
        for variant in variants
    ]
    return {
        "score": "KID(tiny)",
        "better": "lower",
        "iterations": 900,
        "seeds": [0, 1],
        "variants": {variant: {"plan": variant} for variant in variants},
        "shared": {"pictures": "/data/cats.zip", "training.iterations": 900},
        "runs": runs,
        "at_end": at_end,
        "at_best": at_end[:1],
        "says": [f"{best} has the best score."],
        "notes": [f"beware of {HOSTILE}"],
        "command": "graftgan compare cats.zip",
    }


def write_comparison(folder: Path, data: dict[str, Any]) -> Path:
    for run in data["runs"]:
        path = write_run(folder / "runs" / run["folder"])
        lines = [
            {"iteration": i, "name": "KID(tiny)", "value": i + 100 * run["seed"], "decides": True}
            for i in (0, 300, 900)
        ]
        write_lines(path / "metrics.jsonl", lines)
    (folder / "comparison.json").write_text(json.dumps(data))
    return folder


def test_the_page_shows_pictures_curves_table_and_sentences(tmp_path: Path):
    folder = write_comparison(tmp_path / "which", data_of("combined", "freeze"))
    page = write_comparison_report(folder).read_text(encoding="utf-8")
    assert page.count("<img") == 2 * 12  # of 19 snapshots twelve, for each variant
    assert "combined goes from 50 to 950" in page  # the mean of the two seeds
    for words in ("combined has the best score.", "+2.5, worse", "10 of 40 (25.0 %)", "2.5 MB",
                  "graftgan compare --resume", "4 of 4 runs finished", "cats"):  # fmt: skip
        assert words in page, words
    assert HOSTILE not in page
    assert "https://" not in page
    assert write_comparison_report(folder).read_text(encoding="utf-8") == page


def test_many_variants_keep_the_page_small(tmp_path: Path):
    folder = write_comparison(tmp_path, data_of(*(f"v{i}" for i in range(10))))
    page = write_comparison_report(folder)
    assert 10 * 3 <= page.read_text(encoding="utf-8").count("<img") <= 96
    assert page.stat().st_size < 4_000_000


def test_runs_that_have_not_begun_leave_gaps(tmp_path: Path):
    data = data_of("combined", "freeze")
    write_comparison(tmp_path, {**data, "runs": data["runs"][:1]})
    data["runs"][1] |= {"state": "failed", "message": "no memory", "seconds": 0.0}
    (tmp_path / "comparison.json").write_text(json.dumps(data))
    page = write_comparison_report(tmp_path).read_text(encoding="utf-8")
    assert page.count("<img") == 12
    assert "failed: no memory" in page
    assert "3 of 4 runs finished" in page


def test_the_rows_of_the_table():
    headings, (best, other) = comparison_rows(data_of("combined", "freeze"))
    assert dict(zip(headings[:4], best[:4], strict=True)) == {
        "variant": "combined",
        "runs": "2",
        "at the end": "10 [9, 11]",
        "to the best": "the best",
    }
    assert other[3] == "+2.5, worse"
    assert other[4] == "–"  # nothing at its best checkpoint
    assert other[-1] == "1 min 0 s"


def test_the_source_stands_in_its_place_and_is_no_variant(tmp_path: Path):
    data = data_of("combined", "freeze")
    worse = {"difference": {"difference": 1.0, "low": 0.5, "high": 1.5}, "verdict": "worse"}
    source = standing("source, untouched", 11.0, is_source=True, seeds=[0, 1], **worse)
    data["at_end"].insert(1, source)
    _, rows = comparison_rows(data)
    assert [row[0] for row in rows] == ["combined", "source, untouched", "freeze"]
    assert rows[1][1:4] == ["2", "11 [10, 12]", "+1, worse"]
    assert rows[1][6:] == ["–", "–", "0", "–"]
    folder = write_comparison(tmp_path / "which", data)
    page = write_comparison_report(folder).read_text(encoding="utf-8")
    assert "2 variants" in page
    assert page.count("source, untouched") == 1


def test_a_comparison_that_has_not_begun_still_has_a_page(tmp_path: Path):
    (tmp_path / "comparison.json").write_text("{}")
    assert "0 variants" in write_comparison_report(tmp_path).read_text(encoding="utf-8")


def test_no_comparison_is_said_so(tmp_path: Path):
    for text in (None, "[]", "{"):
        if text is not None:
            (tmp_path / "comparison.json").write_text(text)
        with pytest.raises(RunError, match="holds no comparison that can be read"):
            write_comparison_report(tmp_path)
