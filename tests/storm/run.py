"""Runs the cases: first each command unbroken, then disturbed."""

import gc
import json
import multiprocessing
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from storm.cases import Case
from storm.children import count_file, start
from storm.contents import differences, names_of
from storm.disturbances import DISTURBANCES
from storm.events import Trap
from storm.outcomes import ADVISED, EQUAL, WRONG, Outcome
from storm.planted import PLANTED
from storm.scenarios import OUT, SCENARIOS, Scenario, materials
from storm.stage import PATIENCE_S, FaultError, Stage, Twin

_UNBROKEN = "unbroken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        cases: In this order.
        seed: Of everything random.
        jobs: Cases at the same time.
        folder: New; everything happens in it.
        keep: Whether the folders of wrong cases stay.
        plants: Faults to plant: each case comes once with each of them.
    """

    cases: Sequence[Case]
    seed: int
    jobs: int
    folder: Path
    keep: bool
    plants: Sequence[str] = ()


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
        pool.submit(_disturbed, case, plant, home, plan, twins[case.scenario].result()[0])
        for plant in plan.plants or ("",)
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
        events=json.loads(count_file(screen).read_text()) if counts else {},
        size=sum(4096 + path.stat().st_size for path in root.rglob("*")),
    )


def _disturbed(case: Case, plant: str, home: Path, plan: Plan, twin: Twin) -> Outcome:
    """Do one case, with a fault planted if one is named."""
    begin, disturbance = time.monotonic(), DISTURBANCES[case.disturbance]
    stage = Stage(
        scenario=SCENARIOS[case.scenario],
        home=home,
        folder=plan.folder / "cases" / re.sub(r"\W", "-", f"{case}{plant}"),
        twin=twin,
        rng=random.Random(f"{plan.seed}:{case}"),
        plant=PLANTED[plant] if plant else None,
    )
    try:
        disturbance.strike(stage)
        if disturbance.looks:
            stage.look()
        stage.finish()
        stage.compare()
    except FaultError as wrong:
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
        plant=plant,
    )
