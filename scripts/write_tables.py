"""Write the tables and plots of the docs from recorded results and from the code.

Nobody types a result.

python scripts/write_tables.py
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from adapter_tables import adapter_tables
from diversity_tables import diversity_table
from eye_tables import agreement_table, sheet_table, unseen_table
from filter_tables import filter_tables
from graftgan.core.files import read_jsonl, write_text
from graftgan.studies.study_statistics import SOURCE, mean_interval
from intervals import mean_in_words
from ladder_tables import ladder_table, sets_table
from rank_tables import rank_table
from reliability_tables import reliability_tables
from start_tables import loss_svg, start_table

ROOT = Path(__file__).parents[1]
KINDS = ("same", "near", "far")
COMPARISONS = {
    "anime_methods": "combined",
    "anime_light": "combined",
    "avatars_methods": "combined",
    "anime_search": "fine_tune",
    "anime_batch": "fine_tune batch_size=64",
    "avatars_search": "fine_tune",
    "anime_sizes": "fine_tune",
    "anime_few": "fine_tune",
    "avatars_sg2": "combined",
}
"""The recorded comparisons, each with the variant that the others are held against.

Where settings vary beside the methods, a method's name holds for each of them.
"""


STARTS = ("mnist_start", "cifar_start", "rooms_start")
"""The recorded comparisons of fresh weights with the decoder of a VAE."""
DIVERSITY = ("diverse_dcgan", "diverse_wgan_gp", "diverse_began")
"""The recorded comparisons of sources that have seen one kind of picture or several."""
RANKS = ("rank_dcgan", "rank_wgan_gp", "rank_began")
"""The rankings of these sources."""


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


def by_setting(
    lines: Sequence[Mapping[str, Any]], against: str
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the lines apart by a varied setting, where ``against`` names a method alone.

    "combined limit=25" is then the variant "combined" of the setting "limit=25".
    """
    if any(line["variant"] == against for line in lines):
        return {"": list(lines)}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        method, _, setting = line["variant"].rpartition(" ")
        found.setdefault(setting, []).append({**line, "variant": method})
    return found


