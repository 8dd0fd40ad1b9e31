"""Conversion of other programs' files to source folders.

``import_source.py`` writes the source, ``official_networks.py`` reads StyleGAN's pickles, and
``layouts.py`` reads files of ``torch.save`` in one of the ``LAYOUTS``. To add one: a file that
registers a ``Layout``, and its import here.
"""

from graftgan.models.convert import pytorch_dcgan as pytorch_dcgan
from graftgan.models.convert import stylegan2_pytorch as stylegan2_pytorch
from graftgan.models.convert.import_source import import_source
from graftgan.models.convert.layouts import LAYOUTS, Layout

__all__ = ["LAYOUTS", "Layout", "import_source"]
