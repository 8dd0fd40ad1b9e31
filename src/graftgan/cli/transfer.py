"""``graftgan transfer``."""

from collections.abc import Sequence

import tyro

from graftgan.cli.training_verb import train
from graftgan.experiment import Experiment
from graftgan.sources import DEFAULT_SOURCE

DESCRIPTION = """Graft a source onto your pictures.

Each layer of the source's discriminator and generator is frozen, modulated (AdaFM) or fine-tuned,
as the plan says. Stop with Ctrl-C whenever you like: the state and the report are written, and
--resume goes on exactly there.

examples:
  graftgan transfer my_pictures/
  graftgan transfer my_pictures.zip --plan fine_tune --iterations 2000 --out runs/tuned
  graftgan transfer my_pictures/ --source runs/faces --plan "D(1,2,2) G(1,2,2)"
  graftgan transfer my_pictures/ --method freezed          the methods: graftgan plan
  graftgan transfer --resume runs/my_pictures --iterations 3000
  torchrun --nproc-per-node 2 -m graftgan transfer my_pictures/
"""

DEFAULTS = Experiment(
    pictures=tyro.MISSING, source=DEFAULT_SOURCE, augment="diffaugment_color_translation"
)


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    return train(arguments, DEFAULTS, verb="transfer", description=DESCRIPTION)
