"""Several runs read together: a comparison over seeds, a search for the plan, a ranking of sources.

Plain data are ``comparison.py`` and ``plan_search.py``. ``queue.py`` does the runs of both; what a
search tries is decided by ``strategies.py`` and ``optuna_strategy.py``, its runs are ``trials.py``.
``study_statistics.py`` says what can be told from noise; ``comparison_results.py`` and
``search_result.py`` gather what was found, ``comparison_page.py`` and ``search_page.py`` show it.
Sources for a target, without training: ``source_ranking.py``.
"""
