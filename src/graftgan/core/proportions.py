"""Compare two shares of pictures, also where there are only a few pictures."""

from math import sqrt

_MARGIN = 0.05  # a smaller excess is no verdict


def clearly_more(
    share: float, count: int, expected: float, expected_count: int, *, standard_errors: float
) -> bool:
    """Return whether ``share`` of ``count`` exceeds ``expected`` by more than chance explains.

    The excess must pass 5 percentage points and ``standard_errors`` standard errors, which are
    those of Agresti and Caffo 2000: one marked and one unmarked picture are added to each side.
    """
    variance = _variance(share, count) + _variance(expected, expected_count)
    return share - expected > _MARGIN + standard_errors * sqrt(variance)


def _variance(share: float, count: int) -> float:
    share = (share * count + 1) / (count + 2)
    return share * (1 - share) / (count + 2)
