"""A run that was stopped, saved and continued equals one that was not, bit for bit."""

from pathlib import Path

import pytest
import torch

from graftgan.checkpoints import load_state
from graftgan.core.errors import CheckpointError, TrainingDiverged
from graftgan.core.network_types import tensors_of
from graftgan.training import Training, restore, state_of
from graftgan.training.loop import optimizer_tensors
from tiny_networks import assert_same_tensors, everything_in, save_training, tiny_run


def everything(training: Training) -> dict[str, torch.Tensor]:
    assert training.average is not None
    found = everything_in(training.pair)
    found |= {f"average.{n}": t.clone() for n, t in training.average.tensors().items()}
    for update in training.updates:
        state = optimizer_tensors(update.optimizer)
        assert state, f"the optimizer of the {update.name} has no state to lose"
        found |= {f"{update.name}.optimizer.{n}": t.clone() for n, t in state.items()}
    return found


class StopAt:
    """Asks to stop after so many iterations, as a signal would."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def started(self, training): ...
    def ended(self, training): ...

    def iterated(self, training, terms):
        training.stop_requested = training.iteration >= self.iteration


@pytest.mark.parametrize(
    ("objective", "plan", "statistics", "backbone"),
    [
        ("gan", "fine_tune", "source", "dcgan"),
        ("gan", "combined", "batch", "dcgan"),
        ("gan", "combined", "source", "mlp"),
        ("hinge", "D[*=filter_scale_shift] G[layer1=reset, *=adafm]", "batch", "dcgan"),
        ("wgan", "combined", "source", "dcgan"),
        ("wgan_gp", "combined", "source", "dcgan"),
    ],
)
def test_three_and_three_are_six(
    tmp_path: Path, objective: str, plan: str, statistics: str, backbone: str
):
    def fresh() -> Training:
        return tiny_run(
            objective=objective,
            plan=plan,
            statistics=statistics,
            backbone=backbone,
            augment="diffaugment_color_translation",
            optimization={"r1_gamma": 0.1, "r1_every": 2} if objective == "hinge" else {},
            iterations=6,
        ).training

    whole = fresh()
    start = everything_in(whole.pair)
    whole.run()
    assert whole.iteration == 6

    first = fresh()
    first.callbacks = [StopAt(3)]
    first.run()
    assert first.iteration == 3
    save_training(tmp_path / "c", first)

    second = fresh()
    with torch.no_grad():  # nothing may survive that the files do not hold
        for tensors in (tensors_of(n) for _, n in second.pair.items()):
            for tensor in tensors.values():
                tensor.zero_()
        for tensor in second.average.tensors().values():
            tensor.zero_()
    state = load_state(tmp_path / "c")
    restore(second, state.files, state.card)
    assert_same_tensors(everything(first), everything(second))
    assert (second.iteration, second.images_seen) == (3, first.images_seen)
    assert second.seconds == first.seconds > 0
    second.run()

    assert_same_tensors(everything(whole), everything(second))
    assert second.images_seen == whole.images_seen
    moved = everything_in(whole.pair)
    assert any(not torch.equal(start[n], moved[n]) for n in start)


def test_a_seed_decides_the_whole_run():
    first, second = tiny_run(iterations=3).training, tiny_run(iterations=3).training
    first.run()
    torch.manual_seed(123)
    torch.rand(10)
    second.run()
    assert_same_tensors(everything(first), everything(second))
    third = tiny_run(iterations=3).training
    third.randomness = type(third.randomness)(seed=5)
    third.run()
    assert any(
        not torch.equal(a, b)
        for a, b in zip(everything(first).values(), everything(third).values(), strict=True)
    )


def test_a_state_of_another_plan_or_with_files_missing_is_refused():
    trained = tiny_run(plan="combined").training
    trained.run()
    files, numbers = state_of(trained)
    for other in ("fine_tune", "adafm"):
        with pytest.raises(CheckpointError, match="does not fit this run"):
            restore(tiny_run(plan=other).training, files, numbers)
    for named in ("x" * 9_000, "\x1b[2J"):
        other = {**files, "generator": {**files["generator"], named: torch.zeros(1)}}
        with pytest.raises(CheckpointError, match="generator does not fit this run") as caught:
            restore(tiny_run(plan="combined").training, other, numbers)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400
    for missing in ("generator", "discriminator", "average", "training"):
        rest = {name: tensors for name, tensors in files.items() if name != missing}
        with pytest.raises(CheckpointError, match=missing):
            restore(tiny_run(plan="combined").training, rest, numbers)


def test_optimizer_state_of_another_plan_is_refused():
    """Freezing other layers keeps all names and shapes of the weights."""
    trained = tiny_run(plan="D(0,0,4) G(0,0,4)").training
    trained.run()
    files, numbers = state_of(trained)
    with pytest.raises(CheckpointError, match="optimizer state"):
        restore(tiny_run(plan="D(2,0,2) G(2,0,2)").training, files, numbers)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_never_saved(bad: float):
    training = tiny_run().training
    with torch.no_grad():
        next(training.pair.generator.parameters())[1, 2, 3, 0] = bad
    with pytest.raises(TrainingDiverged, match=r"generator/blocks\.layer1"):
        state_of(training)
