"""Pages from damaged and hostile files: a page that says so, or one clear error; never a crash."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fake_run_folder import CARD, PLAN, write_run
from test_reports_comparison import results_of, scored, write_comparison
from test_reports_search import SCORED, result_of, trial

from graftgan.core.errors import RunError
from graftgan.core.settings import to_plain
from graftgan.experiments.convergence import convergence_of
from graftgan.experiments.run_page import write_run_report
from graftgan.studies.comparison_page import write_comparison_report
from graftgan.studies.search_page import write_search_report
from hostile_json import RAW, as_bytes, damaged

MANIFEST = {"pictures": [{"name": "a.png"}], "skipped": [{"name": "b", "reason": "c"}]}
SCORE = {
    "iteration": 900,
    "name": "S",
    "value": 0.5,
    "low": 0.25,
    "high": 0.75,
    "floor": {"mean": 1},
}
LINE = {"iteration": 900, "images": 64, "seconds": 3.0, "generator.loss": 0.5}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plan.json", PLAN),
        ("card.json", {**asdict(CARD), "sha256": "0" * 64}),
        ("manifest.json", MANIFEST),
    ],
)
def test_the_page_of_a_run_says_what_cannot_be_read(run: Path, name: str, data: Any):
    for picture in list((run / "samples").iterdir())[1:]:
        picture.unlink()
    for what, content in RAW.items():
        (run / name).write_bytes(content)
        page = write_run_report(run).read_text(encoding="utf-8")
        assert name in page or what == "a key twice", what
    for what, changed in damaged(data):
        (run / name).write_bytes(as_bytes(changed))
        page = write_run_report(run).read_text(encoding="utf-8")
        assert page.count("</html>") == 1, what


@pytest.mark.parametrize(("name", "data"), [("log.jsonl", LINE), ("metrics.jsonl", SCORE)])
def test_damaged_lines_cost_no_page(run: Path, name: str, data: Any):
    for picture in list((run / "samples").iterdir())[1:]:
        picture.unlink()
    for what, changed in damaged(data):
        (run / name).write_bytes(as_bytes(data) + b"\n" + as_bytes(changed) + b"\n")
        assert "</html>" in write_run_report(run).read_text(encoding="utf-8"), what
        with suppress(RunError):  # a later line of an iteration replaces the one before
            convergence_of(run)


def test_a_damaged_line_of_scores_is_told_on_the_page(run: Path):
    (run / "metrics.jsonl").write_bytes(as_bytes({**SCORE, "value": "good"}))
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "a line of metrics.jsonl (the scores) cannot be read" in page


@pytest.mark.parametrize(
    ("name", "summary", "write"),
    [
        ("comparison.json", scored(results_of("combined", "freeze")), write_comparison_report),
        ("search.json", result_of(SCORED, trial(1, -7.0)), write_search_report),
    ],
)
def test_a_damaged_summary_is_refused_with_file_and_field(
    tmp_path: Path, name: str, summary: object, write: Callable[[Path], Path]
):
    tmp_path.joinpath("runs").mkdir()
    refused: dict[str, str] = {}
    written = 0
    for what, changed in damaged(to_plain(summary)):
        (tmp_path / name).write_bytes(as_bytes(changed))
        try:
            write(tmp_path)
            written += 1
        except RunError as error:
            refused[what] = str(error)
    assert len(refused) >= 200
    assert written >= 50, "else nothing shows that what may be missing may be missing"
    for what, message in refused.items():
        assert name in message
        assert what.partition(":")[0].rpartition(".")[2] in message, what
        assert "--resume" in message
        assert message.isprintable()
        assert len(message) < 2000
    for content in RAW.values():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match=name):
            write(tmp_path)


@pytest.mark.parametrize("folder", ["../secret", "/etc", "..", ".", "", "a\\b"])
def test_a_comparison_names_no_folder_elsewhere(tmp_path: Path, folder: str):
    results = results_of("combined")
    write_comparison(tmp_path, results)
    shutil.copytree(tmp_path / "runs" / "combined-0", tmp_path / "secret")
    write_comparison_report(tmp_path)
    data = to_plain(results)
    data["runs"][0]["folder"] = folder
    (tmp_path / "comparison.json").write_text(json.dumps(data))
    with pytest.raises(RunError, match=r"runs\.0\.folder"):
        write_comparison_report(tmp_path)


def test_a_run_page_survives_a_sheet_of_an_endless_number(tmp_path: Path):
    run = write_run(tmp_path / "run")
    (run / "samples" / f"{'9' * 200}.png").write_bytes(b"")
    assert "</html>" in write_run_report(run).read_text(encoding="utf-8")
