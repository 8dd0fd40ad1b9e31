"""Runs with a probe before them: what is shown, what is kept, and what a resume finds again."""

import io
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graftgan.checkpoints import list_checkpoints, load_tensors
from graftgan.cli.terminal import ScreenObserver
from graftgan.core.errors import CheckpointError
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import with_method
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.models.adapters.adapter import load_adapter, save_adapter
from graftgan.models.adapters.bank import fold_adapter
from graftgan.runs.build import prepare
from graftgan.runs.run import resume, run
from graftgan.training import TrainingSettings
from graftgan.transfer import TransferSettings
from tiny_networks import CPU, assert_same_tensors, tiny_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_home(tmp_path_factory.mktemp("probe"), pictures=6)


def experiment_of(home: Path, method: str) -> Experiment:
    plain = Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        transfer=TransferSettings(probe_iterations=2, probe_samples=3),
        training=TrainingSettings(iterations=2, batch_size=4),
    )
    chosen = with_method(plain, method)
    return replace(chosen, regularizers=replace(chosen.regularizers, ewc_samples=3))


@pytest.fixture(scope="module")
def finished(home: Path) -> RunFolder:
    return run(experiment_of(home, "adam"), home / "run", device="cpu")


def newest(folder: RunFolder) -> Mapping[str, Tensor]:
    files = sorted(list_checkpoints(folder.path)[-1].glob("*.safetensors"))
    assert len(files) == 4
    return {f"{f.stem}/{name}": t for f in files for name, t in load_tensors(f).items()}


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("ewc", {"measuring what matters": 3}),
        (
            "adam",
            {
                "probing": 2,
                "measuring the discriminator's filters": 3,
                "measuring the generator's filters": 3,
            },
        ),
        ("fine_tune", {}),
    ],
)
def test_work_before_a_run_says_how_far_it_is(home: Path, method: str, wanted: dict[str, int]):
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(what: str, done: int, total: int) -> None:
        seen.setdefault(what, []).append((done, total))

    prepare(experiment_of(home, method), CPU, progress=progress)
    seen.pop("reading pictures", None)  # not shown where they come from the cache
    assert seen == {w: [(i, n) for i in range(1, n + 1)] for w, n in wanted.items()}


def test_a_check_alone_does_not_probe(home: Path):
    seen: set[str] = set()
    prepare(
        experiment_of(home, "adam"),
        CPU,
        only_check=True,
        progress=lambda what, done, total: seen.add(what),
    )
    assert not {what for what in seen if "prob" in what}


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_on_a_terminal_and_a_line_elsewhere(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
):
    screen, lines = io.StringIO(), []
    screen.isatty = lambda: terminal
    now = [100.0]
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("graftgan.cli.terminal.time.monotonic", lambda: now[0])
    observer = ScreenObserver()
    observer.say = lines.append
    for done in range(1, 61):
        now[0] += 1.0
        observer.progress("probing", done, 60)
    assert lines == ([] if terminal else ["probing: 20/60", "probing: 40/60", "probing: 60/60"])
    shown = screen.getvalue()
    assert shown.endswith("probing: 60/60\n") == terminal
    assert (shown.count("\r") == 59) == terminal


def test_the_adapter_holds_what_trains_and_which_filters_it_is(finished: RunFolder):
    trained = load_run(finished.path)
    adapter = load_adapter(finished.path)
    filters = {n for n in adapter.tensors if n.endswith((".modulated", ".tuned"))}
    buffers = {n for n in adapter.tensors if ".norm." in n}
    numbers = {n: t for n, t in adapter.tensors.items() if n not in filters | buffers}
    assert filters
    assert sum(t.numel() for t in numbers.values()) == trained.applied.report.trainable
    assert trained.applied.report.trainable < 0.8 * trained.applied.report.parameters


def test_an_adapter_without_its_filters_is_refused(finished: RunFolder, tmp_path: Path):
    adapter = load_adapter(finished.path)
    kept = {n: t for n, t in adapter.tensors.items() if not n.endswith((".modulated", ".tuned"))}
    save_adapter(replace(adapter, tensors=kept), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="which filters"):
        fold_adapter(tmp_path / "a.safetensors", tmp_path / "folded")


def test_without_a_checkpoint_a_run_probes_again_and_finds_the_same(
    finished: RunFolder, tmp_path: Path
):
    broken = RunFolder(tmp_path / "broken")
    shutil.copytree(finished.path, broken.path)
    for checkpoint in list_checkpoints(broken.path):
        shutil.rmtree(checkpoint)
    broken.update_card(state="running", iteration=0)
    resume(broken.path, device="cpu")
    assert_same_tensors(newest(finished), newest(broken))


def test_with_a_checkpoint_nothing_is_probed(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    longer = RunFolder(tmp_path / "longer")
    shutil.copytree(finished.path, longer.path)
    monkeypatch.setattr("graftgan.runs.build.probed_filters", None)
    resume(longer.path, iterations=3, device="cpu")
    before, after = newest(finished), newest(longer)
    names = [n for n in before if n.endswith((".modulated", ".tuned"))]
    assert names
    assert all(torch.equal(before[n], after[n]) for n in names)
    assert any(not torch.equal(before[n], after[n]) for n in before if n.endswith(".kernels"))
