"""One optimizer's turn: whose gradients, which terms, and its state there and back."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import Parameter

from graftgan.checkpoints import load_tensors, save_tensors
from graftgan.core.errors import CheckpointError
from graftgan.core.randomness import Randomness
from graftgan.training import Processes, StepContext, Update, gradients_only_for
from graftgan.training.loop import optimizer_tensors, restore_optimizer
from tiny_networks import everything_in, tiny_run

CONTEXT = StepContext(update="player", turn=0, progress=0.0, randomness=Randomness(0))


def alone(parameters: object) -> None:
    """Average gradients over one process: leave them."""


def test_gradients_reach_the_active_ones_and_nothing_frozen_wakes_up():
    active, resting, frozen = (Parameter(torch.ones(1)) for _ in range(3))
    frozen.requires_grad_(False)
    trainable = [active, resting]
    with gradients_only_for([active], trainable):
        assert [p.requires_grad for p in (active, resting, frozen)] == [True, False, False]
    assert [p.requires_grad for p in (active, resting, frozen)] == [True, True, False]
    with pytest.raises(ZeroDivisionError), gradients_only_for([active], trainable):
        raise ZeroDivisionError
    assert [p.requires_grad for p in (active, resting, frozen)] == [True, True, False]


def test_only_terms_without_an_underscore_are_minimised():
    weight = Parameter(torch.tensor([1.0, 1.0, 1.0]))
    seen: list[torch.Tensor] = []
    update = Update(
        name="player",
        parameters=[weight],
        optimizer=torch.optim.SGD([weight], lr=1.0),
        losses=lambda _: {"loss": 1 * weight[0], "extra": 2 * weight[1], "_shown": 100 * weight[2]},
    )
    terms = update.turn(CONTEXT, [weight], lambda ps: seen.extend(p.grad.clone() for p in ps))
    assert seen[0].tolist() == [1.0, 2.0, 0.0]
    assert weight.tolist() == [0.0, -1.0, 1.0]
    assert {n: t.item() for n, t in terms.items()} == {"loss": 1, "extra": 2, "_shown": 100}
    assert not any(t.requires_grad for t in terms.values())
    assert weight.grad is None, "no gradient is left for the other player's turn"


def test_the_constraint_runs_before_the_losses_and_the_average_before_the_step():
    order: list[str] = []
    weight = Parameter(torch.ones(1))

    class Optimizer(torch.optim.SGD):
        def step(self, closure=None):
            order.append("step")

    def losses(context: StepContext) -> dict[str, torch.Tensor]:
        order.append("losses")
        return {"loss": weight.sum()}

    update = Update(
        "player",
        [weight],
        Optimizer([weight], lr=1.0),
        losses,
        before=lambda: order.append("before"),
        after=lambda: order.append("after"),
    )
    update.turn(CONTEXT, [weight], lambda _: order.append("average"))
    assert order == ["before", "losses", "average", "step", "after"]


def test_learning_rates_follow_the_share_of_the_run_that_is_done():
    fast, slow = Parameter(torch.zeros(1)), Parameter(torch.zeros(1))
    groups = [{"params": [fast], "lr": 1.0}, {"params": [slow], "lr": 0.1}]
    update = Update(
        name="player",
        parameters=[fast, slow],
        optimizer=torch.optim.SGD(groups),
        losses=lambda _: {"loss": -(fast + slow).sum()},
        rate_at=lambda progress: 1.0 if progress < 0.5 else 0.25,
    )
    for progress in (0.0, 0.5, 0.6, 0.1):  # back again, as a longer run does
        update.turn(replace(CONTEXT, progress=progress), [fast, slow], alone)
    assert fast.item() == pytest.approx(2.5)
    assert slow.item() == pytest.approx(0.25)


def test_a_moment_names_its_streams():
    other = StepContext(update="other", turn=0, progress=0.0, randomness=Randomness(0))
    later = StepContext(update="player", turn=1, progress=0.5, randomness=Randomness(0))
    seeds = [
        context.generator(stream).initial_seed()
        for context in (CONTEXT, other, later)
        for stream in ("latents", "mix")
    ]
    assert len(set(seeds)) == 6
    assert CONTEXT.generator("mix").initial_seed() == CONTEXT.generator("mix").initial_seed()


OPTIMIZERS: dict[str, Callable[[list[Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda ps: torch.optim.Adam(ps, lr=0.1, betas=(0.5, 0.9)),
    "fused adam": lambda ps: torch.optim.Adam(ps, lr=0.1, betas=(0.5, 0.9), fused=True),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, lr=0.1, foreach=True),
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1),
    "momentum": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_takes_the_same_next_steps(tmp_path, name: str, layout):
    """Through a file, which forgets the memory layout that fused optimizers rely on."""

    def fresh(weights: list[torch.Tensor]) -> list[Parameter]:
        convolution = weights[0].clone().to(memory_format=layout)
        return [Parameter(convolution), Parameter(weights[1].clone())]

    def steps(parameters: list[Parameter], optimizer, numbers: range) -> None:
        for number in numbers:
            rng = torch.Generator().manual_seed(number)
            for parameter in parameters:
                noise = torch.randn(parameter.shape, generator=rng)
                parameter.grad = torch.empty_like(parameter).copy_(noise)
            optimizer.step()

    start = [torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(0)), torch.ones(6)]
    through = fresh(start)
    optimizer = OPTIMIZERS[name](through)
    steps(through, optimizer, range(3))
    save_tensors(tmp_path / "o.safetensors", optimizer_tensors(optimizer))
    resumed = fresh([p.detach() for p in through])
    steps(through, optimizer, range(3, 6))
    second = OPTIMIZERS[name](resumed)
    restore_optimizer(second, load_tensors(tmp_path / "o.safetensors"))
    steps(resumed, second, range(3, 6))
    for one, other in zip(through, resumed, strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, start[0] if one.dim() == 4 else start[1])


def test_rates_stay_those_of_the_new_optimizer():
    weight = Parameter(torch.ones(2))
    old, new = (torch.optim.Adam([weight], lr=rate) for rate in (0.1, 0.3))
    weight.grad = torch.ones(2)
    old.step()
    restore_optimizer(new, optimizer_tensors(old))
    assert new.param_groups[0]["lr"] == 0.3
    assert new.state[weight]["exp_avg"].tolist() == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"0.exp_avg": None},
            "holds exp_avg_sq, step, where exp_avg, exp_avg_sq, step is",
        ),
        ({"0.\x1b[2J": torch.ones(2)}, r"holds \\x1b\[2J, exp_avg"),
        ({"0.exp_avg": torch.ones(())}, r"0\.exp_avg is \(\), its parameter \(2,\)"),
        ({"0.step": torch.ones(2)}, r"0\.step is \(2,\)"),
        ({"9\x1b[2J": torch.ones(2)}, r"9\\x1b\[2J belongs to no parameter"),
    ],
)
def test_state_of_other_quantities_is_refused(changes: dict[str, torch.Tensor | None], said: str):
    weight = Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.ones(2)
    optimizer.step()
    changed = {**optimizer_tensors(optimizer), **changes}
    state = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=said) as caught:
        restore_optimizer(torch.optim.Adam([weight]), state)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["1.exp_avg", "x.exp_avg", "exp_avg", "0.exp_avg"])
def test_state_of_other_parameters_is_refused(key: str):
    optimizer = torch.optim.Adam([Parameter(torch.ones(2))])
    with pytest.raises(CheckpointError, match="exp_avg"):
        restore_optimizer(optimizer, {key: torch.zeros(3)})


def test_each_players_turn_leaves_the_others_weights_alone():
    run = tiny_run(plan="fine_tune")
    training = run.training
    for update in training.updates:
        before = everything_in(training.pair)
        context = StepContext(update.name, 0, 0.0, Randomness(0))
        update.turn(context, training.trainable, Processes().average_gradients)
        after = everything_in(training.pair)
        names = {n for _, net in training.pair.items() for n, _ in net.named_parameters()}
        moved = {n for n in before if not torch.equal(before[n], after[n])}
        weights = {n for n in moved if n.partition(".")[2] in names}
        assert weights
        assert all(n.startswith(f"{update.name}.") for n in weights), weights
        assert all(p.grad is None for p in training.trainable)


def test_statistics_follow_the_pictures_and_not_the_gradients():
    """A turn of the generator at a rate of almost zero moves them as a forward pass does."""
    run = tiny_run(plan="fine_tune", optimization={"generator_learning_rate": 1e-30})
    generator_update = run.training.updates[1]
    critic = run.training.pair.discriminator
    norm = critic.layers()["layer2"].norm
    inputs: list[torch.Tensor] = []
    norm.register_forward_hook(lambda _, given, __: inputs.append(given[0].detach().clone()))
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    generator_update.turn(
        StepContext("generator", 0, 0.0, Randomness(0)), run.training.trainable, alone
    )
    assert len(inputs) == 1
    given = inputs[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, 0.9 * mean + 0.1 * given.mean(1))
    torch.testing.assert_close(norm.running_var, 0.9 * variance + 0.1 * given.var(1))
    assert norm.num_batches_tracked == 8


def test_a_module_outside_the_game_is_never_touched():
    stranger = nn.Linear(2, 2)
    run = tiny_run(iterations=1)
    run.training.run()
    assert all(p.grad is None for p in stranger.parameters())
