"""The checkpoints of a run: whole, in order, pruned to the newest and the best."""

from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import (
    list_checkpoints,
    load_state,
    prune_checkpoints,
    save_state,
)
from graftgan.errors import CheckpointError
from tiny_networks import assert_same_tensors


def save(run: Path, iteration: int) -> Path:
    folder = run / "checkpoints" / f"{iteration:06d}"
    tensors = {"generator": {"w": torch.full((2,), float(iteration))}, "training": {}}
    save_state(folder, tensors, {"iteration": iteration})
    return folder


def kept(run: Path) -> list[int]:
    return [int(p.name) for p in list_checkpoints(run)]


def test_a_state_comes_back_with_its_numbers(tmp_path: Path):
    state = load_state(save(tmp_path, 40))
    assert state.card == {"iteration": 40}
    assert set(state.files) == {"generator", "training"}
    assert_same_tensors(state.files["generator"], {"w": torch.tensor([40.0, 40.0])})


def test_saving_twice_replaces(tmp_path: Path):
    folder = save(tmp_path, 40)
    save_state(folder, {"generator": {"w": torch.zeros(1)}}, {"iteration": 40})
    assert set(load_state(folder).files) == {"generator"}
    assert [p.name for p in folder.parent.iterdir()] == ["000040"]


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path: Path):
    for iteration in (1_000_000, 999_000, 50):
        save(tmp_path, iteration)
    (tmp_path / "checkpoints" / "000100.bak").mkdir()
    (tmp_path / "checkpoints" / "000200").write_text("a file")
    assert kept(tmp_path) == [50, 999_000, 1_000_000]
    assert list_checkpoints(tmp_path)[-1].name == "1000000"


def test_no_checkpoint_is_explained(tmp_path: Path):
    assert list_checkpoints(tmp_path) == []
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        load_state(tmp_path)


@pytest.mark.parametrize(
    ("keep", "best", "left"),
    [
        (2, None, [30, 40]),
        (2, 10, [10, 30, 40]),
        (1, 30, [30, 40]),
        (1, 40, [40]),
        (9, 10, [10, 20, 30, 40]),
        (2, 99, [30, 40]),
    ],
)
def test_the_newest_and_the_best_stay(tmp_path: Path, keep: int, best: int | None, left: list[int]):
    for iteration in (10, 20, 30, 40):
        save(tmp_path, iteration)
    leftover = tmp_path / "checkpoints" / ".000050.partial-123"
    leftover.mkdir()
    prune_checkpoints(tmp_path, keep=keep, best=best, every=None)
    assert kept(tmp_path) == left
    assert not leftover.exists()


def test_snapshots_stay_for_good(tmp_path: Path):
    for iteration in (10, 20, 30, 40, 50):
        save(tmp_path, iteration)
    prune_checkpoints(tmp_path, keep=1, best=10, every=20)
    assert kept(tmp_path) == [10, 20, 40, 50]
