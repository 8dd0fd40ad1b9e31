"""A generator leaves the house: a file or folder of a form that others read, checked before it is.

To add a form: a file that registers a :class:`Form` in ``FORMS``, and its import here.
"""

from graftgan.models.export import hub_folder as hub_folder
from graftgan.models.export import single_files as single_files
