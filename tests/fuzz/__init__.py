"""Attack every reader of files with damaged and hostile input: ``make fuzz``.

``seeds.py`` writes small valid files, ``kinds.py`` names what is damaged in them and who reads it,
``worker.py`` runs one case under limits and ``sentinel.py`` watches for code that runs,
``pool.py`` hands out cases to processes, ``findings.py`` keeps and shrinks what was found.
"""
