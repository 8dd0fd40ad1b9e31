"""Runs that end by their time, or because who watches the scores ends them."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from graftgan.checkpoints import load_tensors
from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.run import Observer, resume, run
from graftgan.training import Training, TrainingSettings
from tiny_networks import assert_same_tensors, draw_pictures, tiny_run


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=12, hue=1),
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        training=TrainingSettings(iterations=4, batch_size=4, checkpoint_every=1, log_every=1),
    )


class EndsAt(Observer):
    """Ends a run at one of its scores."""

    def __init__(self, iteration: int) -> None:
        self.seen: dict[int, float] = {}
        self._iteration = iteration

    def scored(self, iteration: int, value: float) -> str:
        self.seen[iteration] = value
        return "it fell behind" if iteration == self._iteration else ""


def test_a_pruned_run_says_so_and_can_be_gone_on_with_exactly(
    experiment: Experiment, tmp_path: Path
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    observer = EndsAt(2)
    folder = run(experiment, tmp_path / "pruned", device="cpu", observer=observer)
    card = folder.card()
    assert (card.state, card.message, card.iteration) == ("pruned", "it fell behind", 2)
    assert "ended by a search" in (folder.path / "report.html").read_text(encoding="utf-8")
    lines = read_jsonl(folder.path / "metrics.jsonl")
    assert {line["iteration"]: line["value"] for line in lines} == observer.seen

    observer = EndsAt(4)  # at its end a run is not pruned any more: it is finished
    resume(folder.path, device="cpu", observer=observer)
    assert folder.card().state == "finished"
    assert sorted(observer.seen) == [2, 3]  # asked again: a kill may have come before the answer
    assert_same_tensors(weights(folder), weights(straight))


class PressesCtrlCTwice(Observer):
    """Presses it in the middle of iteration 3."""

    def scored(self, iteration: int, value: float) -> str:
        if iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return ""


def test_a_second_ctrl_c_leaves_a_run_that_says_where_it_stands(
    experiment: Experiment, tmp_path: Path
):
    before = signal.getsignal(signal.SIGINT)
    says = r"stopped at once; what came after iteration \d is lost; continue with .* --resume"
    with pytest.raises(KeyboardInterrupt, match=says):
        run(experiment, tmp_path / "cut", device="cpu", observer=PressesCtrlCTwice())
    assert signal.getsignal(signal.SIGINT) is before
    folder = RunFolder(tmp_path / "cut")
    card, kept = folder.card(), int(folder.checkpoint().name)
    assert kept in (2, 3)
    assert (card.state, card.iteration) == ("interrupted", kept)
    assert f"after iteration {kept} is lost" in card.message

    straight = run(experiment, tmp_path / "straight", device="cpu")
    resume(folder.path, device="cpu")
    assert folder.card().state == "finished"
    assert_same_tensors(weights(folder), weights(straight))


def weights(folder: RunFolder) -> dict:
    return dict(load_tensors(folder.checkpoint() / "generator.safetensors"))


def test_a_run_ends_by_its_time_and_does_not_start_again(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # A clock that says half a second for every iteration, whatever else the machine does.
    moments = iter(i / 2 for i in range(1000))
    monkeypatch.setattr("graftgan.training.loop.time.perf_counter", lambda: next(moments))
    limited = replace(experiment.training, iterations=100, seconds=1.0)
    folder = run(replace(experiment, training=limited), tmp_path / "run", device="cpu")
    card = folder.card()
    assert (card.state, card.iteration, card.seconds) == ("finished", 2, 1.0)
    assert card.message == "its 1 seconds were up at iteration 2"
    assert folder.checkpoint().name == "000002"

    resume(folder.path, device="cpu")
    assert folder.card().iteration == 2
    with pytest.raises(RunError, match=r"has trained for 1\.0 seconds, more than 0\.5"):
        resume(folder.path, seconds=0.5, device="cpu")
    resume(folder.path, seconds=2.0, device="cpu")
    assert (folder.card().iteration, folder.card().seconds) == (4, 2.0)


def test_the_share_done_follows_the_nearer_limit():
    training: Training = tiny_run(iterations=10).training
    training.iteration = 5
    assert training.progress == 0.5
    training.seconds_limit, training.seconds = 100.0, 20.0
    assert training.progress == 0.5
    training.seconds = 80.0
    assert training.progress == 0.8
    training.seconds = 101.0
    assert training.progress == 1.0
    assert training.time_is_up


def test_no_time_at_all_is_refused():
    with pytest.raises(SettingsError, match="seconds must be finite and positive"):
        TrainingSettings(seconds=0.0)
