"""Several runs read together: a comparison over seeds, a search for the plan, a ranking of sources.

A comparison: ``comparison.py`` is the plain data, ``queue.py`` does the runs that are missing,
``study_statistics.py`` says what can be told from noise, ``comparison_results.py`` gathers it from
the run folders, ``comparison_page.py`` shows it.

A search: ``plan_search.py`` is the plain data, ``search_space.py`` what can be tried,
``strategy.py`` the interface of the strategies; ``trial_store.py`` hands out trials to one or more
processes, ``search_runner.py`` runs them, ``reruns.py`` runs the best again with new seeds,
``response_surface.py`` and ``search_result.py`` say what was found, ``search_page.py`` shows it.

Sources for a target, without training: ``source_ranking.py``.
"""

from graftgan.studies.comparison import (
    Comparison,
    Job,
    Varied,
    further_seeds,
    parse_seeds,
    split_list,
    variants_of,
)
from graftgan.studies.comparison_results import Results, RunResult
from graftgan.studies.gradual_strategy import Gradual
from graftgan.studies.grid_strategy import Grid
from graftgan.studies.optuna_strategy import OptunaStrategy
from graftgan.studies.plan_search import STRATEGIES, Budget, PlanSearch
from graftgan.studies.queue import (
    ComparisonObserver,
    check_comparison,
    extend_comparison,
    read_comparison,
    resume_comparison,
    run_comparison,
)
from graftgan.studies.search_result import SearchResult
from graftgan.studies.search_runner import (
    Forecast,
    SearchObserver,
    check_search,
    resume_search,
    run_search,
)
from graftgan.studies.source_ranking import Experience, RankedSource, Ranking, rank_sources
from graftgan.studies.strategy import Pause, Strategy
from graftgan.studies.study_statistics import VariantStatistics, mean_interval
from graftgan.studies.trials import Proposal, Trial

__all__ = [
    "STRATEGIES",
    "Budget",
    "Comparison",
    "ComparisonObserver",
    "Experience",
    "Forecast",
    "Gradual",
    "Grid",
    "Job",
    "OptunaStrategy",
    "Pause",
    "PlanSearch",
    "Proposal",
    "RankedSource",
    "Ranking",
    "Results",
    "RunResult",
    "SearchObserver",
    "SearchResult",
    "Strategy",
    "Trial",
    "VariantStatistics",
    "Varied",
    "check_comparison",
    "check_search",
    "extend_comparison",
    "further_seeds",
    "mean_interval",
    "parse_seeds",
    "rank_sources",
    "read_comparison",
    "resume_comparison",
    "resume_search",
    "run_comparison",
    "run_search",
    "split_list",
    "variants_of",
]
