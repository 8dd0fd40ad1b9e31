"""Generators and discriminators: plain modules with named layers.

To add one: a file that registers a builder in ``BACKBONES``, and its import here.
"""

from graftgan.networks import began as began
from graftgan.networks import dcgan as dcgan
from graftgan.networks import mlp as mlp
from graftgan.networks import sngan as sngan
from graftgan.networks import stylegan as stylegan
