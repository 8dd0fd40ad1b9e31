"""Train a source from fresh weights, generator and discriminator.

Take many and varied pictures. The run folder can serve as --source of a transfer as it is;
`graftgan sources pack` makes it a small folder to share.

examples:
  graftgan pretrain faces.zip
  graftgan pretrain faces.zip --objective wgan --iterations 20000 --sample-every 1000
  graftgan pretrain --resume runs/faces
"""

from collections.abc import Sequence

import tyro

from graftgan.cli.transfer import train
from graftgan.experiments.experiment import Experiment
from graftgan.training import TrainingSettings

DEFAULTS = Experiment(pictures=tyro.MISSING, training=TrainingSettings(iterations=5000))


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    return train(arguments, DEFAULTS, verb="pretrain", description=__doc__)
