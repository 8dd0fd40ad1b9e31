"""The storm: which cases there are, one case after another, and the table of what came of them."""

import gc
import multiprocessing
import random
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from storm.children import count_file, start
from storm.contents import differences, names_of
from storm.disturbances import DISTURBANCES
from storm.events import Trap
from storm.scenarios import OUT, SCENARIOS, Scenario, materials
from storm.stage import PATIENCE_S, Stage, Twin, Wrong

EQUAL, ADVISED, WRONG = "equal", "advised", "wrong"
_UNBROKEN = "unbroken"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One command disturbed once; all that is random about it follows from these and the seed."""

    scenario: str
    disturbance: str
    number: int

    def __str__(self) -> str:
        return f"{self.scenario}:{self.disturbance}:{self.number}"

    @classmethod
    def named(cls, words: str) -> "Case":
        """Return the case of its name.

        Raises:
            ValueError: There is none.
        """
        scenario, disturbance, number = words.split(":")
        if scenario not in SCENARIOS or disturbance not in DISTURBANCES:
            raise ValueError(f"no case {words}: SCENARIO:DISTURBANCE:NUMBER")
        return cls(scenario, disturbance, int(number))


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
    """

    case: Case
    seed: int
    verdict: str
    faults: tuple[str, ...] = ()
    kills: int = 0
    seconds: float = 0.0
    first_word: float | None = None
    to_checkpoint: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        cases: In this order.
        seed: Of everything random.
        jobs: Cases at the same time.
        folder: New; everything happens in it.
        keep: Whether the folders of wrong cases stay.
    """

    cases: Sequence[Case]
    seed: int
    jobs: int
    folder: Path
    keep: bool


def chosen_cases(
    count: int, scenarios: Iterable[str] = (), disturbances: Iterable[str] = ()
) -> list[Case]:
    """Return ``count`` cases: each pair of scenario and disturbance once, the weighty ones again."""
    names, kinds = list(scenarios) or list(SCENARIOS), list(disturbances) or list(DISTURBANCES)
    pairs = [
        (DISTURBANCES[kind], name)
        for kind in kinds
        for name in names
        if DISTURBANCES[kind].fits(SCENARIOS[name])
    ]
    found, turn = list[Case](), 0
    while pairs and len(found) < count:
        heaviest = max(kind.weight for kind, _ in pairs)
        found += [Case(n, k.name, turn) for k, n in pairs if k.weight > turn % heaviest]
        turn += 1
    return found[:count]


def run_storm(plan: Plan, *, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Do every case and return what came of them; ``tell`` hears of each at once.

    A scenario whose unbroken command does not even equal itself counts as one wrong case.
    """
    home = plan.folder / "home"
    outcomes: list[Outcome] = []
    gc.collect()
    gc.freeze()  # so that forked processes share what is imported
    with (
        materials(home),
        ProcessPoolExecutor(plan.jobs, mp_context=multiprocessing.get_context("fork")) as pool,
    ):
        names = dict.fromkeys(case.scenario for case in plan.cases)
        twins = {name: pool.submit(_unbroken, name, home, plan) for name in names}
        for outcome in _flow(pool, plan, home, twins):
            outcomes.append(outcome)
            tell(outcome)
    return outcomes


def _flow(
    pool: ProcessPoolExecutor,
    plan: Plan,
    home: Path,
    twins: Mapping[str, "Future[tuple[Twin, Outcome]]"],
) -> Iterator[Outcome]:
    """Yield the outcomes as they come."""
    for future in twins.values():
        yield future.result()[1]
    cases = [
        pool.submit(_disturbed, case, home, plan, twins[case.scenario].result()[0])
        for case in plan.cases
    ]
    for future in as_completed(cases):
        yield future.result()


def _unbroken(name: str, home: Path, plan: Plan) -> tuple[Twin, Outcome]:
    """Run a command twice; return the twin, and whether the two are equal."""
    scenario, begin = SCENARIOS[name], time.monotonic()
    twins: list[Twin] = []
    for number in range(2):
        folder = plan.folder / "twins" / f"{name}-{number}"
        twins.append(_one_twin(scenario, home, folder, counted=number == 1))
        shutil.rmtree(folder)
    words = differences(twins[1].contents, twins[0].contents)
    outcome = Outcome(
        case=Case(name, _UNBROKEN, 0),
        seed=plan.seed,
        verdict=WRONG if words else EQUAL,
        faults=(names_of(words),) if words else (),
        seconds=time.monotonic() - begin,
    )
    return twins[1], outcome


def _one_twin(scenario: Scenario, home: Path, folder: Path, *, counted: bool) -> Twin:
    root, screen = folder / "root", folder / "screen.txt"
    root.mkdir(parents=True)
    begin = time.monotonic()
    counts = counted and scenario.program == "fork"
    child = start(
        scenario.command(home),
        root=root,
        screen=screen,
        program=scenario.program,
        trap=Trap() if counts else None,
    )
    if child.wait(PATIENCE_S) != 0:
        child.end()
        raise RuntimeError(f"the unbroken {scenario.name} ended with {child.code}: {child.said()}")
    return Twin(
        contents=scenario.contents(root / OUT),
        seconds=time.monotonic() - begin,
        events=int(count_file(screen).read_text()) if counts else 0,
        size=sum(4096 + path.stat().st_size for path in root.rglob("*")),
    )


def _disturbed(case: Case, home: Path, plan: Plan, twin: Twin) -> Outcome:
    """Do one case."""
    begin, disturbance = time.monotonic(), DISTURBANCES[case.disturbance]
    stage = Stage(
        scenario=SCENARIOS[case.scenario],
        home=home,
        folder=plan.folder / "cases" / re.sub(r"\W", "-", str(case)),
        twin=twin,
        rng=random.Random(f"{plan.seed}:{case}"),
    )
    try:
        disturbance.strike(stage)
        if disturbance.looks:
            stage.look()
        stage.finish()
        stage.compare()
    except Wrong as wrong:
        stage.faults.append(str(wrong))
    finally:
        stage.close(keep=plan.keep and bool(stage.faults))
    return Outcome(
        case=case,
        seed=plan.seed,
        verdict=WRONG if stage.faults else ADVISED if stage.refusals else EQUAL,
        faults=tuple(stage.faults),
        kills=stage.kills,
        seconds=time.monotonic() - begin,
        first_word=stage.first_word,
        to_checkpoint=stage.to_checkpoint,
    )


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
        *(
            "" if not (known := [time for time in times if time is not None]) else f"{max(known):.2f} s"
            for times in zip_longest(*((o.first_word, o.to_checkpoint) for o in group))
        ),
    ]


def as_data(outcomes: Sequence[Outcome], plan: Plan, seconds: float) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "seed": plan.seed,
        "jobs": plan.jobs,
        "seconds": round(seconds, 1),
        "kills": sum(outcome.kills for outcome in outcomes),
        "wrong": sum(outcome.verdict == WRONG for outcome in outcomes),
        "cases": [{**asdict(o), "case": str(o.case)} for o in outcomes],
    }
