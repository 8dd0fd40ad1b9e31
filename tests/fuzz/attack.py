"""Run the cases of all kinds, shrink and keep what was found, and tell of it."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from .cases import BATCH, Case, Kind, case_of, cases_of, prove_valid
from .findings import Finding, Findings, keep, shrunk
from .kinds import KINDS
from .pool import Pool, Task, in_another_process
from .seeds import Seeds, make_seeds
from .steps import prepare_process
from .worker import Limits

Kept = list[tuple[Finding, Path]]


class Attack:
    """One run of the harness.

    Args:
        options: Those of ``__main__``.
        root: An empty folder.
    """

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        names = [name for name in options.kinds.split(",") if name] or list(KINDS)
        unknown = sorted(set(names) - set(KINDS))
        if unknown:
            sys.exit(f"no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
        self._options = options
        self._kinds = [KINDS[name] for name in names]
        torch.set_num_threads(1)
        # Trainings leave threads behind, which must not be there when processes are forked.
        self._seeds = Seeds(root / "templates")
        in_another_process(partial(make_seeds, self._seeds.root, names))
        prepare_process()
        for kind in self._kinds:
            prove_valid(kind, self._seeds, root / "valid" / kind.name)
        limits = Limits(seconds=options.seconds, memory=options.megabytes * 2**20)
        self._pool = Pool(root / "templates", root / "work", limits, jobs=options.jobs)

    def run(self) -> int:
        """Attack, and print what was found; return the exit code."""
        begin = time.monotonic()
        findings = self._find()
        kept: Kept = []
        for finding in findings.found.values():
            kind = KINDS[finding.case.kind]
            small = shrunk(finding, kind, self._pool, seconds=self._options.shrink)
            kept.append((small, keep(small, self._seeds, self._options.keep)))
        _print(findings, kept, time.monotonic() - begin)
        if self._options.json is not None:
            told = _as_plain(self._options.seed, findings, kept)
            self._options.json.write_text(json.dumps(told, indent=1) + "\n")
        return 1 if kept else 0

    def _find(self) -> Findings:
        findings, seed = Findings(), self._options.seed
        for kind, number, outcome in self._pool.run(self._tasks()):
            case = partial(case_of, kind, self._seeds, seed, number)
            if findings.add(kind.name, number, outcome, case):
                print(f"{kind.name} {seed} {number}: {outcome.signature}", flush=True)
        return findings

    def _tasks(self) -> Iterator[Task]:
        """Yield a batch of each kind in turn, so that a run that is stopped has seen them all."""
        count = 1 if self._options.number is not None else -(-self._options.cases // BATCH)
        for number in range(count):
            for kind in self._kinds:
                yield Task(kind, partial(self._batch, kind, number))

    def _batch(self, kind: Kind, number: int) -> list[Case]:
        seed = self._options.seed
        if self._options.number is not None:
            return [case_of(kind, self._seeds, seed, self._options.number)]
        cases = cases_of(kind, self._seeds, seed, number)
        return [case for case in cases if case.number < self._options.cases]


def _print(findings: Findings, kept: Kept, seconds: float) -> None:
    """Print the table, and each fault with its smallest input."""
    head = ("kind", "cases", "refused", "accepted", "findings", "slowest s", "peak MB", "seconds")
    print(("\n{:<13}" + "{:>10}" * 7).format(*head))
    for row in findings.rows.values():
        cells = (row.cases, row.refused, row.accepted, row.findings)
        numbers = f"{row.slowest:>10.2f}{row.peak / 2**20:>10.0f}{row.seconds:>10.1f}"
        print(f"{row.kind:<13}" + "".join(f"{cell:>10}" for cell in cells) + numbers)
    for finding, folder in kept:
        case, outcome = finding.case, finding.outcome
        last = (outcome.text.strip().splitlines() or [""])[-1][:300]
        print(f"\n{case.kind} {case.seed} {case.number}: {outcome.signature}")
        print(f"    {len(finding.numbers)} cases; {case.size} bytes in {folder}")
        print(f"    {last.encode('ascii', errors='backslashreplace').decode()}")
    print(f"\n{len(kept)} faults in {seconds:.0f} s")


def _as_plain(seed: int, findings: Findings, kept: Kept) -> dict[str, object]:
    """Return the same for JSON."""
    return {
        "seed": seed,
        "kinds": [asdict(row) for row in findings.rows.values()],
        "faults": [
            {
                "kind": finding.case.kind,
                "number": finding.case.number,
                "signature": finding.outcome.signature,
                "text": finding.outcome.text,
                "cases": len(finding.numbers),
                "bytes": finding.case.size,
                "input": str(folder),
            }
            for finding, folder in kept
        ],
    }
