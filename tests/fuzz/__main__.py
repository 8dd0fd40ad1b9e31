"""``python -m fuzz``, with ``tests`` on the path: see ``make fuzz``."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import zip_longest
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: forked processes have one thread


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack; return 1 where something was found."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="graftgan-fuzz-") as root:
        home = Path(root) / "home"
        for name in ("HOME", "GRAFTGAN_CACHE", "GRAFTGAN_SOURCES"):
            os.environ[name] = str(home)
        return _attack(options, Path(root))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="names with commas; empty: all")
    parser.add_argument("--number", type=int, help="this case alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the processor, for a case")
    parser.add_argument("--megabytes", type=int, default=1024, help="more than before a case")
    parser.add_argument("--shrink", type=float, default=20.0, help="seconds for each fault")
    parser.add_argument("--json", type=Path, help="write the table and the faults here, too")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    return parser.parse_args(arguments)


def _attack(options: argparse.Namespace, root: Path) -> int:
    import torch

    from .cases import BATCH, Case, Kind, case_of, cases_of, prove_valid
    from .findings import Finding, Findings, keep, shrunk
    from .kinds import KINDS, forbid_training
    from .pool import Pool, Task
    from .seeds import make_seeds
    from .worker import Limits

    torch.set_num_threads(1)
    names = [name for name in options.kinds.split(",") if name] or list(KINDS)
    unknown = sorted(set(names) - set(KINDS))
    if unknown:
        sys.exit(f"no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
    kinds = [KINDS[name] for name in names]
    seeds = make_seeds(root / "templates", names)
    forbid_training()
    limits = Limits(seconds=options.seconds, memory=options.megabytes * 2**20)
    pool = Pool(root / "templates", root / "work", limits, jobs=options.jobs)

    def batch(kind: Kind, number: int) -> list[Case]:
        if options.number is not None:
            return [case_of(kind, seeds, options.seed, options.number)]
        cases = cases_of(kind, seeds, options.seed, number)
        return [case for case in cases if case.number < options.cases]

    def tasks() -> Iterator[Task]:
        batches = 1 if options.number is not None else -(-options.cases // BATCH)
        for number in range(batches):  # kind by kind, so that all are slow or fast alike
            yield from (Task(kind, partial(batch, kind, number)) for kind in kinds)

    begin = time.monotonic()
    for kind in kinds:
        prove_valid(kind, seeds, root / "valid" / kind.name)
    findings = Findings()
    for kind, number, outcome in pool.run(tasks()):
        case = partial(case_of, kind, seeds, options.seed, number)
        if findings.add(kind.name, number, outcome, case):
            print(f"{kind.name} {options.seed} {number}: {outcome.signature}", flush=True)
    kept: list[tuple[Finding, Path]] = []
    for finding in findings.found.values():
        small = shrunk(finding, KINDS[finding.case.kind], pool, seconds=options.shrink)
        kept.append((small, keep(small, seeds, options.keep)))
    _print(findings, kept, time.monotonic() - begin)
    if options.json is not None:
        _write_json(options, findings, kept)
    return 1 if findings.found else 0


def _print(findings: "Findings", kept: "list[tuple[Finding, Path]]", seconds: float) -> None:
    """Print the table, and each fault with its smallest input."""
    head = ("kind", "cases", "refused", "accepted", "findings", "slowest", "peak MB", "seconds")
    print(("\n" + "{:<13}" + "{:>10}" * 7).format(*head))
    for row in findings.rows.values():
        numbers = (row.cases, row.refused, row.accepted, row.findings)
        print(
            f"{row.kind:<13}" + "".join(f"{n:>10}" for n in numbers)
            + f"{row.slowest:>10.2f}{row.peak / 2**20:>10.0f}{row.seconds:>10.1f}"
        )
    for finding, folder in kept:
        outcome, case = finding.outcome, finding.case
        print(
            f"\n{case.kind} {case.seed} {case.number}: {outcome.signature}; {len(finding.numbers)} "
            f"cases, {case.size} bytes in {folder}\n    {outcome.text.strip().splitlines()[-1][:300]}"
        )
    print(f"\n{len(kept)} faults in {seconds:.0f} s")


def _write_json(
    options: argparse.Namespace, findings: "Findings", kept: "list[tuple[Finding, Path]]"
) -> None:
    told = {
        "seed": options.seed,
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
    options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
