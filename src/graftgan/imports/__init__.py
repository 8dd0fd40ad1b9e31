"""Files of other programs become source folders.

``making.py`` writes the source, ``official.py`` reads StyleGAN's pickles, and ``state_dicts.py``
what torch saved, in any of the ``LAYOUTS``. To add one: a file that registers a ``Layout``, and its
import here.
"""

from graftgan.imports import lucidrains as lucidrains
from graftgan.imports import pytorch_dcgan as pytorch_dcgan
from graftgan.imports import rosinality as rosinality
from graftgan.imports.layouts import LAYOUTS, Layout
from graftgan.imports.making import import_source

__all__ = ["LAYOUTS", "Layout", "import_source"]
