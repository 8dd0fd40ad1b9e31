"""Runs that are killed, interrupted or damaged at the wrong moment end as if they had not been."""

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_networks import save_brightness
from graftgan.checkpoints import list_checkpoints, load_state
from graftgan.core.errors import CheckpointError, RunError
from graftgan.core.files import held, read_jsonl, written_whole
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import RunState, ScoreLine, append_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.experiments.scored_pictures import list_scored, scored_file
from graftgan.metrics.settings import ScoringSettings
from graftgan.models.adapters.adapter import load_adapter
from graftgan.pictures import DataSettings
from graftgan.runs.recorder import Recorder
from graftgan.runs.run import Observer, resume, run
from graftgan.runs.scorer import MetricScorer
from graftgan.training import TrainingSettings
from tiny_networks import assert_same_tensors, draw_pictures, tiny_home


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


@pytest.fixture(autouse=True)
def _no_nohup() -> Iterator[None]:
    """Hear SIGHUP also where whoever runs the tests ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """A scored transfer of 6 iterations: scores at 0, 2, 4, 6; checkpoints at 3 and 6."""
    home = tiny_home(tmp_path / "home", pictures=4)
    scoring = ScoringSettings(score_every=2, score_count=12)
    network = replace(
        scoring.network,
        extractor=str(save_brightness(tmp_path)),
        extractor_side=8,
        extractor_pixels="minus_one_one",
        extractor_view="pixels",
    )
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=30, hue=1),
        source=str(home / "tiny"),
        data=DataSettings(held_out=0.3),
        training=TrainingSettings(
            iterations=6, batch_size=4, checkpoint_every=3, sample_every=4, log_every=1
        ),
        scoring=replace(scoring, network=network),
    )


def patient(experiment: Experiment) -> Experiment:
    scoring = replace(experiment.scoring, score_every=1, patience=2)
    return replace(
        experiment,
        scoring=scoring,
        training=replace(experiment.training, iterations=60, checkpoint_every=1),
    )


def assert_same_run(first: RunFolder, second: RunFolder) -> None:
    """Compare all that two runs leave, but times."""
    one, two = first.card(), second.card()
    for name in ("state", "message", "iteration", "best", "warning"):
        assert getattr(one, name) == getattr(two, name), name
    kept = [[path.name for path in list_checkpoints(folder.path)] for folder in (first, second)]
    assert kept[0] == kept[1]
    states = [load_state(folder.checkpoint()) for folder in (first, second)]
    for name, tensors in states[0].files.items():
        assert_same_tensors(tensors, states[1].files[name])
    for name in ("metrics.jsonl", "log.jsonl"):
        assert lines_of(first, name) == lines_of(second, name), name
    assert_same_tensors(load_adapter(first.path).tensors, load_adapter(second.path).tensors)
    for pattern in ("samples/*.png", "scored/*"):
        files = [sorted(f.path.glob(pattern)) for f in (first, second)]
        assert [p.name for p in files[0]] == [p.name for p in files[1]]
        assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    for folder in (first, second):
        page = (folder.path / "report.html").read_text(encoding="utf-8")
        assert one.state.value in page
        assert not list(folder.path.rglob(".*partial*"))


def lines_of(folder: RunFolder, name: str) -> list[dict[str, Any]]:
    times = {"seconds", "images_per_second"}
    lines = read_jsonl(folder.path / name)
    return [{k: v for k, v in line.items() if k not in times} for line in lines]


def killed_in(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(where, kill)


@pytest.mark.parametrize(
    "where",
    ["graftgan.runs.run.save_adapter", "graftgan.runs.run.write_run_report"],
    ids=["before the adapter", "before the page"],
)
@pytest.mark.parametrize("change", [lambda e: e, patient], ids=["finished", "stopped"])
def test_a_run_is_done_only_when_all_of_it_is_there(
    experiment: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    change: Callable[[Experiment], Experiment],
):
    straight = run(change(experiment), tmp_path / "straight", device="cpu")
    with monkeypatch.context() as patch:
        killed_in(where, patch)
        with pytest.raises(Killed):
            run(change(experiment), tmp_path / "broken", device="cpu")
    broken = RunFolder(tmp_path / "broken")
    assert broken.card().state == RunState.RUNNING
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


def test_a_run_that_its_scores_end_is_judged_again_after_a_kill(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    straight = run(patient(experiment), tmp_path / "straight", device="cpu")
    with monkeypatch.context() as patch:
        killed_in("graftgan.runs.recorder.Recorder.roll_back", patch)
        with pytest.raises(Killed):
            run(patient(experiment), tmp_path / "broken", device="cpu")
    broken = RunFolder(tmp_path / "broken")
    assert len(list_checkpoints(broken.path)) > len(list_checkpoints(straight.path))
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


def test_a_score_before_the_first_checkpoint_stands_once(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    with monkeypatch.context() as patch:
        killed_in("graftgan.runs.recorder.save_state", patch)
        with pytest.raises(Killed):
            run(experiment, tmp_path / "broken", device="cpu")
    broken = RunFolder(tmp_path / "broken")
    assert lines_of(broken, "metrics.jsonl")
    assert not list_checkpoints(broken.path)
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


@pytest.mark.parametrize("at", [0, 2, 6])
def test_pictures_are_kept_before_their_scores_are_written(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    assert list(list_scored(straight.path)) == [0, 2, 4, 6]

    def killed_at(path: Path, lines: Sequence[ScoreLine]) -> None:
        if lines[0].iteration == at:
            raise Killed
        append_scores(path, lines)

    with monkeypatch.context() as patch:
        patch.setattr("graftgan.runs.recorder.append_scores", killed_at)
        with pytest.raises(Killed):
            run(experiment, tmp_path / "broken", device="cpu")
    broken = RunFolder(tmp_path / "broken")
    assert max(list_scored(broken.path)) == at
    assert at not in [line["iteration"] for line in lines_of(broken, "metrics.jsonl")]
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


def test_kept_pictures_without_scores_go_when_a_run_is_resumed(
    experiment: Experiment, tmp_path: Path
):
    """As a killed run leaves them that was asked to be longer, or was quicker within its time."""
    straight = run(experiment, tmp_path / "straight", device="cpu")
    observer = SignalAt(2, signal.SIGTERM)
    broken = run(experiment, tmp_path / "broken", device="cpu", observer=observer)
    for iteration in (1, 4, 1000):
        scored_file(broken.path, iteration).write_bytes(b"left by a kill")
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


def test_pictures_that_cannot_be_kept_end_a_run_in_one_line(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, content: bytes) -> None:
        with written_whole(path) as partial:
            partial.write_bytes(content[:9])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("graftgan.runs.recorder.write_bytes", full)
        with pytest.raises(RunError, match=r"cannot write .*000000\.zip: No space .*free some"):
            run(experiment, tmp_path / "broken", device="cpu")
    broken = RunFolder(tmp_path / "broken")
    assert broken.card().state == RunState.FAILED
    assert not list_scored(broken.path)
    assert not lines_of(broken, "metrics.jsonl")
    resume(broken.path, device="cpu")
    assert_same_run(run(experiment, tmp_path / "straight", device="cpu"), broken)


def test_pictures_need_not_be_kept_and_a_resume_may_change_that(
    experiment: Experiment, tmp_path: Path
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    lean = replace(experiment, scoring=replace(experiment.scoring, keep_pictures=False))
    observer = SignalAt(2, signal.SIGTERM)
    folder = run(lean, tmp_path / "run", device="cpu", observer=observer)
    assert folder.card().iteration == 2
    assert not (folder.path / "scored").exists()
    resume(folder.path, device="cpu", keep_pictures=True)
    assert list(list_scored(folder.path)) == [4, 6]
    assert folder.experiment().scoring.keep_pictures
    for iteration, file in list_scored(folder.path).items():
        assert file.read_bytes() == scored_file(straight.path, iteration).read_bytes()
    assert lines_of(folder, "metrics.jsonl") == lines_of(straight, "metrics.jsonl")
    assert folder.card().settings_sha256 == straight.card().settings_sha256
    resume(folder.path, device="cpu", iterations=8, keep_pictures=False)
    assert list(list_scored(folder.path)) == [4, 6]
    resume(folder.path, device="cpu", iterations=10)
    assert list(list_scored(folder.path)) == [4, 6], "as before, where nothing is said"


def test_a_run_of_a_graftgan_without_kept_pictures_goes_on(experiment: Experiment, tmp_path: Path):
    observer = SignalAt(2, signal.SIGTERM)
    folder = run(experiment, tmp_path / "run", device="cpu", observer=observer)
    shutil.rmtree(folder.path / "scored")
    settings = folder.experiment_file.read_text(encoding="utf-8")
    older = settings.replace("keep_pictures = true\n", "")
    assert older != settings
    folder.experiment_file.write_text(older, encoding="utf-8")
    resume(folder.path, device="cpu")
    assert folder.card().state == RunState.FINISHED
    assert list(list_scored(folder.path)) == [4, 6]


@pytest.mark.parametrize("file", ["generator", "training"])
def test_a_damaged_checkpoint_is_refused_and_the_advice_works(
    experiment: Experiment, tmp_path: Path, file: str
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    broken = RunFolder(tmp_path / "broken")
    shutil.copytree(straight.path, broken.path)
    path = broken.checkpoint() / f"{file}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000:] = bytes(1000)
    path.write_bytes(bytes(content))
    before = {p: p.read_bytes() for p in broken.path.rglob("*") if p.is_file()}
    with pytest.raises(CheckpointError, match=r"is damaged.*remove the folder (\S+) to go on"):
        resume(broken.path, device="cpu")
    after = {p: p.read_bytes() for p in broken.path.rglob("*") if p.is_file()}
    assert after.pop(broken.path / ".lock")
    assert {p: b for p, b in before.items() if p.name != ".lock"} == after
    shutil.rmtree(broken.checkpoint())
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


def test_one_process_at_a_time_trains_in_a_folder(experiment: Experiment, tmp_path: Path):
    folder = run(experiment, tmp_path / "run", device="cpu")
    with held(folder.path), pytest.raises(RunError, match=rf"in use by process {os.getpid()} on"):
        resume(folder.path, device="cpu")

    class Second(Observer):
        """Starts the same run again while the first trains."""

        refused = ""

        def say(self, line: str) -> None:
            if not self.refused:
                with pytest.raises(RunError) as error:
                    resume(tmp_path / "new", device="cpu")
                Second.refused = str(error.value)

    run(experiment, tmp_path / "new", device="cpu", observer=Second())
    assert "in use by process" in Second.refused
    assert_same_run(folder, RunFolder(tmp_path / "new"))


def test_a_place_taken_meanwhile_is_left_alone(experiment: Experiment, tmp_path: Path):
    class Takes(Observer):
        """Puts a file where the run would go, after that place was found to be free."""

        def progress(self, what: str, done: int, total: int) -> None:
            (tmp_path / "run").mkdir(exist_ok=True)
            (tmp_path / "run" / "mine").write_text("mine")

    with pytest.raises(RunError, match="run is not empty; choose another folder with --out"):
        run(experiment, tmp_path / "run", device="cpu", observer=Takes())
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine"]


def test_a_file_is_no_place_for_a_run(experiment: Experiment, tmp_path: Path):
    (tmp_path / "thesis").write_text("years of work")
    with pytest.raises(RunError, match="thesis is a file, expected a folder"):
        run(experiment, tmp_path / "thesis", device="cpu")
    assert (tmp_path / "thesis").read_text() == "years of work"


def test_a_link_is_no_place_for_a_run(experiment: Experiment, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("link", "nowhere"):
        with pytest.raises(RunError, match=f"{name} is a link; give another place"):
            run(experiment, tmp_path / name, device="cpu")


class SignalAt(Observer):
    """Sends a signal while an iteration is scored, or after one."""

    def __init__(self, after: int, number: int) -> None:
        self.after, self.number = after, number
        self.answered: list[tuple[str, Path]] = []

    def scored(self, iteration: int, value: float) -> str:
        if iteration == self.after:
            os.kill(os.getpid(), self.number)
        return ""

    def stopping(self, signal: str, folder: Path) -> None:
        self.answered.append((signal, folder))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_an_interruption_leaves_no_trace_in_the_end(
    experiment: Experiment, tmp_path: Path, number: signal.Signals
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    observer = SignalAt(2, number)
    broken = run(experiment, tmp_path / "broken", device="cpu", observer=observer)
    card = broken.card()
    assert (card.state, card.message) == (RunState.INTERRUPTED, f"stopped by {number.name}")
    assert card.iteration == int(broken.checkpoint().name) == 2
    assert observer.answered == [(number.name, broken.path)]
    assert (broken.path / "samples" / "000002.png").is_file(), "the person sees where it stands"
    assert load_adapter(broken.path).note.iteration == 2
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


@pytest.mark.parametrize("at", [0, 2, 6])
def test_scores_that_a_signal_cut_short_are_made_up_for(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    score = MetricScorer.score

    def interrupted(self: MetricScorer, iteration: int, generated: Any) -> Any:
        if iteration == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return score(self, iteration, generated)

    with monkeypatch.context() as patch:
        patch.setattr(MetricScorer, "score", interrupted)
        broken = run(experiment, tmp_path / "broken", device="cpu")
    assert broken.card().state == RunState.INTERRUPTED
    assert int(broken.checkpoint().name) == at, "the state is saved all the same"
    assert at not in [line["iteration"] for line in lines_of(broken, "metrics.jsonl")]
    resume(broken.path, device="cpu")
    assert_same_run(straight, broken)


def test_the_state_is_saved_before_anything_else(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who sends the signal may kill soon after: what was trained must be on disk by then."""
    order: list[str] = []
    save, show = Recorder._save, Recorder._show

    def saves(self: Recorder, training: Any) -> None:
        order.append("save")
        save(self, training)

    def shows(self: Recorder, iteration: int, pictures: Any) -> None:
        order.append("show")
        show(self, iteration, pictures)

    monkeypatch.setattr(Recorder, "_save", saves)
    monkeypatch.setattr(Recorder, "_show", shows)

    class Signals(SignalAt):
        def scored(self, iteration: int, value: float) -> str:
            order.clear()
            return super().scored(iteration, value)

    run(experiment, tmp_path / "run", device="cpu", observer=Signals(2, signal.SIGTERM))
    assert order[0] == "save"
    assert "show" in order


