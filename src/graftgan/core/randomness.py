"""One seed, many named streams of random numbers.

A stream is a pure function of (seed, name, step, rank): nothing has to be saved to continue a
run exactly, and a new stream, or one more draw from an old one, shifts no other stream.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Randomness:
    """The root of every random number of one run.

    Attributes:
        seed: The one number a person sets.
        rank: The process of a distributed run; each draws numbers of its own.
    """

    seed: int
    rank: int = 0

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
