"""Named streams: independent, repeatable on every machine, one for each process."""

import itertools

import pytest
import torch

from graftgan.core.network_types import draw_latents
from graftgan.core.randomness import Randomness

GOLDEN_SEED = 7666023043170979711
GOLDEN_NUMBERS = (771458894593, 728794516390, 333120060228, 102862414195)


def first_numbers(*arguments: object, seed: int = 7, rank: int = 0) -> tuple[int, ...]:
    rng = Randomness(seed, rank).generator(*arguments)
    return tuple(torch.randint(0, 2**40, (4,), generator=rng).tolist())


def test_golden_numbers():
    """Fixed once: blake2b('7/latents/3/0') seeds torch's Mersenne twister, on every machine."""
    import hashlib

    digest = hashlib.blake2b(b"7/latents/3/0", digest_size=8).digest()
    seed = int.from_bytes(digest, "big") >> 1
    assert seed == Randomness(7).generator("latents", 3).initial_seed() == GOLDEN_SEED
    assert first_numbers("latents", 3) == GOLDEN_NUMBERS


def test_every_part_of_the_name_changes_the_stream():
    streams = [
        first_numbers("latents", 3),
        first_numbers("latents", 4),
        first_numbers("latents"),
        first_numbers("latent", 3),
        first_numbers("latents/3", 3),
        first_numbers("latents", 33),
        first_numbers("latents", 3, seed=8),
        first_numbers("latents", 3, seed=-7),
        first_numbers("latents", 3, rank=1),
        first_numbers("latents", 3, rank=2),
    ]
    assert len(set(streams)) == len(streams)


def test_the_parts_cannot_run_into_each_other():
    keys = itertools.product((1, 11), ("a", "1/a", "a/1"), (1, 11), (0, 1))
    streams = [first_numbers(name, step, seed=s, rank=r) for s, name, step, r in keys]
    assert len(set(streams)) == len(streams) == 24


def test_drawing_from_one_stream_shifts_no_other():
    randomness = Randomness(7)
    torch.rand(100, generator=randomness.generator("a"))
    torch.manual_seed(5)
    assert first_numbers("b") == first_numbers("b")
    state = torch.get_rng_state()
    first_numbers("b")
    assert torch.equal(state, torch.get_rng_state()), "torch's own generator is not touched"


def test_streams_are_not_correlated():
    draws = [torch.randn(4000, generator=Randomness(0).generator("x", i)) for i in range(6)]
    correlations = torch.corrcoef(torch.stack(draws))[~torch.eye(6, dtype=torch.bool)]
    assert correlations.abs().max() < 5 / 4000**0.5


def test_latents_are_standard_normal_and_follow_their_generator():
    rng = Randomness(1).generator("latents")
    drawn = draw_latents(500, 40, rng)
    assert drawn.shape == (500, 40)
    assert abs(drawn.mean()) < 5 / 20_000**0.5
    assert abs(drawn.var() - 1) < 5 * (2 / 20_000) ** 0.5
    again = draw_latents(500, 40, Randomness(1).generator("latents"))
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, draw_latents(500, 40, rng))


def test_any_seed_will_do():
    for seed in (0, -1, 2**63, 2**200):
        assert 0 <= Randomness(seed).generator("a").initial_seed() < 2**63
    with pytest.raises(AttributeError):
        Randomness(0).seed = 3
