"""Run folders whose seals fit what somebody else put into them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graftgan.checkpoints import load_state, save_state
from graftgan.core.errors import CheckpointError, GraftganError
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import RunState
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.runs.run import resume, run
from graftgan.training import TrainingSettings
from tiny_networks import draw_pictures, tiny_home


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transfer of one iteration."""
    place = tmp_path_factory.mktemp("run")
    experiment = Experiment(
        pictures=draw_pictures(place / "pictures", count=6, hue=1),
        source=str(tiny_home(place / "home", pictures=4) / "tiny"),
        plan="adafm",
        training=TrainingSettings(iterations=1, batch_size=4),
    )
    return run(experiment, place / "run", device="cpu").path


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> RunFolder:
    """A copy of it that may be changed, and continued."""
    copy = RunFolder(Path(shutil.copytree(finished, tmp_path / "run")))
    copy.update_card(state=RunState.INTERRUPTED)
    return copy


def with_settings(folder: RunFolder, change: Callable[[str], str]) -> None:
    text = folder.experiment_file.read_text(encoding="utf-8")
    folder.experiment_file.write_text(change(text), encoding="utf-8")
    folder.update_card(settings_sha256=folder.settings_sha256())


def with_tensors(folder: RunFolder, file: str, tensors: dict[str, Tensor]) -> None:
    state = load_state(folder.checkpoint())
    files = {**state.files, file: {**state.files[file], **tensors}}
    save_state(folder.checkpoint(), files, state.card)


def one_line(error: GraftganError) -> str:
    said = str(error)
    assert said.isprintable()
    assert len(said) < 2_000
    return said


@pytest.mark.parametrize("name", ["batch_size = 4", "objective = ", "resolution = ", "plan = "])
def test_settings_that_every_run_writes_out_are_missed(folder: RunFolder, name: str):
    def without(text: str) -> str:
        kept = [line for line in text.splitlines() if not line.startswith(name)]
        return "\n".join(kept) + "\n"

    with_settings(folder, without)
    for read in (load_run, resume):
        with pytest.raises(GraftganError) as caught:
            read(folder.path)
        assert name.partition(" ")[0] in one_line(caught.value)


def test_a_date_among_the_settings_is_no_accident(folder: RunFolder):
    with_settings(folder, lambda text: text.replace('plan = "adafm"', "plan = 1979-05-27"))
    with pytest.raises(GraftganError, match="1979-05-27") as caught:
        resume(folder.path)
    one_line(caught.value)


def test_tensors_of_another_shape_are_told_in_one_line(folder: RunFolder):
    hostile = {"\x1b[2J": torch.zeros(1), "x" * 9_000: torch.zeros(1)}
    with_tensors(folder, "discriminator", hostile)
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_run(folder.path)
    one_line(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder: RunFolder, number: float):
    stored = load_state(folder.checkpoint()).files["average"]
    name = next(name for name, tensor in stored.items() if tensor.is_floating_point())
    with_tensors(folder, "average", {name: torch.full_like(stored[name], number)})
    with pytest.raises(CheckpointError, match=r"generator of .* holds NaN or infinity") as caught:
        load_run(folder.path)
    one_line(caught.value)
