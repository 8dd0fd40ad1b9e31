"""What is trained and how: the updates of each procedure.

To add one: a file that registers a builder in ``PROCEDURES``, and its import here.
"""

from graftgan.training.procedures import adversarial as adversarial
from graftgan.training.procedures import codes as codes
from graftgan.training.procedures import reconstruction as reconstruction
from graftgan.training.procedures import vae as vae
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    make_optimizer,
    real_batches,
    real_classes,
)

__all__ = ["PROCEDURES", "Parts", "make_optimizer", "real_batches", "real_classes"]
