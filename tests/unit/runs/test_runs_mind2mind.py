"""Mind2Mind: training plays on codes and never runs the decoder; the codes are made once."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graftgan.checkpoints import SourceCard, list_checkpoints, load_tensors, save_source
from graftgan.core.errors import CheckpointError, GraftganError
from graftgan.core.files import read_jsonl
from graftgan.core.network_types import Generator, Layers, draw_latents, in_turn, tensors_of
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import with_method
from graftgan.models.sources import open_source
from graftgan.networks.backbone import BACKBONES, build_pair
from graftgan.runs.build import Prepared, build_training, prepare, with_procedure_cache
from graftgan.runs.run import Observer, resume, run
from graftgan.training import CodeSettings, Processes, TrainingSettings
from graftgan.training.objectives import OptimizationSettings
from graftgan.training.procedures.codes import (
    CodedSource,
    Head,
    decoder_of,
    head_and_decoder,
    train_encoder,
    unexplained,
)
from tiny_networks import (
    CPU,
    assert_same_tensors,
    draw_pictures,
    latents,
    tiny_architecture,
    tiny_pair,
)

QUICK = CodeSettings(encoder_iterations=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("mind2mind")
    save_source(
        home / "tiny", tiny_pair(), SourceCard(name="tiny", architecture=tiny_architecture())
    )
    draw_pictures(home / "pictures", count=8, hue=1)
    return home


def mind2mind(home: Path, **changes: object) -> Experiment:
    length = TrainingSettings(iterations=4, batch_size=4, checkpoint_every=2, log_every=1)
    plain = Experiment(
        pictures=home / "pictures", source=str(home / "tiny"), training=length, codes=QUICK
    )
    return replace(with_method(plain, "mind2mind"), **changes)


def prepared_of(experiment: Experiment) -> Prepared:
    return with_procedure_cache(prepare(experiment, CPU))


@pytest.fixture(scope="module")
def whole(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(mind2mind(home), tmp_path_factory.mktemp("whole") / "run", device="cpu").path


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("name", ["none", "miner"])
def test_steps_one_after_the_other_are_the_network(backbone: str, name: str):
    pair = build_pair(tiny_architecture(backbone, mapper=name))
    names = list(pair.generator.layers())
    for _, network in pair.items():
        network.eval()
    assert list(pair.generator.steps()) == names
    pictures = pair.generator(latents())
    for border in range(1, len(names)):
        head = Head(pair.generator, names[:border])
        decoder = decoder_of(pair.generator, names[border:])
        assert torch.equal(decoder(head(latents())), pictures)
    features = in_turn(pair.discriminator.feature_steps(), pictures)
    rest = list(pair.discriminator.layers().values())[len(pair.discriminator.feature_steps()) :]
    for layer in rest:
        features = layer(features)
    if BACKBONES[backbone].autoencodes:
        features = -(features - pictures).abs().mean(dim=(1, 2, 3))
    assert torch.equal(features.flatten(), pair.discriminator(pictures))


def test_training_never_runs_the_decoder_nor_the_discriminator(home: Path):
    prepared = prepared_of(mind2mind(home))
    training = build_training(prepared, Processes())
    head, decoder = head_and_decoder(prepared.plan.decisions["generator"])
    assert (head, decoder) == (["layer1", "layer2"], ["layer3", "layer4"])
    calls: list[str] = []
    for role, network in training.pair.items():
        for name, layer in network.layers().items():
            layer.register_forward_hook(lambda *_, called=f"{role} {name}": calls.append(called))
    before = tensors_of(open_source(str(home / "tiny")).pair.discriminator)
    started = {name: t.clone() for name, t in tensors_of(training.pair.generator).items()}
    training.run()
    critic_turns, head_turns = 4 * 5, 4
    assert sorted(set(calls)) == ["generator layer1", "generator layer2"]
    assert calls.count("generator layer1") == critic_turns + head_turns
    assert_same_tensors(before, tensors_of(training.pair.discriminator))
    for name, tensor in tensors_of(training.pair.generator).items():
        in_head = name.startswith(("blocks.layer1", "blocks.layer2"))
        assert torch.equal(tensor, started[name]) != in_head, name


def test_codes_are_made_once_and_a_killed_run_goes_on_exactly(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def never(*given: object, **named: object) -> None:
        raise AssertionError("the encoder is trained again")

    monkeypatch.setattr("graftgan.training.procedures.codes.train_encoder", never)
    for kept in (1, 0):  # killed after its first checkpoint, and before
        broken = tmp_path / f"broken{kept}"
        shutil.copytree(whole, broken)
        for checkpoint in list_checkpoints(broken)[kept:]:
            shutil.rmtree(checkpoint)
        resume(broken, device="cpu")
        assert_same_run(whole, broken)
    (broken / "procedure.safetensors").unlink()
    shutil.rmtree(list_checkpoints(broken)[-1])
    with pytest.raises(CheckpointError, match=r"procedure\.safetensors"):
        resume(broken, device="cpu")


def assert_same_run(first: Path, second: Path) -> None:
    newest = [list_checkpoints(path)[-1] for path in (first, second)]
    files = sorted(newest[0].glob("*.safetensors"))
    assert {"extra_modules", "generator", "training"} <= {file.stem for file in files}
    for file in files:
        assert_same_tensors(load_tensors(file), load_tensors(newest[1] / file.name))


def test_a_person_is_told_what_the_encoder_costs_and_loses(home: Path, tmp_path: Path, whole: Path):
    class Listening(Observer):
        heard: list[tuple[str, int, int]]

        def progress(self, what: str, done: int, total: int) -> None:
            self.heard.append((what, done, total))

    observer = Listening()
    observer.heard = []
    folder = run(mind2mind(home), tmp_path / "run", device="cpu", observer=observer)
    assert observer.heard[-1] == ("training the encoder", 3, 3)
    remarks = folder.card().remarks
    assert "lose" in remarks[0]
    assert "outside what the decoder can draw" in remarks[1]
    memory = load_tensors(folder.path / "procedure.safetensors")
    assert memory["codes"].shape == (8, 8, 8, 8)
    assert memory["codes"].min() >= 0, "the source's codes have passed a ReLU"
    assert read_jsonl(folder.path / "log.jsonl")[0]["seconds"] > float(memory["seconds"])
    log = read_jsonl(folder.path / "log.jsonl")[-1]
    assert {"critic.gradient_penalty", "critic.drift", "generator.loss"} <= log.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": "D(0,0,*) G(*,0,2)"}, r"D\(\*,0,0\)"),
        ({"plan": "D(*,0,0) G(0,0,*)"}, r"D\(\*,0,0\)"),
        ({"plan": "D(*,0,0) G(*,0,0)"}, "leaves the generator with nothing to train"),
        ({"augment": "light"}, "--augment must be none"),
        ({"objective": "wgan", "optimization": OptimizationSettings()}, "take --objective wgan_gp"),
    ],
)
def test_what_means_nothing_for_codes_is_refused(
    home: Path, changes: dict[str, object], message: str
):
    with pytest.raises(GraftganError, match=message):
        prepare(mind2mind(home, **changes), CPU)


def test_the_head_may_start_anew_or_be_a_miner_alone(home: Path):
    plan = "D(*,0,0) G[layer1-2=reset, *=freeze]"
    anew = prepared_of(mind2mind(home, plan=plan))
    same = prepared_of(mind2mind(home))
    assert torch.equal(anew.procedure_cache["codes"], same.procedure_cache["codes"]), (
        "of the source's head"
    )
    mined = mind2mind(home, plan="D(*,0,0) G(*,0,0)")
    mined = replace(mined, network=replace(mined.network, mapper="miner"))
    prepared = prepared_of(mined)
    assert prepared.procedure_cache["codes"].shape == (8, 8)
    build_training(prepared, Processes()).run()


class LinearDecoder(Generator):
    """Codes are the latents; the decoder is one fixed matrix, which can be inverted."""

    def __init__(self) -> None:
        super().__init__()
        self.architecture = tiny_architecture("mlp", resolution=2, channels=1, latent_size=4)
        self.blocks = nn.ModuleDict({"layer1": nn.Linear(4, 4), "layer2": nn.Linear(4, 4)})
        with torch.no_grad():
            for name, slant in (("layer1", 0.0), ("layer2", 0.5)):
                linear = self.blocks[name]
                linear.weight.copy_(torch.eye(4) + slant * torch.ones(4, 4).triu(1))
                linear.bias.zero_()

    def layers(self) -> Layers:
        return dict(self.blocks.items())

    def steps(self) -> dict[str, Callable[[Tensor], Tensor]]:
        last = self.blocks["layer2"]
        return {**self.layers(), "layer2": lambda codes: last(codes).view(-1, 1, 2, 2)}


def test_the_encoder_finds_known_codes():
    generator = LinearDecoder().requires_grad_(False)
    source = CodedSource(
        Head(generator, ["layer1"]), decoder_of(generator, ["layer2"]), torch.device("cpu")
    )
    critic = tiny_pair(generator.architecture).discriminator
    encoder = train_encoder(
        source,
        critic,
        CodeSettings(encoder_iterations=200, encoder_learning_rate=2e-2),
        batch_size=64,
        seed=0,
        progress=lambda done, total: None,
    )
    codes, images = source.sample(200, torch.Generator().manual_seed(9))
    with torch.no_grad():
        assert unexplained(encoder.encode(images), codes) < 0.1
        assert unexplained(source.decoder(encoder.encode(images)), images) < 0.1
    assert unexplained(codes.mean(0, keepdim=True).expand_as(codes), codes) == pytest.approx(1.0)


def test_the_head_learns_where_planted_codes_lie(home: Path):
    """Codes from a Gaussian far from the source's, one coordinate further than the others."""
    mined = mind2mind(
        home,
        plan="D(*,0,0) G(*,0,0)",
        training=TrainingSettings(iterations=60, batch_size=32),
        optimization=OptimizationSettings(
            generator_learning_rate=1e-2, discriminator_learning_rate=1e-2, beta2=0.5
        ),
    )
    mined = replace(mined, network=replace(mined.network, mapper="miner"))
    planted = torch.tensor([2.0, -1.0, 0, 0, 0, 0, 0, 0])
    rng = torch.Generator().manual_seed(0)
    prepared = prepared_of(mined)
    codes = planted + draw_latents(8, 8, rng) * 0.1
    memory = {**prepared.procedure_cache, "codes": codes}
    training = build_training(replace(prepared, procedure_cache=memory), Processes())
    training.run()
    miner = training.pair.generator.layers()["mapper"]
    with torch.no_grad():
        found = miner(draw_latents(500, 8, rng)).mean(dim=0)
    assert (found - planted).norm() < 0.6 < planted.norm()
