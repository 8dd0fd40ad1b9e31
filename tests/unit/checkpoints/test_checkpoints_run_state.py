"""The checkpoints of a run: whole, in order, pruned to the newest and the best."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import (
    StateCard,
    list_checkpoints,
    load_state,
    prune_checkpoints,
    save_state,
)
from graftgan.core.errors import CheckpointError
from graftgan.core.files import write_sealed
from tiny_networks import assert_same_tensors


def card_of(iteration: int) -> StateCard:
    return StateCard(
        iteration=iteration,
        images_seen=16 * iteration,
        seconds=4.5,
        terms={"loss": 0.1},
        varied=True,
    )


def save(run: Path, iteration: int) -> Path:
    folder = run / "checkpoints" / f"{iteration:06d}"
    tensors = {"generator": {"w": torch.full((2,), float(iteration))}, "training": {}}
    save_state(folder, tensors, card_of(iteration))
    return folder


def kept(run: Path) -> list[int]:
    return [int(p.name) for p in list_checkpoints(run)]


def test_a_state_comes_back_with_its_numbers(tmp_path: Path):
    state = load_state(save(tmp_path, 40))
    assert (state.card.iteration, state.card.images_seen, state.card.seconds) == (40, 640, 4.5)
    assert (state.card.terms, state.card.varied) == ({"loss": 0.1}, True)
    assert set(state.files) == {"generator", "training"}
    assert_same_tensors(state.files["generator"], {"w": torch.tensor([40.0, 40.0])})


def test_saving_twice_replaces(tmp_path: Path):
    folder = save(tmp_path, 40)
    save_state(folder, {"generator": {"w": torch.zeros(1)}}, card_of(40))
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


def test_what_stays_does_not_depend_on_interruptions(tmp_path: Path):
    """A run that was interrupted at 33 keeps in the end what one keeps that was not."""
    for place, iterations in (("straight", (20, 40, 50)), ("broken", (20, 33, 40, 50))):
        run = tmp_path / place
        for iteration in iterations:
            save(run, iteration)
            prune_checkpoints(run, keep=2, best=None, every=None, regular=20)
    assert kept(tmp_path / "broken") == kept(tmp_path / "straight") == [20, 40, 50]


@pytest.mark.parametrize(
    "wrong",
    [{"iteration": -1}, {"iteration": 2**70}, {"images_seen": -1}, {"seconds": float("nan")},
     {"seconds": float("inf")}],
)  # fmt: skip
def test_counts_that_cannot_be_are_refused_under_a_seal_that_fits(tmp_path: Path, wrong):
    folder = save(tmp_path, 40)
    plain = asdict(load_state(folder).card)
    write_sealed(folder / "card.json", {**plain, **wrong})
    with pytest.raises(CheckpointError, match=f"{next(iter(wrong))}.* cannot be used") as caught:
        load_state(folder)
    assert str(caught.value).isprintable()


def test_names_of_tensor_files_reach_a_message_as_one_short_line(tmp_path: Path):
    folder = save(tmp_path, 40)
    plain = asdict(load_state(folder).card)
    sums = {"\x1b[2J": "", **{"x" * 300 + str(n): "" for n in range(99)}}
    write_sealed(folder / "card.json", {**plain, "checksums": sums})
    with pytest.raises(CheckpointError, match="is damaged: ") as caught:
        load_state(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def damage(folder: Path, file: str, kind: str) -> None:
    path = folder / file
    content = bytearray(path.read_bytes())
    if kind == "flip":
        content[len(content) * 2 // 3] ^= 1
    elif kind == "zeros":
        content[-6:] = bytes(6)
    elif kind == "cut":
        del content[-3:]
    path.write_bytes(bytes(content))
    if kind == "gone":
        path.unlink()


@pytest.mark.parametrize("kind", ["flip", "zeros", "cut", "gone"])
@pytest.mark.parametrize("file", ["generator.safetensors", "training.safetensors", "card.json"])
def test_a_damaged_checkpoint_is_never_taken(tmp_path: Path, file: str, kind: str):
    folder = save(tmp_path, 40)
    save_state(
        folder,
        {
            "generator": {"w": torch.rand(300), "n": torch.tensor(7)},
            "training": {"0.step": torch.rand(40)},
        },
        card_of(40),
    )
    load_state(folder)
    damage(folder, file, kind)
    with pytest.raises(CheckpointError, match=r"damaged|not a whole|no checkpoint|cannot read"):
        load_state(folder)


def test_a_file_that_was_added_is_not_taken_for_the_runs(tmp_path: Path):
    folder = save(tmp_path, 40)
    (folder / "average.safetensors").write_bytes((folder / "generator.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"damaged: average.safetensors was added"):
        load_state(folder)


def test_a_card_with_a_wrong_type_is_refused_by_name(tmp_path: Path):
    folder = save(tmp_path, 40)
    write_sealed(folder / "card.json", {"iteration": "many", "images_seen": 1, "seconds": 1.0})
    with pytest.raises(CheckpointError, match=r"iteration.*'many'"):
        load_state(folder)
