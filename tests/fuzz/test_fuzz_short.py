"""A few cases of every kind; ``make fuzz`` has thousands."""

import json
import os
import subprocess
import sys
from pathlib import Path

CASES = 12
TESTS = Path(__file__).parents[1]


def test_no_reader_fails_on_a_few_damaged_files_of_every_kind(tmp_path: Path):
    table = tmp_path / "table.json"
    words = ["-m", "fuzz", "--cases", CASES, "--jobs", 2, "--shrink", 0, "--json", table,
             "--keep", tmp_path / "findings"]  # fmt: skip
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    rows = json.loads(table.read_text())["kinds"]
    assert len(rows) == 21
    assert all(row["refused"] + row["accepted"] == row["cases"] == CASES for row in rows)
    assert sum(row["refused"] for row in rows) > sum(row["accepted"] for row in rows) / 2 > 0
