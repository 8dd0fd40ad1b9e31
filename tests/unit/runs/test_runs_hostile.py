"""Run folders whose seals fit what somebody else put into them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graftgan.checkpoints import load_state, save_state
from graftgan.core.errors import CheckpointError, GraftganError, RunError
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import RunState
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.runs.resume import damaged_lines
from graftgan.runs.run import Observer, resume, run
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


@pytest.mark.parametrize(
    "name", ["samples", "scored", "checkpoints", "log.jsonl", "card.json", "report.html"]
)
def test_a_run_goes_on_only_in_its_own_folder(folder: RunFolder, tmp_path: Path, name: str):
    """A run folder from elsewhere could lead to files of its reader, which would be removed."""
    own, elsewhere = folder.path / name, tmp_path / "elsewhere"
    if own.exists():
        own.rename(elsewhere)
    else:
        elsewhere.mkdir()
    if elsewhere.is_dir():
        for other in ("000007.png", "000007.zip", ".2024.partial-here-1"):
            (elsewhere / other).write_text("precious")
    before = {p: p.stat().st_mtime_ns for p in (elsewhere, *elsewhere.rglob("*"))}
    own.symlink_to(elsewhere)
    with pytest.raises(RunError, match=f"{name} is a link, and a run goes on only in files"):
        resume(folder.path)
    assert {p: p.stat().st_mtime_ns for p in (elsewhere, *elsewhere.rglob("*"))} == before


def test_a_link_in_the_place_of_the_lock_is_left_alone(folder: RunFolder, tmp_path: Path):
    (tmp_path / "elsewhere").write_text("precious")
    (folder.path / ".lock").unlink(missing_ok=True)
    (folder.path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"cannot lock .*\.lock: it is a link"):
        resume(folder.path)
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_pictures_of_others_in_a_run_are_kept(folder: RunFolder):
    others = [folder.path / "samples" / name for name in ("2024.png", "best.png", "000009b.png")]
    scored = folder.path / "scored"
    scored.mkdir(exist_ok=True)
    for other in (*others, scored / "2024.zip"):
        other.write_bytes(b"precious")
    (folder.path / "samples" / "000009.png").write_bytes(b"of an iteration that is done again")
    resume(folder.path, iterations=2)
    assert all(other.read_bytes() == b"precious" for other in (*others, scored / "2024.zip"))
    assert not (folder.path / "samples" / "000009.png").exists()


def test_a_run_that_goes_on_elsewhere_says_so(folder: RunFolder):
    session = folder.card().session
    other = replace(session, hardware="cpu of another kind, 64 threads, float32", processes=2)
    folder.update_card(session=replace(other, versions={**session.versions, "torch": "2.0.0"}))
    resume(folder.path, iterations=2)
    (said,) = [line for line in folder.card().remarks if "goes on elsewhere" in line]
    for part in (
        "torch 2.0.0, now torch 2.",
        "64 threads, float32, now cpu ",
        "2 processes, now 1",
    ):
        assert part in said
    resume(folder.path, iterations=3)
    assert sum("goes on elsewhere" in line for line in folder.card().remarks) == 1


def test_settings_that_were_emptied_are_said_to_be_damaged(folder: RunFolder):
    folder.experiment_file.write_text("")
    for read in (load_run, resume):
        with pytest.raises(RunError, match=r"experiment\.toml is damaged: it is empty; restore it"):
            read(folder.path)


def test_pictures_that_changed_are_named(folder: RunFolder):
    pictures = folder.experiment().pictures
    names = sorted(path.name for path in pictures.iterdir())
    before = (pictures / names[0]).read_bytes()
    (pictures / names[0]).write_bytes((pictures / names[1]).read_bytes())
    with pytest.raises(RunError, match=rf"was started with: {names[0]} was changed; put them back"):
        resume(folder.path, iterations=2)
    (pictures / names[0]).write_bytes(before)
    (pictures / names[1]).rename(pictures / "other.png")
    changes = f"{names[1]} is missing, other.png was added"
    with pytest.raises(RunError, match=f"started with: {changes}; put them back"):
        resume(folder.path, iterations=2)
    (pictures / "other.png").rename(pictures / names[1])


def test_a_finished_run_says_how_to_train_on(folder: RunFolder):
    folder.update_card(state=RunState.FINISHED)
    heard: list[str] = []

    class Listener(Observer):
        def say(self, line: str) -> None:
            heard.append(line)

    resume(folder.path, observer=Listener())
    assert "it was finished at iteration 1; to train on, add --iterations 2" in heard
    resume(folder.path, iterations=3)
    with pytest.raises(RunError, match="more than 2; to train on, give more, such as --iterations"):
        resume(folder.path, iterations=2)


def test_damaged_lines_of_the_log_are_told(folder: RunFolder):
    log = folder.path / "log.jsonl"
    log.write_text("{damaged\n" + log.read_text())
    assert "damaged lines are left out (line 1 of log.jsonl" in damaged_lines(folder.path)
    resume(folder.path, iterations=2)
    assert any("to keep them, restore log.jsonl" in line for line in folder.card().remarks)


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
