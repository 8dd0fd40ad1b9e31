"""Who trains what: the updates of each way of training.

To add one: a file that registers a builder in ``GAMES``, and its import here.
"""

from graftgan.games import adversarial as adversarial
from graftgan.games import codes as codes
from graftgan.games import reconstruction as reconstruction
from graftgan.games import vae as vae
from graftgan.games.players import GAMES, Players, make_optimizer, real_batches, real_classes

__all__ = ["GAMES", "Players", "make_optimizer", "real_batches", "real_classes"]
