"""How the pages are built: `python -m sphinx -W --keep-going docs docs/_build/html`.

Nothing of graftgan is imported, so the build needs neither torch nor a network.
"""

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads(
    (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
)["project"]

project = "graftgan"
author = "the graftgan authors"
project_copyright = f"{author}, {_PROJECT['license']}"
release = _PROJECT["version"]
version = release

extensions = ["myst_parser", "sphinx-mathjax-offline"]  # formulas need no network
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "tables"]
nitpicky = True

html_theme = "furo"
html_title = f"graftgan {release}"
html_copy_source = False
html_show_sourcelink = False
