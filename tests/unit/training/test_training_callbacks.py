"""Listeners: the log, the guard, checkpoints, snapshots and signals."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from graftgan.core.errors import RunError, TrainingDiverged
from graftgan.core.files import append_jsonl, read_jsonl
from graftgan.training import (
    DivergenceGuard,
    LogWriter,
    Periodically,
    ProgressBar,
    ProgressLines,
    Snapshots,
    Training,
    forget_after,
)
from tiny_networks import tiny_run


def lines(path: Path) -> list[dict[str, float]]:
    return read_jsonl(path)


def test_forgetting_drops_later_lines_and_a_line_cut_short(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for iteration in (10, 20, 30, 40):
        append_jsonl(path, {"iteration": iteration, "loss": 0.5})
    with path.open("a") as handle:
        handle.write('{"iteration": 5, "lo')
    forget_after(path, 30)
    assert [line["iteration"] for line in lines(path)] == [10, 20, 30]
    append_jsonl(path, {"iteration": 31})
    assert [line["iteration"] for line in lines(path)] == [10, 20, 30, 31]
    forget_after(path, 0)
    assert path.read_text() == ""
    forget_after(tmp_path / "none.jsonl", 3)
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (1, "less than a minute left"),
        (40, "1 minute left"),
        (60, "2 minutes left"),
    ],
)
def test_a_line_says_how_long_the_rest_takes(seconds: float, says: str):
    said: list[str] = []
    now = SimpleNamespace(iteration=1, iterations=3, seconds=seconds, seconds_limit=None)
    ProgressLines(every=1, say=said.append).iterated(cast("Training", now), {})
    assert said == [f"iteration 1/3, {seconds:.2f} s each, {says}"]


def test_a_full_disk_is_explained(tmp_path: Path):
    with pytest.raises(RunError, match="cannot write"):
        append_jsonl(tmp_path / "nowhere" / "log.jsonl", {})
    if os.path.exists("/dev/full"):  # noqa: PTH110
        with pytest.raises(RunError, match="No space left"):
            append_jsonl(Path("/dev/full"), {"iteration": 1})


def test_the_log_has_a_line_for_every_so_many_iterations_and_the_last(tmp_path: Path):
    also: list[dict[str, float]] = []
    run = tiny_run(iterations=7)
    run.training.callbacks = [LogWriter(tmp_path / "log.jsonl", every=3, also=also.append)]
    run.training.run()
    found = lines(tmp_path / "log.jsonl")
    assert [line["iteration"] for line in found] == [3, 6, 7]
    assert [line["images"] for line in found] == [12, 24, 28]
    assert found == also
    for line in found:
        assert line["images_per_second"] > 0
        assert "generator.loss" in line
        assert "discriminator.real" in line


def test_a_resumed_log_has_every_iteration_once(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for iteration in (1, 2, 3, 4):
        append_jsonl(path, {"iteration": iteration, "old": 1})
    run = tiny_run(iterations=5)
    run.training.iteration = 2
    run.training.callbacks = [LogWriter(path, every=1)]
    run.training.run()
    assert [line["iteration"] for line in lines(path)] == [1, 2, 3, 4, 5]
    assert ["old" in line for line in lines(path)] == [True, True, False, False, False]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_guard_names_what_diverged(bad: float):
    training = tiny_run(iterations=10).training
    guard = DivergenceGuard(every=5)
    good, wrong = {"loss": torch.tensor(1.0)}, {"a": torch.tensor(0.0), "b": torch.tensor(bad)}
    training.iteration = 4
    guard.iterated(training, wrong)  # not due
    training.iteration = 5
    guard.iterated(training, good)
    with pytest.raises(TrainingDiverged, match=r"^b became not-a-number by iteration 5"):
        guard.iterated(training, wrong)
    training.iteration, training.iterations = 7, 7
    with pytest.raises(TrainingDiverged):
        guard.iterated(training, wrong)


def test_the_guard_stops_with_the_other_processes():
    class Others:
        """Processes of which another one has seen a loss that is not finite."""

        def agree(self, flag: bool, device: torch.device) -> bool:
            return True

    training = tiny_run(iterations=10).training
    training.iteration, training.processes = 5, Others()
    with pytest.raises(TrainingDiverged, match="a loss of another process"):
        DivergenceGuard(every=5).iterated(training, {"loss": torch.tensor(1.0)})


def test_a_run_that_diverges_stops(tmp_path: Path):
    run = tiny_run(
        plan="fine_tune", iterations=30, optimization={"discriminator_learning_rate": 1e30}
    )
    run.training.callbacks = [DivergenceGuard(every=1)]
    with pytest.raises(TrainingDiverged):
        run.training.run()
    assert run.training.iteration < 30


@pytest.mark.parametrize(
    ("start", "end", "wanted"), [(0, 7, [3, 6, 7]), (0, 6, [3, 6]), (3, 7, [6, 7]), (7, 7, [])]
)
def test_checkpoints_are_due_at_the_end_too_and_never_twice(
    start: int, end: int, wanted: list[int]
):
    saved: list[int] = []
    run = tiny_run(iterations=end)
    run.training.iteration = start
    run.training.callbacks = [Periodically(every=3, act=lambda t: saved.append(t.iteration))]
    run.training.run()
    assert saved == wanted


@pytest.mark.parametrize(
    ("start", "wanted"), [(0, [0, 3, 6, 7]), (3, [3, 6, 7]), (4, [6, 7]), (7, [7])]
)
def test_snapshots_are_of_the_same_latents_from_the_start_on(start: int, wanted: list[int]):
    shown: list[int] = []
    given = torch.arange(3.0)
    run = tiny_run(iterations=7)
    run.training.iteration = start

    def sample(latents: torch.Tensor) -> torch.Tensor:
        assert latents is given
        return latents

    run.training.callbacks = [
        Snapshots(every=3, latents=given, sample=sample, show=lambda i, _: shown.append(i))
    ]
    run.training.run()
    assert shown == wanted


def test_terms_that_come_now_and_then_are_in_the_log_of_a_resumed_run_too(tmp_path: Path):
    run = tiny_run(iterations=1)
    log = LogWriter(tmp_path / "log.jsonl", every=1, terms={"discriminator.r1": 0.125})
    run.training.callbacks = [log]
    run.training.run()
    (line,) = lines(tmp_path / "log.jsonl")
    assert line["discriminator.r1"] == 0.125
    assert log.terms["generator.loss"] == line["generator.loss"]


def test_what_was_given_up_is_drawn_at_the_end():
    shown: list[int] = []
    run = tiny_run(iterations=6)
    run.training.callbacks = [
        Snapshots(
            every=3,
            latents=torch.arange(3.0),
            sample=lambda latents: latents,
            show=lambda i, _: shown.append(i),
            attempt=lambda draw: None if run.training.iteration == 6 else draw(),
        )
    ]
    run.training.run()
    assert shown == [0, 3, 6]


@pytest.mark.parametrize(
    ("start", "done", "wanted"), [(3, False, [3, 6, 7]), (3, True, [6, 7]), (4, False, [6, 7])]
)
def test_what_was_due_where_a_run_is_resumed_is_made_up_for(
    start: int, done: bool, wanted: list[int]
):
    acted: list[int] = []
    run = tiny_run(iterations=7)
    run.training.iteration = start
    run.training.callbacks = [
        Periodically(
            every=3, act=lambda t: acted.append(t.iteration), is_done=lambda iteration: done
        )
    ]
    run.training.run()
    assert acted == wanted


def test_the_bar_ends_where_the_run_ends():
    run = tiny_run(iterations=3)
    bar = ProgressBar("tiny")
    run.training.callbacks = [bar]
    run.training.run()
    assert bar._bar.tasks[0].completed == 3
    assert bar._bar.finished
    bar.close()
