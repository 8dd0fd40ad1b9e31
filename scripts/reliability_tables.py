"""The tables of the page on reliability: the last storm, the last fuzz, what safety costs."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def reliability_tables(results: Path) -> dict[str, str]:
    """Return the tables by the names of their files, as far as ``results`` holds what they show."""
    makers = {
        "storm": storm_table,
        "fuzz": fuzz_table,
        "safety": safety_table,
        "signals": signals_table,
    }
    files = {name: results / f"{name}.json" for name in makers}
    return {
        name: makers[name](json.loads(file.read_text(encoding="utf-8"))) + "\n"
        for name, file in files.items()
        if file.is_file()
    }


def storm_table(record: Mapping[str, Any]) -> str:
    """Return the cases of a storm by command."""
    by_command: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for case in record["cases"]:
        if ":unbroken:" not in case["case"]:
            by_command[case["case"].partition(":")[0]].append(case)
    every = [case for cases in by_command.values() for case in cases]
    rows = [
        "| command | cases | kills | equal | advised | wrong | first word | checkpoint |",
        "|---|---|---|---|---|---|---|---|",
        *(_storm_row(f"`{name}`", cases) for name, cases in sorted(by_command.items())),
        _storm_row("all", every),
    ]
    minutes = record["seconds"] / 60
    return "\n".join([*rows, "", f"{minutes:.0f} minutes, {record['jobs']} commands at a time."])


def fuzz_table(record: Mapping[str, Any]) -> str:
    """Return the kinds of a fuzz."""
    rows = [
        "| kind | cases | refused | accepted | findings | slowest call | most memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in record["kinds"]:
        counts = [f"{kind[name]:,}" for name in ("cases", "refused", "accepted", "findings")]
        measured = [f"{kind['slowest']:.1f} s", f"{kind['peak'] / 1e6:.0f} MB"]
        rows.append(f"| {' | '.join([kind['kind'], *counts, *measured])} |")
    return "\n".join(rows)


def safety_table(record: Mapping[str, Any]) -> str:
    """Return what checksums, seals and locks took of each run."""
    rows = ["| run | what | took | of the run |", "|---|---|---|---|"]
    for run in record["runs"]:
        name = (
            f"`{run['source']}`, {run['iterations']} iterations in {run['seconds']:.0f} s, "
            f"{run['checkpoints']} checkpoints of {run['checkpoint_mb']:.0f} MB"
        )
        parts = {**run["parts"], "together": sum(run["parts"].values())}
        rows += [
            f"| {name} | {part} | {took:.3f} s | {took / run['seconds']:.2%} |"
            for part, took in parts.items()
        ]
    return "\n".join([*rows, "", f"On {record['machine']}."])


def signals_table(record: Mapping[str, Any]) -> str:
    """Return how long each signal took in slow iterations."""
    rows = ["| signal | an iteration | first word | checkpoint |", "|---|---|---|---|"]
    for line in record["signals"]:
        seconds = [f"{line[name]:.2f} s" for name in ("iteration", "word", "checkpoint")]
        rows.append(f"| {' | '.join([line['signal'], *seconds])} |")
    return "\n".join([*rows, "", f"On {record['machine']}, beside another process."])


def _storm_row(name: str, cases: Sequence[Mapping[str, Any]]) -> str:
    verdicts = [case["verdict"] for case in cases]
    counts = [verdicts.count(verdict) for verdict in ("equal", "advised", "wrong")]
    cells = [len(cases), sum(case["kills"] for case in cases), *counts]
    waits = [_longest(cases, key) for key in ("first_word", "to_checkpoint")]
    return f"| {' | '.join([name, *map(str, cells), *waits])} |"


def _longest(cases: Sequence[Mapping[str, Any]], key: str) -> str:
    known = [case[key] for case in cases if case[key] is not None]
    return f"{max(known):.2f} s" if known else ""
