"""One seed, many named streams of random numbers; and what chance alone explains.

A stream is a pure function of (seed, name, step, rank): nothing has to be saved to continue a
run exactly, and a new stream, or one more draw from an old one, shifts no other stream.
"""

import hashlib
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

_MARGIN = 0.05  # a smaller excess is no verdict


@dataclass(frozen=True, slots=True)
class Randomness:
    """The root of every random number of one run, from the one number that a person sets."""

    seed: int
    rank: int = 0  # the process of a distributed run; each draws numbers of its own

    def generator(
        self, name: str, step: int = 0, *, device: torch.device | str = "cpu"
    ) -> torch.Generator:
        """Return a fresh generator for the stream ``name`` at ``step``."""
        key = f"{self.seed}/{name}/{step}/{self.rank}".encode()
        number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
        # torch takes signed 64-bit seeds; keep 63 bits.
        return torch.Generator(device=device).manual_seed(number >> 1)


def some_of(rows: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return ``count`` rows of a tensor in random order; all as they are, if there are no more."""
    return rows if len(rows) <= count else rows[torch.randperm(len(rows), generator=rng)[:count]]


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
