"""Every named method: what is frozen stays, what trains gets gradients, and it is kept on disk."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from graftgan.checkpoints import list_checkpoints, load_tensors
from graftgan.core.errors import CheckpointError
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import METHODS, with_method
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.models.adapters.adapter import load_adapter, save_adapter_of_run
from graftgan.models.adapters.bank import fold_adapter
from graftgan.models.adapters.listing import ListedAdapter, list_adapters
from graftgan.models.sources import open_source
from graftgan.networks.sampling import generate, grid_latents, random_latents
from graftgan.reports import picture_grid
from graftgan.runs.build import build_training, prepare, with_procedure_cache
from graftgan.runs.run import resume, run
from graftgan.runs.scorer import begins_with_source
from graftgan.training import (
    CodeSettings,
    Processes,
    StepContext,
    TrainingSettings,
    gradients_only_for,
)
from graftgan.transfer import ACTIONS, TransferSettings, is_regularized
from tiny_networks import CPU, tiny_home

ITERATIONS = 4
REGULARIZED = [name for name in METHODS if name in {"l2_sp", "feature_distillation", "ewc"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_home(tmp_path_factory.mktemp("methods"), pictures=12)


def experiment_of(home: Path, name: str) -> Experiment:
    plain = Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        transfer=TransferSettings(lora_rank=3, lora_scale=0.5, probe_iterations=2, probe_samples=3),
        codes=CodeSettings(encoder_iterations=2),
        training=TrainingSettings(
            iterations=ITERATIONS, batch_size=4, checkpoint_every=2, log_every=1
        ),
    )
    chosen = with_method(plain, name)
    return replace(chosen, regularizers=replace(chosen.regularizers, ewc_samples=3))


@pytest.fixture(scope="module", params=list(METHODS))
def finished(request: pytest.FixtureRequest, home: Path) -> tuple[str, RunFolder]:
    """Return a method's name and a whole run of it."""
    name = str(request.param)
    return name, run(experiment_of(home, name), home / f"run-{name}", device="cpu")


def test_there_are_methods_to_hold_to_the_contract():
    expected = {"fine_tune", "freezed", "adafm_zhao", "combined", "mind2mind", "minegan", "scratch"}
    assert expected <= set(METHODS)
    assert set(REGULARIZED) == {"l2_sp", "feature_distillation", "ewc"}


def test_gradients_reach_exactly_what_trains(finished: tuple[str, RunFolder], home: Path):
    name, _ = finished
    prepared = with_procedure_cache(prepare(experiment_of(home, name), CPU))
    training = build_training(prepared, Processes())
    training.iteration = 1
    assert is_regularized(prepared.experiment.regularizers) == (name in REGULARIZED)
    trained = {
        role: {id(p) for layer in layers for p in layer.parameters}
        for role, layers in prepared.plan.trainable.items()
    }
    for update in training.updates:
        with gradients_only_for(update.parameters, training.trainable):
            terms = update.losses(StepContext(update.name, 0, 0.0, training.randomness))
            torch.stack([t for n, t in terms.items() if not n.startswith("_")]).sum().backward()
        for role, network in training.pair.items():
            reached = {id(p) for p in network.parameters() if p.grad is not None}
            assert reached == (trained[role] if role == update.name else set())
            network.zero_grad(set_to_none=True)


def test_iteration_0_counts_as_the_source_where_the_source_is_what_it_draws(
    finished: tuple[str, RunFolder], home: Path
):
    _, folder = finished
    source = open_source(str(home / "tiny")).pair.generator
    latents = grid_latents(source.architecture, columns=8, rows=8, seed=0)
    drawn = np.asarray(picture_grid(generate(source, latents), columns=8), dtype=float)
    with Image.open(folder.path / "samples" / "000000.png") as sheet:
        shown = np.asarray(sheet, dtype=float)
    assert begins_with_source(folder) == (np.abs(shown - drawn).max() <= 1)


def test_what_a_method_freezes_stays_the_sources_bit_for_bit(
    finished: tuple[str, RunFolder], home: Path
):
    _, folder = finished
    trained = load_run(folder.path)
    source = dict(open_source(str(home / "tiny")).pair.items())
    compared = moved = 0
    for role, network in trained.pair.items():
        before = source[role].state_dict()
        for key, parameter in network.named_parameters():
            plain = key.replace(".parametrizations", "").removesuffix(".original")
            plain = plain.removeprefix("inner.")  # of a generator that was put behind a mapper
            if not parameter.requires_grad:
                assert torch.equal(parameter, before[plain]), key
                compared += 1
            elif plain in before:
                moved += not torch.equal(parameter, before[plain])
    actions = {
        action
        for layers in trained.applied.decisions.values()
        for layer, action in layers.items()
        if layer != "mapper"  # the source has none
    }
    assert (compared == 0) == (actions <= {"fine_tune", "reset"})
    tunes = any(not ACTIONS[a].modulates and a != "freeze" for a in actions)
    assert bool(moved) == tunes


