"""Runs under ADA: saved, resumed, logged, refused where the signs of scores mean nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from graftgan.checkpoints import load_tensors
from graftgan.core.errors import SettingsError
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import RunFolder
from graftgan.runs.run import resume, run
from graftgan.training import TrainingSettings
from graftgan.training.augment import AugmentationSettings
from graftgan.training.objectives import OBJECTIVES, OptimizationSettings
from graftgan.training.procedures.reconstruction import meaningless_alone
from tiny_networks import (
    assert_same_tensors,
    draw_pictures,
    everything_in,
    tiny_architecture,
    tiny_run,
)


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=12, hue=1),
        augment="ada",
        # every score is above this target, so that the probability moves up
        augmentation=AugmentationSettings(adaptive_target=-1.0, adaptive_images=64),
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        training=TrainingSettings(
            iterations=12, batch_size=4, checkpoint_every=6, sample_every=6, log_every=1
        ),
    )


def test_the_probability_survives_a_resume_between_two_moves(
    experiment: Experiment, tmp_path: Path
):
    shorter = replace(experiment.training, iterations=6)
    straight = run(experiment, tmp_path / "straight", device="cpu")
    stopped = run(replace(experiment, training=shorter), tmp_path / "stopped", device="cpu")
    kept = load_tensors(stopped.checkpoint() / "extra_modules.safetensors")
    assert float(kept["augmentation.probability"]) == pytest.approx(0.25)
    assert int(kept["augmentation.turns"]) == 2
    assert float(kept["augmentation.signs"]) != 0
    resume(stopped.path, iterations=12, device="cpu")
    for name in ("extra_modules", "generator", "discriminator", "average"):
        ends = [load_tensors(f.checkpoint() / f"{name}.safetensors") for f in (straight, stopped)]
        assert_same_tensors(*ends)
    logged = [
        line["discriminator.augmentation_probability"]
        for line in read_jsonl(straight.path / "log.jsonl")
    ]
    assert logged == pytest.approx([0.0] * 4 + [0.25] * 4 + [0.5] * 4, abs=1e-4)
    assert logged == [
        line["discriminator.augmentation_probability"]
        for line in read_jsonl(stopped.path / "log.jsonl")
    ]


def test_all_that_a_stylegan_keeps_survives_a_resume(experiment: Experiment, tmp_path: Path):
    """Stopped where neither lazy penalty is due next, and the probability has turns to go."""
    styled = replace(
        experiment,
        backbone="stylegan2",
        network=NetworkSettings(
            resolution=16, width=4, latent_size=8, style_size=8, mapping_layers=2, most_channels=8
        ),
        optimization=OptimizationSettings(r1_every=2, path_length_every=2),
        training=replace(experiment.training, iterations=8, checkpoint_every=5),
    )
    straight = run(styled, tmp_path / "straight", device="cpu")
    shorter = replace(styled, training=replace(styled.training, iterations=5))
    stopped = run(shorter, tmp_path / "stopped", device="cpu")
    kept = load_tensors(stopped.checkpoint() / "extra_modules.safetensors")
    assert kept["path_length.mean_length"] > 0
    assert int(kept["augmentation.turns"]) == 1
    resume(stopped.path, iterations=8, device="cpu")
    for name in ("extra_modules", "generator", "discriminator", "average", "training"):
        ends = [load_tensors(f.checkpoint() / f"{name}.safetensors") for f in (straight, stopped)]
        assert_same_tensors(*ends)
    lines = read_jsonl(straight.path / "log.jsonl")
    assert any("generator.path_length" in line for line in lines)
    assert any("discriminator.r1" in line for line in lines)


def test_a_run_writes_out_the_speed_that_it_took(experiment: Experiment, tmp_path: Path):
    usual = replace(experiment, augmentation=AugmentationSettings())
    short = replace(usual, training=replace(experiment.training, iterations=1))
    written = RunFolder(run(short, tmp_path / "run", device="cpu").path).experiment().augmentation
    assert (written.probability, written.fade_out) == (0.0, 0.0)
    assert (written.adaptive_target, written.adaptive_images) == (0.6, 500_000)


def test_a_transfer_adapts_five_times_as_fast():
    transfer = Experiment(pictures=Path("p"), source="s", augment="ada")
    resolved = transfer.resolved(tiny_architecture(), bfloat16=False)
    assert resolved.augmentation.adaptive_images == 100_000
    asked = replace(transfer, augmentation=AugmentationSettings(adaptive_images=7))
    assert asked.usual_augmentation().adaptive_images == 7


def test_the_probability_moves_while_the_generator_waits():
    """The generator begins late, so that in the first turns only the discriminator trains."""
    training = tiny_run(
        plan="fine_tune",
        augment="ada",
        augmentation={"adaptive_target": -1.0, "adaptive_images": 64},
        transfer={"generator_from": 0.9},
        iterations=5,
    ).training
    before = everything_in(training.pair)
    training.run()
    assert training.extra_modules["augmentation"].probability.item() == pytest.approx(0.25)
    after = everything_in(training.pair)
    assert before["generator.blocks.layer1.conv.weight"].equal(
        after["generator.blocks.layer1.conv.weight"]
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_whose_scores_have_no_sign_refuse_to_adapt(
    experiment: Experiment, tmp_path: Path, objective: str
):
    asked = replace(experiment, objective=objective)
    if objective in {"gan", "hinge"}:
        asked.architecture(None)
        return
    with pytest.raises(SettingsError, match=f"says nothing under {objective}; take the objective"):
        run(asked, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    replace(asked, augment="bgc").check_names()


def test_games_without_a_discriminators_loss_refuse_it_as_any_augmentation():
    asked = Experiment(pictures=Path("p"), source="s", procedure="reconstruction", augment="ada")
    assert meaningless_alone(asked) == [
        "augment 'ada' changes what a discriminator sees; leave it out"
    ]