def comparison_table(lines: Sequence[Mapping[str, Any]], against: str) -> str:
    """Return a recorded comparison as a Markdown table, best first, each less ``against``.

    The untouched source stands in its place; where no variant is better beyond chance, a line says
    so.
    """
    ends = {
        variant: {line["seed"]: line["end"]["value"] for line in of if line["end"]}
        for variant, of in _by_variant(lines).items()
    }
    rows = [
        f"| variant | {lines[0]['end']['name']} at the end | less `{against}`, by seed | "
        "at its best | trains | adapter |",
        "|---|---|---|---|---|---|",
    ]
    for variant, of in _ranked(lines).items():
        less = _less(ends[variant], ends[against])
        best = [line["best"]["value"] for line in of if line["best"]]
        adapters = [line["adapter_bytes"] for line in of if line["adapter_bytes"]]
        cells = [
            f"`{variant}`",
            mean_in_words(list(ends[variant].values())),
            "" if variant == against else mean_in_words(less, sign="+"),
            mean_in_words(best),
            f"{of[0]['trainable'] / of[0]['parameters']:.1%}",
            f"{fmean(adapters) / 2**20:.1f} MiB" if adapters else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    source = _untouched(lines)
    if source:
        ahead = [of for of in ends.values() if of and fmean(of.values()) < fmean(source.values())]
        less = mean_in_words(_less(source, ends[against]), sign="+")
        cells = [SOURCE, mean_in_words(list(source.values())), less, "", "", ""]
        rows.insert(2 + len(ahead), f"| {' | '.join(cells)} |")
        if not any(_is_better(_less(of, source)) for of in ends.values()):
            name = lines[0]["end"]["name"]
            rows += ["", f"No method beats the untouched source by {name}; there is no winner."]
    return "\n".join(rows)


def _untouched(lines: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Return the score of the one source by seed; empty for fresh weights and several sources."""
    if len({line["settings"].get("source") for line in lines}) > 1:
        return {}
    found: dict[int, float] = {}
    for line in lines:
        if "untouched" in line:
            values = [line["untouched"]["value"]] if line["untouched"] else []
        else:  # recorded before there was that entry, and without reset layers
            name = lines[0]["end"]["name"]
            begun = "source" in line["settings"]
            scores = line["scores"] if begun else []
            values = [s["value"] for s in scores if (s["iteration"], s["name"]) == (0, name)]
        for value in values:
            found.setdefault(line["seed"], value)
    return found


def _less(one: Mapping[int, float], two: Mapping[int, float]) -> list[float]:
    """Return the first less the second, for the seeds that both have."""
    return [one[seed] - two[seed] for seed in sorted(one.keys() & two.keys())]


def _is_better(less: Sequence[float]) -> bool:
    """Return whether a mean of differences is below zero with its whole interval."""
    return len(less) > 1 and mean_interval(less)[2] < 0


def curves_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the deciding score of a comparison at every iteration, a mean over the seeds."""
    curves, name = _curves(lines), lines[0]["end"]["name"]
    rows, steps = _by_iteration(curves, f"{name} after iterations")
    for variant, of in curves.items():
        values = [[curve[step] for curve in of.values() if step in curve] for step in steps]
        means = (f"{fmean(found):.3f}" if found else "" for found in values)
        rows.append(f"| `{variant}` | {' | '.join(means)} |")
    return "\n".join(rows)


def differences_table(lines: Sequence[Mapping[str, Any]], against: str) -> str:
    """Return by how much each variant is ahead (-) or behind at every iteration, by seed."""
    curves = _curves(lines)
    rows, steps = _by_iteration(curves, f"less `{against}` after iterations")
    for variant, of in curves.items():
        if variant == against:
            continue
        cells: list[str] = []
        for step in steps:
            pairs = [
                (of[seed], curves[against][seed]) for seed in of.keys() & curves[against].keys()
            ]
            less = [one[step] - two[step] for one, two in pairs if step in one and step in two]
            cells.append(mean_in_words(less, sign="+") if step else "")
        rows.append(f"| `{variant}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, dict[int, float]]]:
    """Return the deciding score by variant, the best at the end first, by seed and iteration."""
    name = lines[0]["end"]["name"]
    return {
        variant: {
            line["seed"]: {s["iteration"]: s["value"] for s in line["scores"] if s["name"] == name}
            for line in of
        }
        for variant, of in _ranked(lines).items()
    }


def _by_iteration(
    curves: Mapping[str, Mapping[int, Mapping[int, float]]], heading: str
) -> tuple[list[str], list[int]]:
    """Return the head of a table with a column for each scored iteration, and these."""
    steps = sorted({step for of in curves.values() for curve in of.values() for step in curve})
    head = f"| {heading} | {' | '.join(f'{step:,}' for step in steps)} |"
    return [head, f"|{'---|' * (len(steps) + 1)}"], steps


def _ranked(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the runs of every variant, the best mean at the end first."""

    def end(of: Sequence[Mapping[str, Any]]) -> float:
        return fmean([line["end"]["value"] for line in of if line["end"]] or [math.inf])

    return dict(sorted(_by_variant(lines).items(), key=lambda item: end(item[1])))


def _by_variant(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        found.setdefault(line["variant"], []).append(line)
    return found


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
    ladder = read_jsonl(results / "visibility_ladder.jsonl")
    parts = [
        f"**{label}**\n\n{floors_table(lines, label)}\n" for label in ("KID", "FD", "coverage")
    ]
    written = {
        "real_floors": "\n".join(parts),
        "adapters": adapter_tables(read_jsonl(results / "adapters.jsonl")),
        "curation_filters": filter_tables(read_jsonl(results / "curation_filters.jsonl")),
        "visibility_ladder": f"{ladder_table(ladder)}\n",
        "visibility_sets": f"{sets_table(ladder)}\n",
        "eye_agreement": f"{agreement_table()}\n",
        "eye_sheets": f"{sheet_table()}\n",
        "eye_unseen": f"{unseen_table()}\n",
    }
    for name, against in COMPARISONS.items():
        parts = []
        for setting, lines in by_setting(read_jsonl(results / f"{name}.jsonl"), against).items():
            parts += [f"**{setting}**"] if setting else []
            parts.append(comparison_table(lines, against))
            if len({line["iteration"] for line in lines}) == 1:  # else iterations do not compare
                parts += [curves_table(lines), differences_table(lines, against)]
        written[name] = "\n\n".join(parts) + "\n"
    for name in STARTS:
        lines = read_jsonl(results / f"{name}.jsonl")
        written[name] = f"{start_table(lines)}\n\n{curves_table(lines)}\n"
    for name in DIVERSITY:
        lines = read_jsonl(results / f"{name}.jsonl")
        written[name] = f"{diversity_table(lines)}\n\n{curves_table(lines)}\n"
    written |= reliability_tables(ROOT / "benchmarks" / "results")
    for name in RANKS:
        written[name] = f"{rank_table(read_jsonl(results / f'{name}.jsonl'))}\n"
    return {ROOT / "docs" / "tables" / f"{name}.md": text for name, text in written.items()}


def plots() -> dict[Path, str]:
    """Return the SVG text of every plot by its file."""
    return {
        ROOT / "docs" / "pictures" / f"{name}_losses.svg": loss_svg(
            read_jsonl(ROOT / "experiments" / "results" / f"{name}.jsonl")
        )
        for name in STARTS
    }


if __name__ == "__main__":
    for path, text in {**tables(), **plots()}.items():
        write_text(path, text)
