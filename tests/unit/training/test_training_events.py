"""The log as TensorBoard events, read back by TensorBoard's own reader."""

from pathlib import Path

import pytest

from graftgan.core.errors import RunError
from graftgan.training import event_writer

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_reads_the_log(tmp_path: Path):
    folder = tmp_path / "tensorboard"
    write = event_writer(folder, after=0)
    assert write is not None
    assert not folder.exists(), "nothing is written before there is something to tell"
    for iteration in (10, 20):
        write({"iteration": iteration, "generator.loss": iteration / 8, "seconds": 1.0})
    assert scalars(folder, "generator.loss") == [(10, 1.25), (20, 2.5)]
    assert scalars(folder, "seconds") == [(10, 1.0), (20, 1.0)]


def test_what_a_resumed_run_does_again_is_shown_once(tmp_path: Path):
    first = event_writer(tmp_path, after=0)
    for iteration in (10, 20, 30):
        first({"iteration": iteration, "loss": 0.5})
    second = event_writer(tmp_path, after=10)
    second({"iteration": 20, "loss": 0.25})
    assert sorted(scalars(tmp_path, "loss")) == [(10, 0.5), (20, 0.25)]


def test_a_disk_that_cannot_be_written_is_one_clear_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    write = event_writer(tmp_path / "file", after=0)
    with pytest.raises(RunError, match="cannot write"):
        write({"iteration": 1, "loss": 0.5})
