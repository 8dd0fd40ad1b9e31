"""The page of a comparison, from a folder that may lack anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_run_folder import write_json, write_lines, write_run

from graftgan.core.errors import RunError
from graftgan.core.settings import to_plain
from graftgan.metrics.score import ScoreComparison
from graftgan.studies.comparison_page import comparison_rows, write_comparison_report
from graftgan.studies.comparison_results import Results, RunResult, read_results
from graftgan.studies.study_statistics import VariantStatistics
from plain_scores import score

HOSTILE = "<script>alert(1)</script>"
WORSE: dict[str, Any] = {"difference": ScoreComparison(2.5, 1.5, 3.5), "verdict": "worse"}


def over_seeds(variant: str, mean: float, **more: Any) -> VariantStatistics:
    return VariantStatistics(variant=variant, mean=mean, low=mean - 1, high=mean + 1, **more)


def results_of(*variants: str) -> Results:
    best, *others = variants
    at_end = (
        over_seeds(best, 10.0, verdict="best"),
        *(over_seeds(variant, 12.5, **WORSE) for variant in others),
    )
    runs = [
        RunResult(
            folder=f"{variant}-{seed}",
            variant=variant,
            seed=seed,
            settings={"plan": variant, "seed": seed},
            state="finished",
            iteration=900,
            trainable=10,
            parameters=40,
            adapter_bytes=2_500_000,
            seconds=60.0,
        )
        for seed in (0, 1)
        for variant in variants
    ]
    return Results(
        settings_sha256="",
        score="KID(tiny)",
        better="lower",
        iterations=900,
        seeds=(0, 1),
        variants={variant: {"plan": variant} for variant in variants},
        shared={"pictures": "/data/cats.zip", "training.iterations": 900},
        runs=tuple(runs),
        at_end=at_end,
        at_best=at_end[:1],
        says=(f"{best} has the best score.",),
        notes=(f"beware of {HOSTILE}",),
        command="graftgan compare cats.zip",
    )


def scored(results: Results) -> Results:
    """Return them with scores of the first run."""
    first, *others = results.runs
    first = replace(first, end=score(10.0), best=score(9.0, 0.5), best_iteration=300)
    return replace(results, runs=(first, *others))


def write_comparison(folder: Path, results: Results) -> Path:
    for run in results.runs:
        path = write_run(folder / "runs" / run.folder)
        lines = [
            {"iteration": i, "name": "KID(tiny)", "value": i + 100 * run.seed, "decides": True}
            for i in (0, 300, 900)
        ]
        write_lines(path / "metrics.jsonl", lines)
    write_json(folder / "comparison.json", to_plain(results))
    return folder


def test_the_page_shows_pictures_curves_table_and_sentences(tmp_path: Path):
    folder = write_comparison(tmp_path / "which", results_of("combined", "freeze"))
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
    folder = write_comparison(tmp_path, results_of(*(f"v{i}" for i in range(10))))
    page = write_comparison_report(folder)
    assert 10 * 3 <= page.read_text(encoding="utf-8").count("<img") <= 96
    assert page.stat().st_size < 4_000_000


def test_results_come_back_as_they_were_written(tmp_path: Path):
    results = scored(results_of("combined", "freeze"))
    write_json(tmp_path / "comparison.json", to_plain(results))
    assert read_results(tmp_path) == results


def test_runs_that_have_not_begun_leave_gaps(tmp_path: Path):
    results = results_of("combined", "freeze")
    write_comparison(tmp_path, replace(results, runs=results.runs[:1]))
    first, second, *others = results.runs
    failed = replace(second, state="failed", message="no memory", seconds=0.0)
    write_json(
        tmp_path / "comparison.json", to_plain(replace(results, runs=(first, failed, *others)))
    )
    page = write_comparison_report(tmp_path).read_text(encoding="utf-8")
    assert page.count("<img") == 12
    assert "failed: no memory" in page
    assert "3 of 4 runs finished" in page


def test_the_scores_of_a_run_stand_in_its_row(tmp_path: Path):
    folder = write_comparison(tmp_path, scored(results_of("combined")))
    page = write_comparison_report(folder).read_text(encoding="utf-8")
    for words in ("10 [9.9, 10.1]", "9 [8.5, 9.5]"):
        assert words in page, words


def test_the_rows_of_the_table():
    headings, (best, other) = comparison_rows(results_of("combined", "freeze"))
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
    results = results_of("combined", "freeze")
    apart = {**WORSE, "difference": ScoreComparison(1.0, 0.5, 1.5)}
    source = over_seeds("source, untouched", 11.0, is_source=True, seeds=(0, 1), **apart)
    best, other = results.at_end
    results = replace(results, at_end=(best, source, other))
    _, rows = comparison_rows(results)
    assert [row[0] for row in rows] == ["combined", "source, untouched", "freeze"]
    assert rows[1][1:4] == ["2", "11 [10, 12]", "+1, worse"]
    assert rows[1][6:] == ["–", "–", "0", "–"]
    folder = write_comparison(tmp_path / "which", results)
    page = write_comparison_report(folder).read_text(encoding="utf-8")
    assert "2 variants" in page
    assert page.count("source, untouched") == 1


def test_a_comparison_that_has_not_begun_still_has_a_page(tmp_path: Path):
    write_json(tmp_path / "comparison.json", {"settings_sha256": "0"})
    assert "0 variants" in write_comparison_report(tmp_path).read_text(encoding="utf-8")


def test_no_comparison_is_said_so(tmp_path: Path):
    for text in (None, "[]", "{"):
        if text is not None:
            (tmp_path / "comparison.json").write_text(text)
        with pytest.raises(RunError, match="holds no comparison that can be read"):
            write_comparison_report(tmp_path)