def test_saved_and_loaded_it_draws_the_same_pictures(
    finished: tuple[str, RunFolder], home: Path, tmp_path: Path
):
    _, folder = finished
    latents = random_latents(8, 8, seed=0)
    pictures = pictures_of(load_run(folder.path).pair.generator, latents)
    assert torch.equal(pictures, pictures_of(load_run(folder.path).pair.generator, latents))
    folded = open_source(str(folder.path)).pair.generator
    adapter = load_adapter(folder.path).note
    assert (adapter.lora_rank, adapter.lora_scale) == (3, 0.5)
    fold_adapter(folder.path, tmp_path / "folded")
    again = open_source(str(tmp_path / "folded")).pair.generator
    for other in (folded, again):
        difference = pictures.int() - pictures_of(other, latents).int()
        assert difference.abs().max() <= 1
    untouched = open_source(str(home / "tiny")).pair.generator
    assert not torch.equal(pictures, pictures_of(untouched, latents))


def test_the_adapter_of_any_checkpoint_can_be_saved(
    finished: tuple[str, RunFolder], tmp_path: Path
):
    _, folder = finished
    own = load_adapter(folder.path)
    newest, earlier = tmp_path / "newest.safetensors", tmp_path / "earlier.safetensors"
    save_adapter_of_run(folder.path, newest)
    save_adapter_of_run(folder.path, earlier, iteration=ITERATIONS // 2, half=True)
    again, before = load_adapter(newest), load_adapter(earlier)
    assert again.note == own.note
    assert all(torch.equal(again.tensors[name], own.tensors[name]) for name in own.tensors)
    assert (before.note.iteration, before.precision) == (ITERATIONS // 2, "float16")
    assert before.tensors.keys() == own.tensors.keys()
    (listed,) = list_adapters([newest]).values()
    assert isinstance(listed, ListedAdapter)
    assert listed.size.trainable == load_run(folder.path).applied.report.trainable
    assert listed.base_state == "here"


def pictures_of(generator: torch.nn.Module, latents: Tensor) -> Tensor:
    return generate(copy.deepcopy(generator), latents)


def test_settings_are_written_out_with_the_methods_name(finished: tuple[str, RunFolder]):
    name, folder = finished
    kept = folder.experiment()
    assert kept.method == name
    for dotted, value in METHODS[name].settings.items():
        found = kept
        for part in dotted.split("."):
            found = getattr(found, part)
        assert found == value


def test_a_resumed_run_equals_an_uninterrupted_one(finished: tuple[str, RunFolder], tmp_path: Path):
    name, whole = finished
    broken = broken_off(whole, tmp_path / "broken")
    assert (broken.path / "regularizers.safetensors").is_file() == (name in REGULARIZED)
    resume(broken.path, device="cpu")
    assert_same_state(whole, broken)
    for key in log_of(whole)[-1]:
        if key not in {"seconds", "images_per_second"}:
            assert log_of(whole)[-1][key] == log_of(broken)[-1][key], key
    named = [key for key in log_of(whole)[-1] if key.endswith(f".{name}")]
    assert bool(named) == (name in REGULARIZED)


def broken_off(whole: RunFolder, path: Path) -> RunFolder:
    """Return a copy of a run as a kill after its first checkpoint leaves it."""
    shutil.copytree(whole.path, path)
    shutil.rmtree(list_checkpoints(path)[-1])
    (path / "adapter.safetensors").unlink()
    folder = RunFolder(path)
    folder.update_card(state="running", iteration=ITERATIONS // 2)
    assert [p.name for p in list_checkpoints(path)] == ["000002"]
    return folder


def log_of(folder: RunFolder) -> list[dict[str, float]]:
    return read_jsonl(folder.path / "log.jsonl")


def assert_same_state(first: RunFolder, second: RunFolder) -> None:
    newest = [list_checkpoints(folder.path)[-1] for folder in (first, second)]
    assert newest[0].name == newest[1].name == f"{ITERATIONS:06d}"
    for file in sorted(newest[0].glob("*.safetensors")):
        one, two = load_tensors(file), load_tensors(newest[1] / file.name)
        assert one.keys() == two.keys()
        different = [key for key in one if not torch.equal(one[key], two[key])]
        assert not different, f"{file.name}: {different}"


@pytest.mark.parametrize("name", REGULARIZED)
def test_without_its_anchor_file_a_run_does_not_go_on(name: str, home: Path, tmp_path: Path):
    folder = run(experiment_of(home, name), tmp_path / "run", device="cpu")
    broken = broken_off(folder, tmp_path / "broken")
    (broken.path / "regularizers.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"regularizers\.safetensors.* put it back"):
        resume(broken.path, device="cpu")
    for checkpoint in list_checkpoints(broken.path):
        shutil.rmtree(checkpoint)
    with pytest.raises(CheckpointError, match=r"regularizers\.safetensors"):
        resume(broken.path, device="cpu")
    shutil.copy(folder.path / "regularizers.safetensors", broken.path)
    resume(broken.path, device="cpu")  # from the start, with what it remembered
    assert_same_state(folder, broken)
