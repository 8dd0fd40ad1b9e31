"""The tables of the docs are those of the recorded results."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_tables.py"


def test_every_table_is_what_its_results_give(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as `python scripts/write_tables.py` does
    tables = runpy.run_path(str(SCRIPT))["tables"]()
    assert tables
    for path, text in tables.items():
        assert text.count("\n| ") > 10
        assert path.read_text(encoding="utf-8") == text, f"run {SCRIPT.name} and commit {path.name}"
