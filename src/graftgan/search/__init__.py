"""Several experiments that are read together: a comparison of methods or settings over seeds.

``comparison.py`` is the plain data, ``queue.py`` runs what is not done yet, ``standing.py`` says
what can be told from noise, ``results.py`` gathers it from the run folders.
"""

from graftgan.search.comparison import (
    Comparison,
    Job,
    Varied,
    parse_seeds,
    split_list,
    variants_of,
)
from graftgan.search.queue import (
    ComparisonWatcher,
    check_comparison,
    resume_comparison,
    run_comparison,
)
from graftgan.search.results import Results, RunResult
from graftgan.search.standing import Standing, mean_interval

__all__ = [
    "Comparison",
    "ComparisonWatcher",
    "Job",
    "Results",
    "RunResult",
    "Standing",
    "Varied",
    "check_comparison",
    "mean_interval",
    "parse_seeds",
    "resume_comparison",
    "run_comparison",
    "split_list",
    "variants_of",
]
