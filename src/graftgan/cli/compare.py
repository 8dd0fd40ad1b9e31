r"""Compare methods or settings over several seeds, and say which differences are noise.

Every run has the same pictures, source and number of iterations; runs of one seed also have the
same order of pictures and the same latents. All are scored in one way, against pictures that they
are not trained on. The table has each variant's score at the end and at its best checkpoint, with
an interval over the seeds, and says which differences are within noise. The untouched source has
a row too: if no method beats it, there is no winner. A page shows the same latents under every
variant.

--methods takes plans: presets or notation, separated by commas; commas inside brackets belong to
the plan. --vary takes any other setting and its values, and may be given several times; all
combinations are run. --seeds 3 stands for 0, 1 and 2; list others as 3,5 or 7,.

With --seconds 600 every run trains for 600 seconds; --iterations is then only an upper limit. A
method with cheap iterations may do more of them.

Stop at any time, also with kill -9: --resume, or the same command again, continues where it
stopped and repeats no finished run. A run that diverges is recorded, and the others go on. With
--add-methods and --add-seeds a comparison grows; what is finished stays.

examples:
  graftgan compare my_pictures/ --methods combined,fine_tune,freeze --seeds 3 \
      --held-out 0.2 --score-every 100
  graftgan compare my_pictures/ --methods "combined, D(2,1,2) G(1,2,2)" --source runs/faces \
      --reference all_pictures.zip --score-every 100 --out comparisons/plans
  graftgan compare my_pictures/ --vary augment=none,light --vary beta1=0,0.5 --dry-run \
      --held-out 0.2 --score-every 100
  graftgan compare my_pictures/ --config experiments/augmentation.toml
  graftgan compare --resume comparisons/plans
  graftgan compare --resume comparisons/plans --add-methods adafm,lora --add-seeds 2
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from graftgan.cli.ending import stopped_code
from graftgan.cli.terminal import (
    Device,
    ScreenObserver,
    columns_of,
    console,
    goes_on,
    parse_flags,
    print_findings,
    table_of,
)
from graftgan.cli.transfer import (
    DEFAULTS,
    folder_named_after,
    parse_start,
    refuse_flags_of_a_start,
)
from graftgan.core.errors import SettingsError
from graftgan.core.settings import parse
from graftgan.experiments.experiment import Experiment
from graftgan.reports import duration
from graftgan.runs.build import Prepared
from graftgan.studies.comparison import (
    Comparison,
    Job,
    Varied,
    further_seeds,
    split_list,
    variants_of,
)
from graftgan.studies.comparison_page import comparison_rows
from graftgan.studies.comparison_results import Results
from graftgan.studies.queue import (
    ComparisonObserver,
    check_comparison,
    extend_comparison,
    read_comparison,
    resume_comparison,
    run_comparison,
)

_RESUME_TAKES = ("add-methods", "add-seeds", "device")


@dataclass(frozen=True)
class StartComparison:
    """A new comparison."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    methods: str = ""
    """Plans to compare: presets or notation, separated by commas."""
    vary: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values, such as augment=none,light; may be given several times."""
    seeds: str = "3"
    """How many seeds each variant is run with; or a list of them, such as 3,5 or 7,."""
    out: Path | None = None
    """The folder; without it, comparisons/<name of the pictures>."""
    config: Path | None = None
    """An experiment file (TOML) for what all runs share, with [compare] methods, vary and seeds;
    flags given beside it win."""
    device: Device = "auto"
    dry_run: bool = False
    """Check everything and list the runs, but train nothing and write nothing."""


@dataclass(frozen=True)
class ResumeComparison:
    """A comparison to resume."""

    resume: Path
    """Its folder."""
    add_methods: str = ""
    """Further plans or methods, separated by commas; run with all seeds."""
    add_seeds: str = ""
    """How many further seeds, or a list of them; every variant is run with them too."""
    device: Device = "auto"


class ComparisonScreen(ScreenObserver, ComparisonObserver):
    """Shows which run is under way, instead of the plan of each."""

    def prepared(self, prepared: Prepared) -> None:
        """Print nothing: all runs were checked before the first."""

    def run_starts(self, job: Job, *, number: int, count: int, seconds_left: float | None) -> None:
        """Print which run begins, and an estimate of the time that is left."""
        left = "" if seconds_left is None else f"; about {duration(seconds_left)} left"
        console.print(f"run {number} of {count}: {job.variant}, seed {job.seed}{left}")

    def run_ended(self, job: Job, *, state: str, message: str) -> None:
        """Print how a run ended, unless it finished."""
        if state != "finished":
            console.print(f"{job.name} {state}{f': {message}' if message else ''}")


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    names: dict[str, Any] = {"prog": "graftgan compare PICTURES", "description": __doc__}
    if goes_on(arguments):
        refuse_flags_of_a_start(arguments, StartComparison, _RESUME_TAKES, what="comparison")
        options = parse_flags(ResumeComparison, arguments, **names)
        _extend(options)
        screen = ComparisonScreen("compare", options.resume)
        results = resume_comparison(options.resume, device=options.device, observer=screen)
        return _finish(results, options.resume, screen)
    start = parse_start(_start_of, arguments, DEFAULTS, table="compare", **names)
    base = start.experiment
    if base.seed:
        raise SettingsError(
            "a comparison has several seeds: --seeds 3, or --seeds 3,5 to list them"
        )
    varied = Varied(methods=start.methods, vary=start.vary, seeds=start.seeds)
    comparison = varied.around(base)
    destination = start.out or folder_named_after(base.pictures, home="comparisons")
    if start.dry_run:
        check_comparison(comparison.located(), device=start.device)
        return _show(comparison, destination)
    screen = ComparisonScreen("compare", destination)
    results = run_comparison(comparison, destination, device=start.device, observer=screen)
    return _finish(results, destination, screen)


def _start_of(experiment: Experiment, table: Any, where: str) -> StartComparison:
    return StartComparison(experiment, **asdict(parse(Varied, table, where=where)))


def _extend(options: ResumeComparison) -> None:
    """Add the methods and seeds of the flags to the comparison, before it is resumed."""
    methods = split_list(options.add_methods)
    if not methods and not options.add_seeds:
        return
    before = read_comparison(options.resume)
    extend_comparison(
        options.resume,
        variants_of(before.base, methods) if methods else {},
        further_seeds(options.add_seeds, before.seeds) if options.add_seeds else (),
        device=options.device,
    )


def _show(comparison: Comparison, destination: Path) -> int:
    jobs = comparison.jobs()
    title = f"{len(jobs)} runs in {destination / 'runs'}; nothing was trained"
    differs = {
        variant: ", ".join(f"{k} = {v}" for k, v in overrides.items())
        for variant, overrides in comparison.variants.items()
    }
    lines = [(job.name, str(job.seed), differs[job.variant]) for job in jobs]
    console.print(table_of(("run", "seed", "settings that differ"), lines, title=title))
    training = comparison.base.training
    limit = "" if training.seconds is None else f"{training.seconds:g} seconds, at most "
    batch = training.batch_size or "the usual number of"
    console.print(
        f"each {limit}{training.iterations} iterations of {batch} pictures, unless "
        "its settings say otherwise"
    )
    return 0


def _finish(results: Results, destination: Path, screen: ComparisonScreen) -> int:
    headings, rows = comparison_rows(results)
    chosen = ("variant", "runs", "at the end", "to the best", "trains", "adapter", "time a run")
    lines = columns_of(headings, rows, chosen)  # the page has all columns
    title = f"{results.score}, {results.better} is better; [95 % interval]" if results.score else ""
    console.print(table_of(chosen, lines, title=title, overflow="fold"))
    if results.score:
        console.print("a best checkpoint is chosen by this very score, which flatters it")
    print_findings(results.says, results.notes, destination / "comparison.html")
    if results.complete:
        return 0
    console.print(f"go on with {screen.continues}")
    return stopped_code(screen.stopped_by) if screen.stopped_by else 1
