"""A transfer to classes owes what every one does: frozen stands, saved is kept, resume exact."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import SourceCard, list_checkpoints, load_tensors, save_source
from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import ADDED_LAYERS
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.models.adapters.bank import fold_adapter, with_adapter
from graftgan.models.sources import open_source, pack_run
from graftgan.networks.sampling import generate, latents_for
from graftgan.pictures import DataSettings
from graftgan.runs.build import build_training, prepare
from graftgan.runs.run import resume, run
from graftgan.training import Processes, StepContext, TrainingSettings, gradients_only_for
from graftgan.training.objectives import OBJECTIVES, OptimizationSettings
from graftgan.transfer import RegularizerSettings, TransferSettings
from tiny_networks import CPU, draw_pictures, tiny_architecture, tiny_pair

ITERATIONS = 4
CLASSES = ("blue", "red")
CASES = [
    *((name, "combined") for name in OBJECTIVES if not OBJECTIVES[name].needs_autoencoder),
    ("hinge", "D(*,0,0) G(*,0,0)"),
    ("hinge", "D[*=by_importance] G[*=by_importance]"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("classes")
    architecture = tiny_architecture(discriminator_normalisation="layer")  # wgan_gp takes it too
    save_source(
        home / "tiny", tiny_pair(architecture), SourceCard(name="tiny", architecture=architecture)
    )
    for hue, name in ((0, "red"), (2, "blue")):
        draw_pictures(home / "pictures" / name, count=8, hue=hue)
    return home


def experiment_of(home: Path, objective: str, plan: str) -> Experiment:
    return Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        objective=objective,
        plan=plan,
        data=DataSettings(labels="folders"),
        transfer=TransferSettings(probe_iterations=2, probe_samples=3),
        training=TrainingSettings(
            iterations=ITERATIONS, batch_size=4, checkpoint_every=2, log_every=1
        ),
    )


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def finished(request: pytest.FixtureRequest, home: Path) -> tuple[Experiment, RunFolder]:
    objective, plan = request.param
    experiment = experiment_of(home, objective, plan)
    number = CASES.index((objective, plan))
    return experiment, run(experiment, home / f"run-{number}", device="cpu")


def test_there_are_cases_to_hold_to_the_contract():
    assert {objective for objective, _ in CASES} >= {"gan", "hinge", "wgan", "wgan_gp"}


def test_at_iteration_0_every_class_is_the_source(home: Path):
    prepared = prepare(experiment_of(home, "hinge", "combined"), CPU)
    source = open_source(str(home / "tiny")).pair.generator
    wanted = generate(source, latents_for(source.architecture, 6, seed=4))
    for name in CLASSES:
        latents = latents_for(prepared.pair.architecture, 6, seed=4, of_class=name)
        assert torch.equal(generate(prepared.pair.generator, latents), wanted)


def test_gradients_reach_exactly_what_trains(finished: tuple[Experiment, RunFolder]):
    experiment, _ = finished
    prepared = prepare(experiment, CPU)
    training = build_training(prepared, Processes())
    for update in training.updates:
        layers = prepared.plan.trainable[update.name]
        assert ADDED_LAYERS & {layer.layer for layer in layers}
        trained = {id(p) for layer in layers for p in layer.parameters}
        with gradients_only_for(update.parameters, training.trainable):
            terms = update.losses(StepContext(update.name, 0, 0.0, training.randomness))
            torch.stack([t for n, t in terms.items() if not n.startswith("_")]).sum().backward()
        for role, network in training.pair.items():
            reached = {id(p) for p in network.parameters() if p.grad is not None}
            assert reached == (trained if role == update.name else set())
            network.zero_grad(set_to_none=True)


def test_what_is_frozen_stands_and_the_classes_part(
    finished: tuple[Experiment, RunFolder], home: Path
):
    experiment, folder = finished
    trained = load_run(folder.path)
    source = dict(open_source(str(home / "tiny")).pair.items())
    stood = 0
    for role, network in trained.pair.items():
        before = source[role].state_dict()
        for key, parameter in network.named_parameters():
            plain = key.replace(".parametrizations", "").removesuffix(".original")
            if not parameter.requires_grad:
                assert torch.equal(parameter, before[plain.removeprefix("inner.")]), key
                stood += 1
        (added,) = ADDED_LAYERS & set(network.layers())
        for parameter in network.layers()[added].parameters():
            assert parameter.requires_grad
            assert not torch.equal(parameter[0], parameter[1]), "both classes are still alike"
    assert stood >= (10 if experiment.plan == "D(*,0,0) G(*,0,0)" else 4)


def test_saved_packed_and_folded_it_draws_the_same_pictures(
    finished: tuple[Experiment, RunFolder], home: Path, tmp_path: Path
):
    _, folder = finished
    generator = load_run(folder.path).pair.generator
    assert generator.architecture.classes == CLASSES
    latents = latents_for(generator.architecture, 8, seed=0)
    pictures = generate(generator, latents)
    fold_adapter(folder.path, tmp_path / "folded")
    pack_run(folder.path, tmp_path / "packed", licence="CC0 1.0")
    for model in (folder.path, tmp_path / "folded", tmp_path / "packed"):
        opened = open_source(str(model))
        assert opened.card.architecture.classes == CLASSES
        difference = pictures.int() - generate(opened.pair.generator, latents).int()
        assert difference.abs().max() <= 1
    alone = with_adapter(str(home / "tiny"), [(folder.path, 1.0)]).generator
    assert (pictures.int() - generate(alone, latents).int()).abs().max() <= 1
    with pytest.raises(CheckpointError, match="classes is"):
        with_adapter(str(home / "tiny"), [(folder.path, 0.5)])
    by_class = pictures.split(4)
    again = generate(generator, latents_for(generator.architecture, 4, seed=0, of_class="blue"))
    assert torch.equal(again, by_class[0])


def test_a_resumed_run_equals_an_uninterrupted_one(
    finished: tuple[Experiment, RunFolder], tmp_path: Path
):
    _, whole = finished
    shutil.copytree(whole.path, tmp_path / "broken")
    broken = RunFolder(tmp_path / "broken")
    shutil.rmtree(list_checkpoints(broken.path)[-1])
    broken.update_card(state="running", iteration=ITERATIONS // 2)
    resume(broken.path, device="cpu")
    newest = [list_checkpoints(folder.path)[-1] for folder in (whole, broken)]
    assert newest[0].name == newest[1].name == f"{ITERATIONS:06d}"
    files = sorted(newest[0].glob("*.safetensors"))
    assert len(files) == 4
    for file in files:
        one, two = load_tensors(file), load_tensors(newest[1] / file.name)
        different = [key for key in one if not torch.equal(one[key], two[key])]
        assert not different, f"{file.name}: {different}"


def test_a_run_to_classes_is_a_source_for_the_same_classes(finished: tuple[Experiment, RunFolder]):
    experiment, folder = finished
    prepared = prepare(replace(experiment, source=str(folder.path)), CPU)
    before = open_source(str(folder.path)).pair.generator.layers()["classes"].state_dict()
    after = prepared.pair.generator.layers()["classes"].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    "regularizers",
    [{"l2_sp_discriminator": 0.1, "l2_sp_generator": 0.1}, {"feature_distillation": 1.0},
     {"ewc": 10.0, "ewc_samples": 3}],
    ids=lambda regularizers: next(iter(regularizers)),
)  # fmt: skip
def test_regularizers_hold_a_pair_with_classes(
    regularizers: dict[str, float], home: Path, tmp_path: Path
):
    plain = experiment_of(home, "hinge", "fine_tune")
    experiment = replace(plain, regularizers=RegularizerSettings(**regularizers))  # pyright: ignore[reportArgumentType]
    folder = run(experiment, tmp_path / "run", device="cpu")
    assert folder.card().state == "finished"


def test_a_network_trained_on_red_and_blue_draws_red_as_red_and_blue_as_blue(
    home: Path, tmp_path: Path
):
    experiment = Experiment(
        pictures=home / "pictures",
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        data=DataSettings(labels="folders"),
        optimization=OptimizationSettings(
            generator_learning_rate=2e-3, discriminator_learning_rate=2e-3
        ),
        training=TrainingSettings(iterations=200, batch_size=8),
    )
    folder = run(experiment, tmp_path / "run", device="cpu")
    generator = load_run(folder.path).pair.generator
    redness: dict[str, float] = {}
    for name in CLASSES:
        latents = latents_for(generator.architecture, 32, seed=1, of_class=name)
        mean = generate(generator, latents).float().mean(dim=(0, 2, 3))
        redness[name] = float(mean[0] - mean[2])
    assert redness["red"] - redness["blue"] > 20, redness  # 38 to 82 over three seeds
