"""The notation of plans, and what a split or a list of rules decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftgan.core.errors import PlanError
from graftgan.transfer import ACTIONS, PRESETS, Plan, Rules, Split, parse_plan

FIVE = [f"layer{i}" for i in range(1, 6)]
NAMES = ("discriminator", "generator")

counts = st.integers(0, 99)
splits = st.tuples(counts, counts, counts, st.sampled_from([None, 0, 1, 2])).map(
    lambda t: Split(*(None if i == t[3] else n for i, n in enumerate(t[:3])))
)
patterns = st.text("abcxyz0123456789_*?-.", min_size=1, max_size=8)
rules = st.lists(st.tuples(patterns, st.sampled_from(sorted(ACTIONS))), min_size=1, max_size=5).map(
    lambda pairs: Rules(tuple(pairs))
)
network_plans = splits | rules


@given(network_plans, network_plans)
def test_a_printed_plan_reads_back(discriminator: Split | Rules, generator: Split | Rules):
    plan = Plan(discriminator=discriminator, generator=generator)
    assert parse_plan(str(plan)) == plan


def test_whitespace_order_and_separators_do_not_matter():
    wanted = parse_plan("D(1,2,2) G(0,*,1)")
    assert wanted == Plan(discriminator=Split(1, 2, 2), generator=Split(0, None, 1))
    for text in ("G(0,*,1)D(1,2,2)", "  D ( 1, 2 ,2 ) ;\n G(0, *,1) ", "D(1,2,2),G(0,*,1)"):
        assert parse_plan(text) == wanted


def test_presets_are_read_by_name():
    assert PRESETS
    for name, plan in PRESETS.items():
        assert parse_plan(f" {name} ") == plan
        assert parse_plan(str(plan)) == plan


def test_the_picture_side_is_frozen_in_both_networks():
    plan = parse_plan("D(1,2,2) G(1,2,2)")
    assert plan.discriminator.actions(FIVE, network="discriminator") == {
        "layer1": "freeze",
        "layer2": "adafm",
        "layer3": "adafm",
        "layer4": "fine_tune",
        "layer5": "fine_tune",
    }
    assert plan.generator.actions(FIVE, network="generator") == {
        "layer1": "fine_tune",
        "layer2": "fine_tune",
        "layer3": "adafm",
        "layer4": "adafm",
        "layer5": "freeze",
    }


def test_unequal_numbers_are_not_mixed_up():
    plan = parse_plan("D(3,0,2) G(1,3,1)")
    decided = plan.discriminator.actions(FIVE, network="discriminator")
    assert list(decided.values()) == ["freeze"] * 3 + ["fine_tune"] * 2
    decided = plan.generator.actions(FIVE, network="generator")
    assert list(decided.values()) == ["fine_tune"] + ["adafm"] * 3 + ["freeze"]
    assert list(decided) == FIVE, "layers stay in the network's order"


@pytest.mark.parametrize("depth", [4, 5, 6, 7])
@pytest.mark.parametrize("network", NAMES)
def test_presets_on_every_depth(depth: int, network: str):
    layers = [f"layer{i}" for i in range(1, depth + 1)]

    def decided(preset: str) -> list[str]:
        actions = list(
            PRESETS[preset].for_network(network).actions(layers, network=network).values()
        )
        return actions if network == "discriminator" else actions[::-1]

    tuned = ["fine_tune"] * 2
    assert decided("combined") == ["freeze"] + ["adafm"] * (depth - 3) + tuned
    assert decided("freeze") == ["freeze"] * (depth - 2) + tuned
    assert decided("adafm") == ["adafm"] * depth
    assert decided("fine_tune") == ["fine_tune"] * depth
    assert decided("scratch") == ["reset"] * depth


def test_rules_take_spans_wildcards_and_the_first_that_matches():
    plan = parse_plan("D[layer1=freeze, layer2-4=adafm, *=fine_tune] G(*,0,0)")
    decided = plan.discriminator.actions(FIVE, network="discriminator")
    assert list(decided.values()) == ["freeze", "adafm", "adafm", "adafm", "fine_tune"]
    many = [f"layer{i}" for i in range(1, 13)]
    decided = Rules((("layer1", "freeze"), ("*", "adafm"))).actions(many, network="generator")
    assert [layer for layer, action in decided.items() if action == "freeze"] == ["layer1"]
    decided = Rules((("layer10-12", "freeze"), ("layer?", "adafm"))).actions(
        many, network="generator"
    )
    assert [layer for layer, action in decided.items() if action == "freeze"] == many[9:]


@pytest.mark.parametrize("text", ["D(1,2,3) G(1,2,2)", "D(6,*,0) G(0,0,5)", "D(1,2,1) G(0,0,5)"])
def test_numbers_that_do_not_fit_are_explained(text: str):
    with pytest.raises(PlanError, match="the discriminator has 5") as caught:
        parse_plan(text).discriminator.actions(FIVE, network="discriminator")
    assert "must add up to 5" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "D(1,2,2)",
        "G(1,2,2)",
        "D(1,2,2) G(1,2,2) E(1,2,2)",
        "D(1,2) G(1,2,2)",
        "D(1,-2,6) G(1,2,2)",
        "D(1,2.0,2) G(1,2,2)",
        "D(*,*,1) G(1,2,2)",
        "D(1,2,2) D(1,2,2) G(1,2,2)",
        "D[] G(1,2,2)",
        "D[layer1] G(1,2,2)",
        "D[layer1=freeze=adafm] G(1,2,2)",
        "D[=freeze] G(1,2,2)",
        "D[*=freeze,] G(1,2,2)",
        "DG(1,2,2)",
        "Combined",
    ],
)
def test_what_is_no_plan_is_refused(text: str):
    with pytest.raises(PlanError):
        parse_plan(text)


def test_unknown_actions_are_all_named_with_a_suggestion():
    with pytest.raises(PlanError) as caught:
        parse_plan("D[layer1=frieze, layer2=adafn, *=fine_tune] G(1,2,2)")
    message = str(caught.value)
    assert "'frieze'" in message
    assert "'freeze'" in message
    assert "'adafn'" in message
    assert "'adafm'" in message
    with pytest.raises(PlanError, match="frieze"):
        Rules((("*", "frieze"),)).actions(FIVE, network="generator")


def test_every_problem_of_the_rules_is_named_at_once():
    wrong = Rules((("layer9", "freeze"), ("layer2-7", "adafm"), ("layer1", "freeze")))
    with pytest.raises(PlanError) as caught:
        wrong.actions(FIVE, network="generator")
    message = str(caught.value)
    for part in (
        "'layer9' matches no layer",
        "'layer2-7' matches no layer",
        "layer2 of the generator",
    ):
        assert part in message
    assert "layer1 of the generator has no rule" not in message


@pytest.mark.parametrize(
    "text", ["layer1=freeze, layer1=adafm, *=fine_tune", "*=fine_tune, layer1=freeze"]
)
def test_a_rule_that_can_decide_nothing_is_refused(text: str):
    plan = parse_plan(f"D[{text}] G(1,2,2)")
    with pytest.raises(PlanError, match="too late"):
        plan.discriminator.actions(FIVE, network="discriminator")


def test_a_last_star_may_find_nothing_left():
    decided = Rules((("layer1-5", "freeze"), ("*", "adafm"))).actions(FIVE, network="generator")
    assert set(decided.values()) == {"freeze"}
