"""Who trains what: the updates of each way of training.

To add one: a file that registers a builder in ``GAMES``, and its import here.
"""

from graftgan.training.procedures import adversarial as adversarial
from graftgan.training.procedures import codes as codes
from graftgan.training.procedures import reconstruction as reconstruction
from graftgan.training.procedures import vae as vae
from graftgan.training.procedures.procedure import (
    GAMES,
    Players,
    make_optimizer,
    real_batches,
    real_classes,
)

__all__ = ["GAMES", "Players", "make_optimizer", "real_batches", "real_classes"]
