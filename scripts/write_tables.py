"""Write the tables of the docs from recorded results and from the code; nobody types a result.

python scripts/write_tables.py
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapter_tables import adapter_tables
from graftgan.files import read_jsonl, write_text

ROOT = Path(__file__).parents[1]
KINDS = ("same", "near", "far")


def floors_table(lines: Sequence[Mapping[str, Any]], label: str) -> str:
    """Return one number of every set and size as a Markdown table: mean, lowest and highest."""
    rows = ["| set | pictures | same set | near set | far set |", "|---|---|---|---|---|"]
    found = {
        (line["set"], line["asked"], line["kind"]): line
        for line in lines
        if line["name"].startswith(f"{label}(")
    }
    written: set[tuple[str, int]] = set()
    for name, asked, _ in found:
        count = found[name, asked, "same"]["count"]  # half the set, where that is fewer than asked
        if (name, count) not in written:
            cells = [_cell(found[name, asked, kind], count) for kind in KINDS]
            rows.append(f"| {name} | {count:,} | {' | '.join(cells)} |")
            written.add((name, count))
    return "\n".join(rows)


def _cell(line: Mapping[str, Any], count: int) -> str:
    mean, low, high = (_number(line[key]) for key in ("mean", "low", "high"))
    fewer = "" if line["count"] == count else f" ({line['count']})"
    against = "" if line["kind"] == "same" else f"{line['against'].replace('_', ' ')}{fewer}: "
    return f"{against}{mean} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def tables() -> dict[Path, str]:
    """Return the text of every table by its file."""
    results = ROOT / "experiments" / "results"
    lines = read_jsonl(results / "real_floors.jsonl")
    parts = [
        f"**{label}**\n\n{floors_table(lines, label)}\n" for label in ("KID", "FD", "coverage")
    ]
    folder = ROOT / "docs" / "tables"
    return {
        folder / "real_floors.md": "\n".join(parts),
        folder / "adapters.md": adapter_tables(read_jsonl(results / "adapters.jsonl")),
    }


if __name__ == "__main__":
    for path, text in tables().items():
        write_text(path, text)
