"""What is chosen where a person does not say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graftgan.core.errors import SettingsError
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.training import TrainingSettings
from graftgan.training.objectives import OBJECTIVES, OptimizationSettings


def settled(backbone: str | None, resolution: int = 64, **changes: Any) -> Experiment:
    asked = Experiment(
        pictures=Path("pictures"),
        backbone=backbone,
        network=NetworkSettings(resolution=resolution),
        **changes,
    )
    return asked.resolved(asked.architecture(None), bfloat16=False)


@pytest.mark.parametrize(
    ("backbone", "objective"),
    [
        (None, "hinge"),
        ("dcgan", "hinge"),
        ("sngan", "hinge"),
        ("began", "began"),
        ("stylegan2", "gan"),
        ("stylegan3t", "gan"),
    ],
)
def test_a_network_brings_its_game(backbone: str | None, objective: str):
    assert settled(backbone).objective == objective
    assert settled("stylegan2", objective="hinge").objective == "hinge"


@pytest.mark.parametrize(
    ("resolution", "batch", "gamma", "rate"),
    [
        # the published rule: min(4096 / side, 32) pictures, 0.0002 side^2 / batch, and two rates
        (64, 32, 0.0256, 0.0025),
        (128, 32, 0.1024, 0.0025),
        (256, 16, 0.8192, 0.0025),
        (512, 8, 6.5536, 0.0025),
        (1024, 4, 52.4288, 0.002),
    ],
)
def test_stylegan2_trains_as_its_authors_program_does_by_itself(
    resolution: int, batch: int, gamma: float, rate: float
):
    experiment = settled("stylegan2", resolution)
    chosen = experiment.optimization
    assert experiment.training.batch_size == batch
    assert chosen.r1_gamma == pytest.approx(gamma)
    assert chosen.generator_learning_rate == chosen.discriminator_learning_rate == rate
    assert (chosen.beta1, chosen.beta2) == (0.0, 0.99)
    assert (chosen.path_length, chosen.style_mixing) == (2.0, 0.9)


def test_stylegan3_leaves_path_lengths_and_mixing_out():
    chosen = settled("stylegan3t", 256).optimization
    assert (chosen.path_length, chosen.style_mixing) == (0.0, 0.0)
    assert (chosen.generator_learning_rate, chosen.discriminator_learning_rate) == (0.0025, 0.002)


def test_what_a_person_says_wins():
    asked = OptimizationSettings(r1_gamma=7.0, path_length=0.0, generator_learning_rate=1e-4)
    experiment = settled("stylegan2", optimization=asked, training=TrainingSettings(batch_size=8))
    chosen = experiment.optimization
    assert (chosen.r1_gamma, chosen.path_length) == (7.0, 0.0)
    assert chosen.generator_learning_rate == 1e-4
    assert chosen.discriminator_learning_rate == 0.0025
    unsaid = replace(experiment, optimization=OptimizationSettings())
    settled_again = unsaid.resolved(unsaid.architecture(None), bfloat16=False).optimization
    assert settled_again.r1_gamma == pytest.approx(2e-4 * 64**2 / 8), "it follows the batch"


def test_networks_without_styles_keep_the_advice_of_the_objective():
    chosen = settled("dcgan").optimization
    assert chosen.r1_gamma == chosen.path_length == chosen.style_mixing == 0.0
    assert chosen == OptimizationSettings().or_else(OBJECTIVES["hinge"].defaults)
    assert settled("dcgan").training.batch_size == 64
    other = settled("stylegan2", objective="wgan_gp").optimization
    assert other == OptimizationSettings().or_else(OBJECTIVES["wgan_gp"].defaults)


@pytest.mark.parametrize("name", ["path_length", "style_mixing"])
def test_what_needs_styles_is_refused_without_them(name: str):
    with pytest.raises(SettingsError, match=f"{name} needs networks with styles"):
        settled("dcgan", optimization=OptimizationSettings(**{name: 0.5}))


@pytest.mark.parametrize(
    "changes", [{"style_mixing": 1.5}, {"path_length": -1.0}, {"path_length_every": 0}]
)
def test_impossible_values_are_refused(changes: dict[str, float]):
    with pytest.raises(SettingsError, match=next(iter(changes))):
        OptimizationSettings(**changes)


def test_pictures_and_ticks_become_iterations():
    training = settled("stylegan2", 256, training=TrainingSettings(kimg=100, snap=10)).training
    assert training.iterations == 100_000 // 16
    assert training.keep_every == training.checkpoint_every == 10 * 4000 // 16
    assert (training.kimg, training.snap) == (None, None)
    few = settled("dcgan", training=TrainingSettings(kimg=1, snap=1, batch_size=6000)).training
    assert (few.iterations, few.checkpoint_every) == (1, 1)
    with pytest.raises(SettingsError, match="kimg must be at least 1"):
        TrainingSettings(kimg=0)
