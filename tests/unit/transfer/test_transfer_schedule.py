"""Modulations that begin late: still at first, learning afterwards, the same after a resume."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graftgan.checkpoints import load_state
from graftgan.core.errors import PlanError, SettingsError
from graftgan.experiments.methods import METHODS
from graftgan.training import Training, restore
from graftgan.training.loop import optimizer_tensors
from graftgan.transfer import TransferSettings
from tiny_networks import TinyRun, assert_same_tensors, everything_in, save_training, tiny_run

ITERATIONS, SWITCH = 5, 2  # iterations 0 and 1 leave the modulations alone


def late_run(objective: str = "hinge", plan: str | None = None) -> TinyRun:
    return tiny_run(
        objective=objective,
        plan=plan or str(METHODS["adafm_zhao"].settings["plan"]),
        iterations=ITERATIONS,
        transfer={"modulations_from": SWITCH / ITERATIONS},
    )


def stop_at(training: Training, iteration: int) -> None:
    class Stop:
        def started(self, training): ...
        def ended(self, training): ...
        def iterated(self, training, terms):
            training.stop_requested = training.iteration >= iteration

    training.callbacks = [Stop()]
    training.run()
    assert training.iteration == iteration
    training.callbacks, training.stop_requested = [], False


def modulations(training: Training) -> dict[str, Tensor]:
    found = {
        name: tensor
        for name, tensor in everything_in(training.pair).items()
        if name.endswith((".gamma", ".beta"))
    }
    assert found, "nothing is modulated"
    return found


def states_of_modulations(run: TinyRun) -> list[str]:
    """Return the keys of the optimizers' state that belong to modulations."""
    found: list[str] = []
    for update in run.training.updates:
        late = {str(i) for i, start in enumerate(update.starts) if start > 0}
        state = optimizer_tensors(update.optimizer)
        assert state, "the other layers train"
        found += [key for key in state if key.partition(".")[0] in late]
    return found


@pytest.mark.parametrize("objective", ["hinge", "wgan_gp"])
def test_modulations_stand_at_the_identity_until_they_begin(objective: str):
    run = late_run(objective)
    start, everything = modulations(run.training), everything_in(run.training.pair)
    stop_at(run.training, SWITCH)
    assert_same_tensors(start, modulations(run.training))
    assert all((t == 1).all() for n, t in start.items() if n.endswith(".gamma"))
    assert all((t == 0).all() for n, t in start.items() if n.endswith(".beta"))
    assert states_of_modulations(run) == []
    moved = {n for n, t in everything_in(run.training.pair).items() if (t != everything[n]).any()}
    assert {
        "generator.blocks.layer1.conv.weight",
        "discriminator.blocks.layer3.conv.weight",
    } <= moved

    run.training.run()
    after = modulations(run.training)
    assert not [name for name in start if torch.equal(start[name], after[name])]
    assert states_of_modulations(run)


def test_they_begin_exactly_at_their_share_of_the_run():
    run = late_run()
    start = modulations(run.training)
    stop_at(run.training, SWITCH + 1)
    after = modulations(run.training)
    assert not [name for name in start if torch.equal(start[name], after[name])]


@pytest.mark.parametrize("stopped", [SWITCH - 1, SWITCH, SWITCH + 1])
def test_a_resume_across_the_beginning_is_exact(tmp_path: Path, stopped: int):
    whole, first, second = (late_run().training for _ in range(3))
    whole.run()
    stop_at(first, stopped)
    save_training(tmp_path / "c", first)
    state = load_state(tmp_path / "c")
    restore(second, state.files, state.card)
    second.run()
    for one, two in zip(whole.updates, second.updates, strict=True):
        assert_same_tensors(optimizer_tensors(one.optimizer), optimizer_tensors(two.optimizer))
    assert_same_tensors(everything_in(whole.pair), everything_in(second.pair))
    assert_same_tensors(whole.average.tensors(), second.average.tensors())


@pytest.mark.parametrize(
    ("plan", "network"),
    [("adafm", "discriminator"), ("D(2,0,*) G(0,*,0)", "generator"), ("lora", "discriminator")],
)
def test_a_network_that_would_stand_still_at_first_is_refused(plan: str, network: str):
    with pytest.raises(PlanError, match=rf"nothing of the {network} trains before"):
        late_run(plan=plan)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float):
    with pytest.raises(SettingsError, match=r"modulations_from must be in \[0, 1\)"):
        TransferSettings(modulations_from=share)
