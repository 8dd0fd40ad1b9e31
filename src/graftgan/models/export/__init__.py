"""Export of generators to files and folders that other programs read, each checked first.

To add a form: a file that registers a :class:`Form` in ``FORMS``, and its import here.
"""

from graftgan.models.export import hub_folder as hub_folder
from graftgan.models.export import single_files as single_files
