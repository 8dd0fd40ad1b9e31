"""``python -m storm``: disturb real commands and compare the end with an unbroken twin."""

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from storm.cases import Case, chosen_cases
from storm.disturbances import DISTURBANCES
from storm.outcomes import WRONG, Outcome, as_data, table_of
from storm.planted import PLANTED
from storm.run import Plan, run_storm
from storm.scenarios import SCENARIOS

_WARM = ("torch._dynamo", "torch.utils.tensorboard", "optuna", "sqlalchemy.dialects.sqlite",
         "jinja2", "scipy.linalg", "PIL.PngImagePlugin", "PIL.JpegImagePlugin")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a storm; return 1 where anything was wrong."""
    options = _parser().parse_args(arguments)
    cases = options.only or chosen_cases(options.kills, options.scenarios, options.disturbance)
    place = Path(tempfile.mkdtemp(prefix="storm-", dir=options.folder))
    plan = Plan(
        cases=cases,
        seed=options.seed,
        jobs=options.jobs,
        folder=place.resolve(),
        keep=options.keep,
        plants=options.plant,
    )
    _warm_up()
    begin = time.monotonic()
    try:
        outcomes = run_storm(plan, tell=_tell)
    finally:
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    seconds = time.monotonic() - begin
    _show(table_of(outcomes))
    wrong = [outcome for outcome in outcomes if outcome.verdict == WRONG]
    print(f"{len(outcomes)} cases in {seconds / 60:.1f} minutes, {len(wrong)} wrong")
    if options.json is not None:
        data = {"seconds": round(seconds, 1), "jobs": plan.jobs, **as_data(outcomes)}
        options.json.write_text(json.dumps(data, indent=2) + "\n")
    if options.keep and wrong:
        print(f"their folders: {place / 'cases'}")
    return int(bool(wrong))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m storm", description=__doc__)
    parser.add_argument("scenarios", nargs="*", type=_scenario, help="; ".join(SCENARIOS))
    parser.add_argument("--kills", type=int, default=200, help="so many cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    parser.add_argument("--disturbance", action="append", default=[], choices=[*DISTURBANCES])
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        type=_case,
        metavar="SCENARIO:DISTURBANCE:NUMBER",
        help="replay this case of the seed",
    )
    parser.add_argument("--json", type=Path, help="write every case to this file")
    parser.add_argument("--keep", action="store_true", help="leave the folders of wrong cases")
    parser.add_argument("--folder", help="where to work, instead of the temporary folder")
    parser.add_argument(
        "--plant", action="append", default=[], choices=[*PLANTED], help="a fault to be found"
    )
    return parser


def _scenario(name: str) -> str:
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"no scenario {name}; there are: {', '.join(SCENARIOS)}")
    return name


def _case(name: str) -> Case:
    try:
        return Case.named(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _warm_up() -> None:
    """Import what the commands import, once; no tensor is made here, so that forking is safe."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    from PIL import Image

    from graftgan.cli import VERBS

    torch.set_num_threads(1)
    for verb in VERBS:
        importlib.import_module(f"graftgan.cli.{verb}")
    for name in _WARM:
        with suppress(ImportError):
            importlib.import_module(name)
    Image.init()


def _tell(outcome: Outcome) -> None:
    if outcome.verdict == WRONG:
        for fault in outcome.faults:
            print(f"WRONG {outcome.case} (seed {outcome.seed}): {fault}", flush=True)
    else:
        print(f"{outcome.verdict} {outcome.case} {outcome.seconds:.1f} s", flush=True)


def _show(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
