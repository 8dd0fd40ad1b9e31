"""Batches are a pure function of their number and use every picture once per epoch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graftgan.core.errors import SettingsError
from graftgan.pictures import EndlessSampler

counts = st.integers(1, 40)
seeds = st.integers(0, 2**31)


@settings(max_examples=40, deadline=None)
@given(counts, st.integers(1, 50), seeds)
def test_every_picture_comes_once_per_epoch(count: int, batch_size: int, seed: int) -> None:
    sampler = EndlessSampler(count, batch_size, seed=seed)
    batches = -(-3 * count // batch_size)
    stream = torch.cat([sampler.indices(batch) for batch in range(batches)])
    for epoch in stream[: 3 * count].reshape(3, count):
        assert epoch.sort().values.tolist() == list(range(count))


@settings(max_examples=40, deadline=None)
@given(counts, st.integers(1, 8), st.integers(1, 4), seeds, st.integers(0, 1000))
def test_processes_share_one_global_batch(
    count: int, share: int, processes: int, seed: int, batch: int
) -> None:
    size = share * processes
    whole = EndlessSampler(count, size, seed=seed).indices(batch)
    parts = [
        EndlessSampler(count, size, seed=seed, rank=rank, processes=processes).indices(batch)
        for rank in range(processes)
    ]
    assert all(len(part) == share for part in parts)
    assert torch.equal(torch.cat(parts), whole)


@settings(max_examples=30, deadline=None)
@given(counts, st.integers(1, 50), seeds, st.lists(st.integers(0, 200), max_size=5))
def test_what_was_asked_before_does_not_matter(
    count: int, batch_size: int, seed: int, before: list[int]
) -> None:
    used = EndlessSampler(count, batch_size, seed=seed)
    for batch in before:
        used.indices(batch)
    fresh = EndlessSampler(count, batch_size, seed=seed)
    assert torch.equal(used.indices(7), fresh.indices(7))


def test_ten_pictures_give_full_batches() -> None:
    sampler = EndlessSampler(10, 64, seed=0)
    for batch in range(5):
        indices = sampler.indices(batch)
        assert indices.shape == (64,)
        assert indices.dtype == torch.int64
        assert set(indices.tolist()) == set(range(10))


def test_epochs_and_seeds_differ_in_order() -> None:
    sampler = EndlessSampler(100, 100, seed=0)
    assert not torch.equal(sampler.indices(0), sampler.indices(1))
    assert not torch.equal(sampler.indices(0), EndlessSampler(100, 100, seed=1).indices(0))


@pytest.mark.parametrize(
    ("count", "batch_size", "rank", "processes"),
    [(0, 4, 0, 1), (4, 0, 0, 1), (4, 4, 1, 1), (4, 4, -1, 2), (4, 5, 0, 2), (4, 4, 0, 0)],
)
def test_impossible_requests(count: int, batch_size: int, rank: int, processes: int) -> None:
    with pytest.raises(SettingsError):
        EndlessSampler(count, batch_size, seed=0, rank=rank, processes=processes)


def test_a_negative_batch_is_refused() -> None:
    with pytest.raises(SettingsError, match="count from 0"):
        EndlessSampler(4, 2, seed=0).indices(-1)
