"""How the tables of the docs write means over seeds."""

from collections.abc import Sequence

from graftgan.studies.study_statistics import mean_interval


def mean_in_words(values: Sequence[float], sign: str = "") -> str:
    """Return the mean with its 95 % interval over the seeds, if there are two or more."""
    if len(values) < 2:
        return ", ".join(f"{value:{sign}.3f}" for value in values)
    mean, low, high = mean_interval(values)
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
