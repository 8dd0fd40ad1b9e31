"""Reconstruction: no discriminator, a latent for each picture, samples of the latents."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from graftgan.checkpoints import SourceCard, list_checkpoints, load_tensors, save_source
from graftgan.core.errors import GraftganError, PlanError, SettingsError
from graftgan.core.network_types import Generator, tensors_of, to_pictures
from graftgan.core.settings import parse, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import with_method
from graftgan.experiments.run_folder import load_run
from graftgan.experiments.run_page import write_run_report
from graftgan.models.adapters.adapter import load_adapter
from graftgan.networks.backbone import AffineMap, MappedGenerator
from graftgan.networks.sampling import generate
from graftgan.runs.build import Prepared, build_training, prepare
from graftgan.runs.run import run
from graftgan.training import Processes, StepContext, Training, TrainingSettings
from graftgan.training.procedures import PROCEDURES
from graftgan.training.procedures.reconstruction import gaussian_of
from tiny_networks import (
    CPU,
    assert_same_tensors,
    draw_pictures,
    everything_in,
    image_set,
    latents,
    tiny_architecture,
    tiny_pair,
    tiny_pictures,
)

METHODS = ("bsa", "glo")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("reconstruction")
    save_source(
        home / "tiny", tiny_pair(), SourceCard(name="tiny", architecture=tiny_architecture())
    )
    draw_pictures(home / "pictures", count=12, hue=1)
    return home


def experiment_of(home: Path, method: str = "bsa", **changes: Mapping[str, Any]) -> Experiment:
    """Return a short run of ``method`` without feature maps; ``changes`` are by section."""
    plain = Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        training=TrainingSettings(iterations=3, batch_size=4, log_every=1),
    )
    chosen = with_method(plain, method)
    sections = {"reconstruction": without_maps(), **changes}
    settled = {name: replace(getattr(chosen, name), **s) for name, s in sections.items()}
    return replace(chosen, **settled)


def without_maps(**changes: Any) -> dict[str, Any]:
    return {"perceptual_weight": 0.0, **changes}


def training_of(experiment: Experiment, processes: Processes | None = None) -> Training:
    return build_training(prepare(experiment, CPU), processes or Processes())


def map_of(generator: Generator) -> AffineMap:
    assert isinstance(generator, MappedGenerator)
    assert isinstance(generator.mapper, AffineMap)
    return generator.mapper


def learnt(training: Training) -> Tensor:
    return tensors_of(training.extra_modules["latents"])["weight"]


@pytest.mark.parametrize("method", METHODS)
def test_there_is_no_discriminator(method: str, home: Path):
    training = training_of(experiment_of(home, method))

    def forbidden(*_: object) -> None:
        raise AssertionError("the discriminator was asked")

    training.pair.discriminator.register_forward_pre_hook(forbidden)
    before = everything_in(training.pair)
    assert [update.name for update in training.updates] == ["generator"]
    training.run()
    after = everything_in(training.pair)
    kept = {name for name in before if name.startswith("discriminator.")}
    assert kept
    assert_same_tensors({n: before[n] for n in kept}, {n: after[n] for n in kept})
    moved = [name for name in before.keys() - kept if not torch.equal(before[name], after[name])]
    assert moved
    inputs = latents()[:, :3].new_zeros(1, 3, 32, 32)
    with pytest.raises(AssertionError, match="was asked"):
        training.pair.discriminator(inputs)


def test_bsa_moves_scales_and_shifts_alone_and_leaves_running_statistics(home: Path):
    training = training_of(experiment_of(home))
    before = everything_in(training.pair)
    training.run()
    after = everything_in(training.pair)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rsplit(".", 1)[-1] for name in moved} == {"gamma", "beta"}
    assert len(moved) == 2 * 4  # the layers of the tiny generator


def test_latents_start_at_zero_or_in_the_ball_and_stay_in_it(home: Path):
    training = training_of(experiment_of(home))
    assert learnt(training).shape == (12, 8)
    assert learnt(training).abs().max() == 0
    training.run()
    assert learnt(training).abs().amin(dim=1).min() > 0, "a picture's latent did not move"
    settings = without_maps(latent_radius=0.5, latent_rate=1.0)
    training = training_of(experiment_of(home, "glo", reconstruction=settings))
    start = learnt(training).clone()
    assert start.norm(dim=1).max() <= 0.5 + 1e-6
    assert start.std() > 0.05
    training.run()
    assert not torch.equal(start, learnt(training))
    assert learnt(training).norm(dim=1).max() <= 0.5 + 1e-6


def test_bsa_samples_around_zero_with_the_spread_asked_for(home: Path):
    training = training_of(experiment_of(home))
    training.run()
    assert training.average is not None
    for generator in (training.pair.generator, training.average.generator):
        assert torch.equal(map_of(generator).factor, 0.17 * torch.eye(8))
        assert map_of(generator).mean.abs().max() == 0


def test_glo_samples_from_the_gaussian_of_its_latents_exactly(home: Path):
    training = training_of(experiment_of(home, "glo"))
    starts = map_of(training.pair.generator).factor.clone()
    training.run()
    mean, factor = gaussian_of(learnt(training))
    assert not torch.equal(factor, starts)
    assert training.average is not None
    for generator in (training.pair.generator, training.average.generator):
        assert torch.equal(map_of(generator).mean, mean)
        assert torch.equal(map_of(generator).factor, factor)
        drawn = generator.mapper(latents(20_000))  # type: ignore[operator]
        torch.testing.assert_close(drawn.mean(0), mean, atol=0.05, rtol=0)
        torch.testing.assert_close(torch.cov(drawn.T), factor @ factor.T, atol=0.08, rtol=0)


def test_a_planted_change_of_scales_and_shifts_is_recovered(home: Path):
    experiment = experiment_of(
        home,
        reconstruction=without_maps(
            latent_noise=0.0, latent_prior_weight=0.0, modulation_prior_weight=0.0
        ),
        training={"iterations": 400, "batch_size": 6, "average_half_life_images": 0},
    )
    prepared = prepare(experiment, CPU)
    planted = tiny_pair().generator
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in planted.named_parameters():
            if name.endswith("norm.weight"):
                parameter.mul_(1 + 0.3 * torch.randn(parameter.shape, generator=rng))
            if name.endswith("norm.bias"):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))
    targets = generate(planted, 0.7 * latents(6))
    training = build_training(with_pictures(prepared, targets), Processes())
    first = pixels(training)
    training.run()
    assert pixels(training) < first / 10
    assert training.reconstruction_grid is not None
    sheet = training.reconstruction_grid(training.pair.generator)
    assert torch.equal(sheet[:6], targets)
    apart = (sheet[8:14].float() - targets.float()).abs().mean() / 127.5
    assert apart == pytest.approx(pixels(training), abs=0.01)


def with_pictures(prepared: Prepared, pictures: Tensor) -> Prepared:
    return replace(prepared, images=image_set(pictures))


def pixels(training: Training) -> float:
    update = training.updates[0]
    return update.losses(StepContext(update.name, 0, 0.0, training.randomness))["pixels"].item()


def test_a_mirrored_picture_has_a_latent_of_its_own(home: Path):
    prepared = prepare(experiment_of(home, augmentation={"flip": True}), CPU)
    pictures = tiny_pictures(5)
    training = build_training(with_pictures(prepared, pictures), Processes())
    assert learnt(training).shape == (10, 8)
    assert training.reconstruction_grid is not None
    shown = training.reconstruction_grid(training.pair.generator)
    assert torch.equal(shown[:8], torch.cat([pictures, pictures.flip(3)])[:8])


def test_processes_together_have_the_gradient_of_one(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Processes, "share", lambda *_: None)
    settings = without_maps(latent_noise=0.0, latent_prior_weight=0.0)
    experiment = experiment_of(home, reconstruction=settings)

    def gradients(processes: Processes) -> list[Tensor]:
        training = training_of(experiment, processes)
        update = training.updates[0]
        terms = update.losses(StepContext(update.name, 0, 0.0, training.randomness))
        torch.stack(list(terms.values())).sum().backward()
        found = [p.grad for p in update.parameters]
        return [g for g in found if g is not None]

    whole = gradients(Processes())
    halves = [gradients(Processes(rank=rank, count=2)) for rank in range(2)]
    assert len(whole) == len(halves[0]) == 2 * 4 + 1
    for one, a, b in zip(whole, *halves, strict=True):
        torch.testing.assert_close(one, (a + b) / 2, atol=1e-6, rtol=1e-4)
    assert (whole[-1].abs().sum(1) > 0).sum() == 4, "one latent for each picture of the batch"


def test_a_run_leaves_samples_reconstructions_and_an_adapter_without_discriminator(
    home: Path, tmp_path: Path
):
    folder = run(experiment_of(home), tmp_path / "run", device="cpu")
    sheets = sorted(p.name for p in (folder.path / "reconstructions").glob("*.png"))
    assert sheets == sorted(p.name for p in (folder.path / "samples").glob("*.png"))
    with Image.open(folder.path / "reconstructions" / sheets[-1]) as sheet:
        assert sheet.size == (8 * 32, 4 * 32)  # rows of 8 and of 4 pictures, each twice
    newest = list_checkpoints(folder.path)[-1]
    assert load_tensors(newest / "extra_modules.safetensors").keys() == {"latents.weight"}
    adapter = load_adapter(folder.path)
    assert not [name for name in adapter.tensors if name.startswith("discriminator.")]
    assert torch.equal(adapter.tensors["generator.mapper.factor"], 0.17 * torch.eye(8))
    page = write_run_report(folder.path).read_text(encoding="utf-8")
    assert "generator.pixels" in page
    assert "discriminator.loss" not in page
    assert "<dt>procedure</dt><dd>reconstruction</dd>" in page
    assert "<dt>objective</dt>" not in page
    kept = folder.experiment()
    assert parse(Experiment, tomllib.loads(to_toml(kept)), where="x") == kept
    assert torch.isfinite(load_run(folder.path).pair.generator(latents())).all()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"regularizers": {"l2_sp_generator": 1.0}}, SettingsError, "regularizers hold networks"),
        ({"augment": "light"}, SettingsError, "augment 'light' changes what a discriminator"),
        ({"optimization": {"r1_gamma": 1.0}}, SettingsError, "r1_gamma is a penalty"),
        ({"network": {"mapper": "miner"}}, SettingsError, "mapper = 'affine'"),
        ({"plan": "fine_tune"}, PlanError, r"does not train the discriminator.*D\(\*,0,0\)"),
        ({"plan": "D(*,0,0) G(*,0,0)"}, PlanError, "leaves the generator with nothing to train"),
        ({"reconstruction": {"perceptual_network": "vgg"}}, SettingsError, "no perceptual network"),
        ({"source": None, "method": None, "plan": None}, SettingsError, "add a source"),
    ],
)
def test_what_means_nothing_without_a_discriminator_is_refused(
    home: Path, tmp_path: Path, changes: dict[str, Any], error: type[GraftganError], words: str
):
    experiment = experiment_of(home)
    if "perceptual_network" in str(changes):
        experiment = experiment_of(home, reconstruction={"perceptual_weight": 1.0})
    settled = {
        key: replace(getattr(experiment, key), **value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    with pytest.raises(error, match=words):
        run(replace(experiment, **settled), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_adversarial_game_still_needs_a_discriminator_to_train(home: Path):
    plain = Experiment(
        pictures=home / "pictures", source=str(home / "tiny"), plan="D(*,0,0) G(0,0,*)"
    )
    with pytest.raises(PlanError, match="leaves the discriminator with nothing to train"):
        prepare(plain, CPU)
    assert PROCEDURES["reconstruction"].trained == {"generator"}


def test_the_sheet_shows_what_the_latents_give(home: Path):
    training = training_of(experiment_of(home))
    training.run()
    assert training.reconstruction_grid is not None
    generator = training.pair.generator
    assert isinstance(generator, MappedGenerator)
    sheet = training.reconstruction_grid(generator)
    assert len(sheet) == 32
    assert sheet[20:24].max() == sheet[28:].max() == 0, "the last row is not full"
    with torch.no_grad():
        expected = to_pictures(generator.inner.eval()(learnt(training)))
    difference = torch.cat([sheet[8:16], sheet[24:28]]).int() - expected.int()
    assert difference.abs().max() <= 1