def test_pictures_that_moved_can_be_named(experiment: Experiment, tmp_path: Path):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    observer = SignalAt(2, signal.SIGINT)
    broken = run(experiment, tmp_path / "broken", device="cpu", observer=observer)
    moved = tmp_path / "elsewhere" / "pictures"
    moved.parent.mkdir()
    experiment.pictures.rename(moved)
    other = draw_pictures(tmp_path / "other", count=30, hue=2)
    with pytest.raises(RunError, match=r"not those this run was started with.*--pictures"):
        resume(broken.path, pictures=other, device="cpu")
    resume(broken.path, pictures=moved, device="cpu")
    assert broken.experiment().pictures == moved
    assert_same_run(straight, broken)
    resume(broken.path, device="cpu")


def test_a_reference_that_changed_is_found(experiment: Experiment, tmp_path: Path):
    whole = draw_pictures(tmp_path / "whole", count=40, hue=1)
    scoring = replace(experiment.scoring, reference=whole)
    observer = SignalAt(2, signal.SIGINT)
    folder = run(
        replace(experiment, scoring=scoring), tmp_path / "run", device="cpu", observer=observer
    )
    moved = tmp_path / "moved"
    whole.rename(moved)
    draw_pictures(whole, count=40, hue=2)
    with pytest.raises(RunError, match=r"not those this run was scored against.*--reference"):
        resume(folder.path, device="cpu")
    resume(folder.path, reference=moved, device="cpu")
    assert folder.card().state == RunState.FINISHED
