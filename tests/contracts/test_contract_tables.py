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
        assert text.count("\n| ") >= 3
        assert path.read_text(encoding="utf-8") == text, f"run {SCRIPT.name} and commit {path.name}"


def test_a_comparison_is_a_table_of_means_and_of_differences_by_seed():
    def run(variant: str, seed: int, value: float) -> dict[str, object]:
        score = {"name": "KID(net)", "value": value}
        sizes = {"trainable": 25, "parameters": 100, "adapter_bytes": 2**20}
        scores = [{**score, "iteration": 0, "value": 0.9}, {**score, "iteration": 1000}]
        other = {"iteration": 0, "name": "FD(net)", "value": 100.0}
        written = {"end": score, "best": score, "scores": [*scores, other]}
        return {"variant": variant, "seed": seed, **written, **sizes}

    lines = [
        *(run("tuned", seed, value) for seed, value in enumerate((0.3, 0.5))),
        *(run("frozen", seed, value) for seed, value in enumerate((0.2, 0.3))),
        {**run("lost", 0, 0.0), "end": None, "best": None, "adapter_bytes": None, "scores": []},
    ]
    scripts = runpy.run_path(str(SCRIPT))
    table = scripts["comparison_table"](lines, "tuned").splitlines()
    assert table[0].startswith("| variant | KID(net) at the end | less `tuned`, by seed |")
    assert [row.split(" | ")[0] for row in table[2:]] == ["| `frozen`", "| `tuned`", "| `lost`"]
    # t of one degree of freedom is 12.706: half a width of 12.706 * 0.0707 / sqrt(2) = 0.635.
    assert table[2].split(" | ")[1:] == [
        "0.250 [-0.385, 0.885]",
        "-0.150 [-0.785, +0.485]",
        "0.250 [-0.385, 0.885]",
        "25.0%",
        "1.0 MiB |",
    ]
    assert table[3].split(" | ")[2] == ""

    curves = scripts["curves_table"](lines).splitlines()
    assert curves[0] == "| KID(net) after iterations | 0 | 1,000 |"
    assert curves[2:] == [
        "| `frozen` | 0.900 | 0.250 |",
        "| `tuned` | 0.900 | 0.400 |",
        "| `lost` |  |  |",
    ]

    differences = scripts["differences_table"](lines, "tuned").splitlines()
    assert differences[0] == "| less `tuned` after iterations | 0 | 1,000 |"
    assert differences[2:] == ["| `frozen` |  | -0.150 [-0.785, +0.485] |", "| `lost` |  |  |"]
