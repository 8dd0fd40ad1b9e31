"""Keep what was found, each fault once, as small as is cheap."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .cases import Case, Kind, write_case
from .pool import Pool, Task
from .seeds import Seeds
from .worker import GOOD, Outcome

_TRIES = 150


@dataclass(slots=True)
class Row:
    """What became of the cases of one kind."""

    kind: str
    cases: int = 0
    refused: int = 0
    accepted: int = 0
    findings: int = 0
    slowest: float = 0.0
    peak: int = 0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one case."""
        self.cases += 1
        self.refused += outcome.verdict == "refused"
        self.accepted += outcome.verdict == "accepted"
        self.findings += outcome.verdict not in GOOD
        self.slowest = max(self.slowest, outcome.seconds)
        self.peak = max(self.peak, outcome.peak)
        self.seconds += outcome.seconds


@dataclass(slots=True)
class Finding:
    """One fault: the smallest input that shows it, and how many cases did."""

    case: Case
    outcome: Outcome
    numbers: list[int] = field(default_factory=list[int])


class Findings:
    """Faults by kind and signature."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.found: dict[tuple[str, str], Finding] = {}

    def add(self, kind: str, number: int, outcome: Outcome, case: Callable[[], Case]) -> bool:
        """Take note of a case; return whether it shows a fault that is new."""
        self.rows.setdefault(kind, Row(kind)).add(outcome)
        if outcome.verdict in GOOD:
            return False
        key = kind, outcome.signature
        if key in self.found:
            self.found[key].numbers.append(number)
            return False
        self.found[key] = Finding(case(), outcome, [number])
        return True


def shrunk(finding: Finding, kind: Kind, pool: Pool, *, seconds: float) -> Finding:
    """Return the finding with a smaller input that has the same signature."""
    deadline = time.monotonic() + seconds
    best = finding.case
    tries = 0

    def shows(case: Case) -> Outcome | None:
        nonlocal tries
        tries += 1
        task = Task(kind, lambda: [case])
        outcomes = [outcome for _, _, outcome in pool.run(iter([task]))]
        same = outcomes[0].signature == finding.outcome.signature
        return outcomes[0] if same else None

    outcome, progress = finding.outcome, True
    while progress:
        progress = False
        for smaller in _smaller(best):
            if tries >= _TRIES or time.monotonic() > deadline:
                return replace(finding, case=best, outcome=outcome)
            told = shows(smaller)
            if told is not None:
                best, outcome, progress = smaller, told, True
                break
    return replace(finding, case=best, outcome=outcome)


def _smaller(case: Case) -> Iterator[Case]:
    """Yield the case with files as they were, or with a part of one taken out."""
    if len(case.files) > 1:
        for name in case.files:
            yield replace(case, files={n: c for n, c in case.files.items() if n != name})
    for name, content in case.files.items():
        size = len(content or b"") // 2
        while content and size >= max(1, len(content) // 64):
            for begin in range(0, len(content), size):
                less = content[:begin] + content[begin + size :]
                yield replace(case, files={**case.files, name: less})
            size //= 2


def keep(finding: Finding, seeds: Seeds, destination: Path) -> Path:
    """Write the input, what it did, and how to do it again; return the folder."""
    case = finding.case
    folder = destination / f"{case.kind}-{case.seed}-{case.number}"
    for number in range(2, 100):
        if not folder.exists():
            break
        folder = destination / f"{case.kind}-{case.seed}-{case.number}-{number}"
    write_case(case.files, seeds.folder(case.kind), folder / "input", case.odd)
    told = {
        "kind": case.kind,
        "seed": case.seed,
        "number": case.number,
        "others": finding.numbers[1:],
        "damaged": {name: len(content or b"") for name, content in case.files.items()},
        "odd": case.odd,
        "signature": finding.outcome.signature,
    }
    (folder / "finding.json").write_text(json.dumps(told, indent=1) + "\n")
    (folder / "what_happened.txt").write_text(finding.outcome.text + "\n", errors="replace")
    return folder
