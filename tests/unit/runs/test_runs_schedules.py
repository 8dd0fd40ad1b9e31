"""A plan that changes while a run goes on."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graftgan.checkpoints import load_state
from graftgan.core.errors import GraftganError
from graftgan.core.network_types import tensors_of
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.models.adapters.adapter import load_adapter, put_on
from graftgan.models.sources import open_source
from graftgan.networks.sampling import generate, random_latents
from graftgan.runs.run import Observer, resume, run
from graftgan.training import TrainingSettings
from graftgan.transfer import RegularizerSettings, fold
from tiny_networks import draw_pictures, tiny_home

SCHEDULES = [
    "combined > fine_tune@0.5",
    "adafm > D(1,1,*) G(1,1,*)@0.25 > fine_tune@0.5",
    "fine_tune > adafm@0.5",
    "freeze >> fine_tune@0.25-0.75",
    "lora > combined@0.5",
]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Eight iterations with a checkpoint after each."""
    place = tmp_path_factory.mktemp("schedules")
    return Experiment(
        pictures=draw_pictures(place / "pictures", count=8, hue=1),
        source=str(tiny_home(place / "home", pictures=4) / "tiny"),
        training=TrainingSettings(
            iterations=8, batch_size=4, checkpoint_every=1, log_every=1, keep_checkpoints=99
        ),
    )


def trained(experiment: Experiment, plan: str, path: Path) -> Path:
    return run(replace(experiment, plan=plan), path, device="cpu").path


def files_of(path: Path, iteration: int) -> dict[str, Tensor]:
    state = load_state(RunFolder(path).checkpoint(iteration))
    return {f"{file}/{name}": t for file, own in state.files.items() for name, t in own.items()}


def weights_of(path: Path, iteration: int) -> dict[str, Tensor]:
    """Return all weights of both networks as plain ones."""
    pair = fold(load_run(path, iteration=iteration).pair)
    return {f"{r}/{name}": t for r, net in pair.items() for name, t in tensors_of(net).items()}


def assert_equal(first: dict[str, Tensor], again: dict[str, Tensor]) -> None:
    assert first.keys() == again.keys()
    assert [name for name in first if not torch.equal(first[name], again[name])] == []


@pytest.fixture(scope="module", params=SCHEDULES)
def whole(
    request: pytest.FixtureRequest, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return trained(experiment, request.param, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("at", [1, 4, 5])
def test_a_killed_run_goes_on_as_if_it_was_never_stopped(whole: Path, tmp_path: Path, at: int):
    parts = Path(shutil.copytree(whole, tmp_path / "parts"))
    for checkpoint in (parts / "checkpoints").iterdir():
        if int(checkpoint.name) > at:
            shutil.rmtree(checkpoint)
    resume(parts, device="cpu")
    assert_equal(files_of(whole, 8), files_of(parts, 8))
    for name in ("adapter.safetensors", "samples/000008.png"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_the_adapter_draws_what_the_run_draws(whole: Path):
    source = open_source(str(RunFolder(whole).experiment().source))
    adapter = load_adapter(whole)
    made = put_on(adapter, copy.deepcopy(source.pair), source.card.fingerprints)
    latents = random_latents(8, source.card.architecture.latent_size, seed=3)
    expected = generate(fold(load_run(whole).pair).generator, latents)
    apart = (generate(made.generator, latents).int() - expected.int()).abs().max()
    assert apart <= 1, "folding rounds"


def test_frozen_layers_are_those_of_the_source_until_they_are_let_go(
    experiment: Experiment, tmp_path: Path
):
    path = trained(experiment, "D(1,0,*) G(1,0,*) > fine_tune@0.5", tmp_path / "run")
    source = open_source(str(experiment.source)).pair
    frozen = [
        f"{role}/{name}"
        for role, net in source.items()
        for layer in [list(net.layers())[0 if role == "discriminator" else -1]]
        for name, p in net.named_parameters()
        if any(p is own for own in net.layers()[layer].parameters())
    ]
    first = {f"{r}/{n}": t for r, net in source.items() for n, t in tensors_of(net).items()}
    kept, let_go = weights_of(path, 4), weights_of(path, 8)
    live = files_of(path, 8)
    assert frozen
    for name in frozen:
        assert torch.equal(kept[name], first[name])
        assert not torch.equal(live[name], first[name])
        assert not torch.equal(let_go[name], first[name])


def test_a_step_to_the_same_plan_changes_nothing(experiment: Experiment, tmp_path: Path):
    for plan in ("fine_tune", "combined"):
        plain = trained(experiment, plan, tmp_path / plan)
        stepped = trained(experiment, f"{plan} > {plan}@0.5", tmp_path / f"{plan}-again")
        assert_equal(files_of(plain, 8), files_of(stepped, 8))


def test_optimizer_states_of_what_goes_on_are_kept(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, "combined > fine_tune@0.5", tmp_path / "run")
    steps = {
        name: int(tensor)
        for name, tensor in files_of(path, 8).items()
        if name.startswith("training/") and name.endswith(".step")
    }
    assert set(steps.values()) == {4, 8}


def test_a_longer_run_keeps_its_last_plan(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, "combined > fine_tune@0.5", tmp_path / "run")
    resume(path, iterations=17, device="cpu")
    assert load_state(RunFolder(path).checkpoint(9)).card.step == 1


def test_a_run_tells_of_its_steps(experiment: Experiment, tmp_path: Path):
    class Listener(Observer):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    heard = Listener()
    schedule = replace(experiment, plan="combined > fine_tune@0.5")
    path = run(schedule, tmp_path / "run", device="cpu", observer=heard).path
    assert "iteration 4: the plan is now D(0,0,4) G(0,0,4)" in heard.lines
    assert "&gt; D(0,0,*) G(0,0,*)@0.5" in (path / "report.html").read_text()
    logged = (path / "log.jsonl").read_text().splitlines()
    assert len(logged) == 8


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plan": "combined > scratch@0.5"}, "cannot become reset while a run goes on"),
        ({"plan": "combined > D[*=by_importance] G[*=by_importance]@0.5"}, "by_importance while"),
        ({"plan": "combined > D(9,9,9) G(*,0,0)@0.5"}, "covers 27 layers"),
        ({"plan": "combined > D(*,0,0) G(*,0,0)@0.5"}, "nothing to train"),
        (
            {"regularizers": RegularizerSettings(l2_sp_generator=0.1)},
            "a regularizer holds what trains from the start",
        ),
        ({"procedure": "reconstruction"}, "takes one plan, not a schedule"),
    ],
)
def test_what_a_schedule_cannot_do_is_refused_before_anything(
    experiment: Experiment, tmp_path: Path, changes: dict[str, object], says: str
):
    given = {"plan": "combined > fine_tune@0.5", **changes}
    with pytest.raises(GraftganError, match=says):
        run(replace(experiment, **given), tmp_path / "run", device="cpu")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
