"""BEGAN's balance against the paper's equations, alone and in training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import load_tensors
from graftgan.core.errors import SettingsError
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.runs.run import resume, run
from graftgan.training import StepContext, TrainingSettings, gradients_only_for
from graftgan.training.objectives import OBJECTIVES, OptimizationSettings
from tiny_networks import assert_same_tensors, draw_pictures, everything_in, tiny_run

REAL = -torch.tensor([0.4, 0.2])  # scores are minus the errors
FAKE = -torch.tensor([0.1, 0.3])


def begun(ratio: float = 0.5, balance: float = 0.0):
    objective = OBJECTIVES["began"]
    losses = objective.begin(replace(objective.defaults, diversity_ratio=ratio))
    losses.balance.fill_(balance)
    return losses


def test_the_losses_are_those_of_section_3_4():
    losses = begun(balance=0.25)
    assert losses.discriminator_loss(REAL, FAKE).item() == pytest.approx(0.3 - 0.25 * 0.2)
    assert losses.generator_loss(FAKE).item() == pytest.approx(0.2)


def test_the_balance_and_the_measure_are_those_of_section_3_4():
    losses = begun(ratio=0.5, balance=0.25)
    losses.discriminator_loss(REAL, 100 * FAKE)  # k follows the generator's own batch
    losses.generator_loss(FAKE)
    assert losses.gauges()["convergence"].item() == pytest.approx(0.3 + abs(0.15 - 0.2))
    losses.settle()
    assert losses.balance.item() == pytest.approx(0.25 + 0.001 * (0.15 - 0.2))


@pytest.mark.parametrize(("start", "fake", "end"), [(0.0, 5000.0, 0.0), (1.0, 0.0, 1.0)])
def test_the_balance_stays_between_0_and_1(start: float, fake: float, end: float):
    losses = begun(balance=start)
    losses.discriminator_loss(REAL, FAKE)
    losses.generator_loss(torch.tensor([-fake]))
    losses.settle()
    assert losses.balance.item() == end


def test_the_generators_loss_gives_the_discriminator_no_gradient():
    training = tiny_run(objective="began", plan="fine_tune").training
    _, generator = training.updates
    trainable = [p for _, network in training.pair.items() for p in network.parameters()]
    before = everything_in(training.pair)
    with gradients_only_for(generator.parameters, trainable):
        generator.losses(StepContext(generator.name, 0, 0.0, training.randomness))[
            "loss"
        ].backward()
    assert all(p.grad is None for p in training.pair.discriminator.parameters())
    assert any(p.grad.any() for p in training.pair.generator.parameters())
    assert_same_tensors(before, everything_in(training.pair))


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=12, hue=1),
        objective="began",
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        optimization=OptimizationSettings(diversity_ratio=2.0),  # so that the balance moves at once
        training=TrainingSettings(iterations=6, batch_size=4, checkpoint_every=1, log_every=1),
    )


def test_the_balance_survives_a_resume(experiment: Experiment, tmp_path: Path):
    shorter = replace(experiment.training, iterations=3)
    straight = run(experiment, tmp_path / "straight", device="cpu")
    stopped = run(replace(experiment, training=shorter), tmp_path / "stopped", device="cpu")
    kept = load_tensors(stopped.checkpoint() / "extra_modules.safetensors")
    assert float(kept["objective.balance"]) > 0
    resume(stopped.path, iterations=6, device="cpu")
    for name in ("extra_modules", "generator", "discriminator"):
        ends = [load_tensors(f.checkpoint() / f"{name}.safetensors") for f in (straight, stopped)]
        assert_same_tensors(*ends)
    last = read_jsonl(straight.path / "log.jsonl")[-1]
    assert 0 < last["generator.balance"] < 1
    assert last["generator.convergence"] > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backbone": "dcgan"}, "take the backbone began"),
        ({"objective": "hinge", "backbone": "began"}, "take the objective began"),
        ({"objective": "hinge"}, "diversity_ratio means nothing"),
    ],
)
def test_what_does_not_fit_is_refused(
    experiment: Experiment, tmp_path: Path, changes: dict, says: str
):
    with pytest.raises(SettingsError, match=says):
        run(replace(experiment, **changes), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
