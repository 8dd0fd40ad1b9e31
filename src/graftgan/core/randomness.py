"""Named random streams from one seed, and a test of whether a difference could be chance.

A stream is a pure function of (seed, name, step, rank). A run can be resumed exactly without saving
any generator state, and adding a stream or a draw does not shift the other streams.
"""

import hashlib
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

_MARGIN = 0.05  # a smaller excess is never significant


@dataclass(frozen=True, slots=True)
class Randomness:
    """The source of all random numbers of a run, from the seed that the user sets."""

    seed: int
    rank: int = 0  # of the process in a distributed run; each process draws its own numbers

    def generator(
        self, name: str, step: int = 0, *, device: torch.device | str = "cpu"
    ) -> torch.Generator:
        """Return a fresh generator for the stream ``name`` at ``step``."""
        key = f"{self.seed}/{name}/{step}/{self.rank}".encode()
        number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
        # torch takes signed 64-bit seeds; keep 63 bits.
        return torch.Generator(device=device).manual_seed(number >> 1)


def some_of(rows: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return ``count`` random rows of a tensor; all of them, in order, if it has no more."""
    return rows if len(rows) <= count else rows[torch.randperm(len(rows), generator=rng)[:count]]


def clearly_more(
    share: float, count: int, expected: float, expected_count: int, *, standard_errors: float
) -> bool:
    """Return whether ``share`` of ``count`` exceeds ``expected`` by more than chance explains.

    The excess must exceed 5 percentage points plus ``standard_errors`` standard errors, computed as
    in Agresti and Caffo 2000: one marked and one unmarked picture are added to each side.
    """
    variance = _variance(share, count) + _variance(expected, expected_count)
    return share - expected > _MARGIN + standard_errors * sqrt(variance)


def _variance(share: float, count: int) -> float:
    share = (share * count + 1) / (count + 2)
    return share * (1 - share) / (count + 2)
