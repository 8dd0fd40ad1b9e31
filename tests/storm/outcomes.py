"""What came of the cases: verdicts, the table, plain data."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from storm.cases import Case

EQUAL, ADVISED, WRONG = "equal", "advised", "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: Its name.
        seed: Of the storm.
        verdict: ``equal`` to the twin, ``advised``: so after a refusal with advice, or ``wrong``.
        faults: What was found wrong, in words.
        kills: So often it was ended or disturbed.
        seconds: It took.
        first_word: Seconds from a signal to the first word on the screen.
        to_checkpoint: Seconds from a signal to a new checkpoint.
        plant: The fault that was planted; empty: none.
    """

    case: Case
    seed: int
    verdict: str
    faults: tuple[str, ...] = ()
    kills: int = 0
    seconds: float = 0.0
    first_word: float | None = None
    to_checkpoint: float | None = None
    plant: str = ""


def table_of(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return the table: headings, a row for each scenario and disturbance, and the sums."""
    headings = ["scenario", "disturbance", "cases", "kills", "equal", "advised", "wrong",
                "first word", "checkpoint"]  # fmt: skip
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.case):
        groups.setdefault((outcome.case.scenario, outcome.case.disturbance), []).append(outcome)
    rows = [[*names, *_cells(group)] for names, group in groups.items()]
    return [headings, *rows, ["all", "", *_cells(outcomes)]]


def _cells(group: Sequence[Outcome]) -> list[str]:
    verdicts = [outcome.verdict for outcome in group]
    return [
        str(len(group)),
        str(sum(outcome.kills for outcome in group)),
        *(str(verdicts.count(verdict)) for verdict in (EQUAL, ADVISED, WRONG)),
        _longest(outcome.first_word for outcome in group),
        _longest(outcome.to_checkpoint for outcome in group),
    ]


def _longest(times: Iterable[float | None]) -> str:
    known = [time for time in times if time is not None]
    return f"{max(known):.2f} s" if known else ""


def as_data(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "kills": sum(outcome.kills for outcome in outcomes),
        "wrong": sum(outcome.verdict == WRONG for outcome in outcomes),
        "cases": [{**asdict(o), "case": str(o.case)} for o in outcomes],
    }
