"""Plans that change with time: read, print, write out, and change the networks in between."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graftgan.core.errors import PlanError
from graftgan.core.network_types import NetworkPair
from graftgan.networks.backbone import build_pair
from graftgan.networks.sampling import generate, random_latents
from graftgan.transfer import (
    AppliedPlan,
    Plan,
    Schedule,
    Split,
    apply_plan,
    lasting,
    parse_plan,
    parse_schedule,
    replanned,
)
from graftgan.transfer.schedule import PlanStep
from tiny_networks import tiny_architecture, tiny_pair

numbers = st.integers(0, 4)
plans = st.builds(
    Plan,
    discriminator=st.builds(Split, numbers, numbers, numbers),
    generator=st.builds(Split, numbers, st.none(), numbers),
)
shares = st.lists(st.integers(1, 99), min_size=6, max_size=6, unique=True).map(sorted)


@given(plans, st.lists(st.tuples(plans, st.booleans()), max_size=3), shares)
def test_a_printed_schedule_reads_back(first: Plan, later: list[tuple[Plan, bool]], at: list[int]):
    steps = tuple(
        PlanStep(plan, at[2 * number] / 100, at[2 * number + 1] / 100 if gradual else None)
        for number, (plan, gradual) in enumerate(later)
    )
    schedule = Schedule(first, steps)
    assert parse_schedule(str(schedule)) == schedule


def test_a_plan_alone_is_a_schedule_of_one_step():
    assert parse_schedule("combined") == Schedule(parse_plan("combined"))
    assert str(parse_schedule("combined > fine_tune@0.4")) == (
        "D(1,*,2) G(1,*,2) > D(0,0,*) G(0,0,*)@0.4"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("combined > fine_tune", "is not a schedule; write a schedule like"),
        ("combined > fine_tune@", "is not a schedule"),
        ("combined > fine_tune@half", "is not a schedule"),
        ("combined > fine_tune@1.2.3", "is no share of the run"),
        ("combined > fine_tune@0", "must rise between 0 and 1"),
        ("combined > fine_tune@1", "must rise between 0 and 1"),
        ("combined > fine_tune@40", "must rise between 0 and 1"),
        ("combined > fine_tune@0.5 > adafm@0.5", "must rise between 0 and 1"),
        ("combined >> fine_tune@0.5", "'>>' takes two shares"),
        ("combined > fine_tune@0.2-0.5", "'>>' takes two shares"),
        ("combined >> fine_tune@0.5-0.2", "must rise between 0 and 1"),
        ("> fine_tune@0.5", "'' is not a plan"),
        ("combined > finetune@0.5", "'finetune' is not a plan"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, says: str):
    with pytest.raises(PlanError, match=says):
        parse_schedule(text)


def test_a_gradual_step_lets_go_of_a_layer_of_each_network_at_a_time():
    """Those far from the picture first: the end of the discriminator, the generator's beginning."""
    pair = tiny_pair()
    layers = len(pair.generator.layers())
    assert layers == len(pair.discriminator.layers()) == 4
    schedule = parse_schedule("adafm >> fine_tune@0.2-0.8").in_full(pair)
    assert [step.at for step in schedule.steps] == [0.2, 0.4, 0.6, 0.8]
    assert [str(step.plan) for step in schedule.steps] == [
        "D(0,3,1) G(0,3,1)",
        "D(0,2,2) G(0,2,2)",
        "D(0,1,3) G(0,1,3)",
        "D(0,0,4) G(0,0,4)",
    ]
    assert [schedule.at(share) for share in (0, 0.19, 0.2, 0.5, 0.8, 1)] == [0, 0, 1, 2, 4, 4]
    assert [schedule.end_of(n) for n in (0, 3, 4)] == [0.2, 0.8, float("inf")]


def test_what_lasts_is_what_never_changed():
    pair = tiny_pair()
    schedule = parse_schedule("D(2,1,1) G(2,1,1) > D(1,2,1) G(1,2,1)@0.5 > D(1,1,2) G(1,1,2)@0.8")
    assert str(lasting(schedule, 0, pair)) == "D(2,1,1) G(2,1,1)"
    layers = list(pair.discriminator.layers())
    second = lasting(schedule, 1, pair).discriminator.actions(layers, network="discriminator")
    assert list(second.values()) == ["freeze", "fine_tune", "adafm", "fine_tune"]
    assert str(lasting(schedule, 2, pair)) == "D(1,0,3) G(1,0,3)"


def put(pair: NetworkPair, plan: str) -> AppliedPlan:
    fresh = partial(build_pair, pair.architecture)
    return apply_plan(parse_plan(plan), pair, fresh=fresh, statistics="source")


@torch.no_grad()
def disturb(pair: NetworkPair) -> None:
    """Move whatever trains, as a training does."""
    rng = torch.Generator().manual_seed(0)
    for _, network in pair.items():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))


@pytest.mark.parametrize("backbone", ["dcgan", "stylegan2"])
@pytest.mark.parametrize("first", ["combined", "adafm", "lora", "fine_tune"])
@pytest.mark.parametrize("second", ["combined", "adafm", "lora", "fine_tune", "freeze"])
def test_a_step_changes_no_picture(backbone: str, first: str, second: str):
    pair = tiny_pair(tiny_architecture(backbone))
    before = put(pair, first)
    disturb(pair)
    fresh = partial(build_pair, pair.architecture)
    after, applied = replanned(pair, before.decisions, fresh, partial(put, plan=second))
    latents = random_latents(8, pair.architecture.latent_size, seed=0)
    drawn = generate(pair.generator, latents)
    assert (generate(after.generator, latents).int() - drawn.int()).abs().max() <= 1
    images = torch.randn(8, 3, pair.architecture.resolution, pair.architecture.resolution)
    for network in (pair.discriminator, after.discriminator):
        network.eval()
    with torch.no_grad():
        scores = [net(images) for net in (pair.discriminator, after.discriminator)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-4)
    assert (
        applied.decisions["generator"]
        == put(tiny_pair(pair.architecture), second).decisions["generator"]
    )
