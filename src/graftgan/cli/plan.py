"""Show what a plan would do to a source, layer by layer. Nothing is trained.

D(i,j,k) counts from the discriminator's input: freeze the first i layers, AdaFM on the next j,
fine-tune the last k. G(i,j,k) counts from the generator's input: fine-tune the first k, AdaFM on
the next j, freeze the last i. Or give rules: D[layer1=freeze, layer2-4=adafm, *=fine_tune].

A schedule is a plan that changes while a run goes on: "combined > fine_tune@0.4" after 40 % of it,
"adafm >> fine_tune@0.2-0.6" layer by layer, those far from the picture first.

examples:
  graftgan plan                                        every preset, action, method and procedure
  graftgan plan combined
  graftgan plan "D(2,1,2) G(1,2,2)" --source runs/faces
  graftgan plan "combined > fine_tune@0.4"
"""

import copy
from functools import partial

from tyro.conf import Positional

from graftgan.cli.terminal import console, plan_table, verb
from graftgan.experiments.methods import METHODS
from graftgan.models.sources import DEFAULT_SOURCE, open_source
from graftgan.networks.backbone import build_pair
from graftgan.networks.blocks import Statistics
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import ACTIONS, PRESETS, apply_plan, needs_probe, parse_schedule


@verb
def main(
    plan: Positional[str] = "",
    source: str = DEFAULT_SOURCE,
    frozen_statistics: Statistics = "source",
) -> None:
    """Show a plan.

    Args:
        plan: A preset's name or the notation; without it, all choices are listed.
        source: The source's name or folder.
        frozen_statistics: What frozen and modulated layers normalise with: the source's, or the
            batch's statistics.
    """
    if not plan:
        _list_choices()
        return
    untouched = open_source(source).pair
    schedule = parse_schedule(plan).in_full(untouched)
    fresh = partial(build_pair, untouched.architecture)
    for number, parsed in enumerate(schedule.plans):
        if number:
            console.print(f"from {schedule.steps[number - 1].at:.0%} of the run on:")
        pair = copy.deepcopy(untouched)
        applied = apply_plan(parsed, pair, fresh=fresh, statistics=frozen_statistics)
        console.print(plan_table(applied.report))
        if needs_probe(applied):
            console.print(
                "by_importance is shown with every filter modulated; a run probes, then decides"
            )


def _list_choices() -> None:
    for name, preset in PRESETS.items():
        console.print(f"{name:<12} {preset}")
    console.print("\nactions:")
    for name, action in ACTIONS.items():
        console.print(f"{name:<20} {action.summary}")
    console.print("\nmethods, for --method:")
    for name, method in METHODS.items():
        console.print(f"{name:<20} {method.summary} ({method.paper})")
        stands_for = (f"{key}={value}" for key, value in method.settings.items())
        console.print(f"{'':<20} {', '.join(stands_for)}")
    console.print("\nprocedures, for --procedure:")
    for name, procedure in PROCEDURES.items():
        console.print(f"{name:<20} {procedure.summary}")
