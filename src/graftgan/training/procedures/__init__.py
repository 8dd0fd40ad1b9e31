"""What is trained and how: the updates of each procedure.

To add one: a file that registers a builder in ``PROCEDURES``, and its import here.
"""

from graftgan.training.procedures import adversarial as adversarial
from graftgan.training.procedures import codes as codes
from graftgan.training.procedures import reconstruction as reconstruction
from graftgan.training.procedures.procedure import PROCEDURES as PROCEDURES
from graftgan.training.procedures.procedure import real_batches as real_batches
from graftgan.training.procedures.procedure import real_classes as real_classes
