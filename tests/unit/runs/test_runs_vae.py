"""Runs that begin with the decoder of a variational auto-encoder."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from graftgan.checkpoints import load_tensors
from graftgan.core.errors import GraftganError
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import RunFolder, load_run
from graftgan.experiments.scored_pictures import list_scored
from graftgan.models.sources import open_source
from graftgan.networks.backbone import BACKBONES
from graftgan.networks.sampling import generate
from graftgan.runs import run as composer
from graftgan.runs.resume import START
from graftgan.runs.run import Observer, resume, run
from graftgan.training import TrainingSettings, VAESettings
from graftgan.training.procedures.reconstruction import kl_to_standard_normal
from graftgan.transfer import TransferSettings
from tiny_networks import assert_same_tensors, draw_pictures, latents


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=12, hue=1),
        start="vae",
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        vae=VAESettings(vae_iterations=6),
        training=TrainingSettings(iterations=4, batch_size=4, checkpoint_every=1, log_every=1),
    )


def tensors(folder: RunFolder, name: str, iteration: int | None = None) -> dict[str, torch.Tensor]:
    return dict(load_tensors(folder.checkpoint(iteration) / f"{name}.safetensors"))


def test_the_divergence_is_that_of_two_gaussians():
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=rng)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    wanted = kl_divergence(posterior, prior).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), wanted)


# Sixty iterations of a StyleGAN3 take a minute.
@pytest.mark.parametrize("backbone", [n for n in BACKBONES if not n.startswith("stylegan3")])
def test_the_auto_encoder_learns(experiment: Experiment, tmp_path: Path, backbone: str):
    training = replace(experiment.training, iterations=60, batch_size=12, checkpoint_every=60)
    network = experiment.network
    if BACKBONES[backbone].style is not None:
        network = replace(network, style_size=8, mapping_layers=2, most_channels=8)
    alone = replace(experiment, start="fresh", procedure="vae", backbone=backbone, network=network)
    alone = replace(alone, training=training)
    folder = run(alone, tmp_path / "vae", device="cpu")
    log = read_jsonl(folder.path / "log.jsonl")
    first, last = log[0], log[-1]
    assert last["generator.reconstruction"] < 0.6 * first["generator.reconstruction"]
    assert last["generator.divergence"] > 0
    assert list((folder.path / "reconstructions").glob("*.png"))
    samples = generate(load_run(folder.path).pair.generator, latents(4, 8))
    assert samples.float().std() > 2, "all samples are one gray"


def test_the_generator_begins_as_the_decoder_bit_for_bit(experiment: Experiment, tmp_path: Path):
    # In its only iteration the discriminator warms up, and the generator stands still.
    still = replace(experiment.training, iterations=1, average_half_life_images=0)
    asked = replace(
        experiment, training=still, transfer=TransferSettings(generator_from=0.9), start="vae"
    )
    folder = run(asked, tmp_path / "run", device="cpu")
    vae = RunFolder(folder.path / START)
    weights = {n: t for n, t in tensors(vae, "generator").items() if "num_batches" not in n}
    ours = tensors(folder, "generator")
    learnt = [name for name in weights if "running_" not in name]
    assert_same_tensors({n: weights[n] for n in learnt}, {n: ours[n] for n in learnt})
    first = sorted((folder.path / "samples").glob("*.png"))[0]
    assert first.stem.strip("0") == ""
    decoder = open_source(str(vae.path)).pair.generator.eval()
    begun = load_run(vae.path).pair.generator.eval()
    assert torch.equal(decoder(latents()), begun(latents()))
    card = folder.card()
    assert card.start.iterations == 6
    assert card.start.images == 24
    assert 0 < card.start.seconds < card.seconds
    assert "0 fresh, 0 unexpected, 0 of another shape" in card.start.receipt
    assert "began as the decoder" in card.remarks[0]


class Stops(Observer):
    """Presses Ctrl-C in the run whose line says so."""

    def __init__(self, at: str) -> None:
        self._at = at

    def say(self, line: str) -> None:
        if line.startswith(self._at):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("stopped", ["iteration 3/6", "iteration 2/4"])
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(
    experiment: Experiment, tmp_path: Path, stopped: str
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    folder = run(experiment, tmp_path / "stopped", device="cpu", observer=Stops(stopped))
    card = folder.card()
    assert card.state == "interrupted"
    if stopped.endswith("6"):
        assert "while its auto-encoder was trained" in card.message
        assert card.iteration == 0
    resume(folder.path, device="cpu")
    assert folder.card().state == "finished"
    for name in ("generator", "discriminator", "average"):
        assert_same_tensors(tensors(straight, name), tensors(folder, name))


def test_the_start_matters_and_the_discriminator_is_fresh(experiment: Experiment, tmp_path: Path):
    short = replace(experiment, training=replace(experiment.training, iterations=1))
    begun = run(short, tmp_path / "vae", device="cpu")
    fresh = run(replace(short, start="fresh"), tmp_path / "fresh", device="cpu")
    assert not (fresh.path / START).exists()
    one, two = (tensors(f, "generator") for f in (begun, fresh))
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_the_auto_encoder_keeps_its_pictures_as_the_run_does(
    experiment: Experiment, tmp_path: Path
):
    for keeps in (True, False):
        scoring = replace(experiment.scoring, keep_pictures=keeps)
        folder = run(replace(experiment, scoring=scoring), tmp_path / str(keeps), device="cpu")
        for path in (folder.path, folder.path / START):
            assert bool(list_scored(path)) == keeps


def test_a_warm_up_lets_only_the_discriminator_learn(experiment: Experiment, tmp_path: Path):
    asked = replace(experiment, start="fresh", transfer=TransferSettings(generator_from=0.5))
    folder = run(asked, tmp_path / "run", device="cpu")
    at = {i: tensors(folder, "generator", i) for i in (3, 4)}
    log = read_jsonl(folder.path / "log.jsonl")
    assert ["generator.loss" in line for line in log] == [False, False, True, True]
    assert all("discriminator.loss" in line for line in log)
    assert not torch.equal(*(at[i]["blocks.layer1.conv.weight"] for i in (3, 4)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "avatars-64"}, "start vae is for runs without a source"),
        ({"procedure": "vae"}, "start vae is followed by adversarial training"),
        (
            {"procedure": "vae", "start": "fresh", "augment": "light"},
            "changes what a discriminator",
        ),
        ({"procedure": "codes", "start": "fresh"}, "cannot start from fresh weights"),
    ],
)
def test_what_does_not_fit_is_refused(
    experiment: Experiment, tmp_path: Path, changes: dict, says: str
):
    with pytest.raises(GraftganError, match=says):
        run(replace(experiment, **changes), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_signal_while_the_end_of_the_auto_encoder_is_written_stops_the_run_too(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    straight = run(experiment, tmp_path / "straight", device="cpu")
    report = composer.write_run_report

    def signalled(path: Path, **named: Any) -> Path:
        if path.name == START:
            os.kill(os.getpid(), signal.SIGTERM)
        return report(path, **named)

    with monkeypatch.context() as patch:
        patch.setattr(composer, "write_run_report", signalled)
        folder = run(experiment, tmp_path / "stopped", device="cpu")
    card = folder.card()
    assert (card.state, card.iteration) == ("interrupted", 0)
    assert card.message == "stopped by SIGTERM while its auto-encoder was trained"
    assert RunFolder(folder.path / START).card().state == "finished"
    resume(folder.path, device="cpu")
    for name in ("generator", "discriminator", "average"):
        assert_same_tensors(tensors(straight, name), tensors(folder, name))
