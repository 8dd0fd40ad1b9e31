"""Resolve, check, then apply: a plan that does not fit changes nothing."""

import copy

import pytest
import torch

from graftgan.core.errors import GraftganError, PlanError, SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.networks.blocks import (
    layers_on_batch_statistics,
    use_batch_statistics,
)
from graftgan.transfer import Plan, Rules, TransferSettings, apply_plan, parse_plan, resolve
from tiny_networks import (
    assert_same_tensors,
    everything_in,
    tiny_architecture,
    tiny_pair,
    tiny_run,
)


def flags(pair: NetworkPair) -> list[tuple[str, bool]]:
    found = [(n, p.requires_grad) for _, net in pair.items() for n, p in net.named_parameters()]
    return found + [(n, m.training) for _, net in pair.items() for n, m in net.named_modules()]


@pytest.mark.parametrize(
    "text",
    [
        "D(1,2,2) G(1,1,2)",  # four layers
        "D(1,1,2) G(1,2,2)",
        "D[layer9=freeze, *=fine_tune] G(1,1,2)",
        "D[layer1=freeze] G(1,1,2)",
        "D[layer1=freeze, layer1=adafm, *=fine_tune] G(1,1,2)",
    ],
)
def test_a_plan_that_does_not_fit_leaves_the_networks_untouched(pair: NetworkPair, text: str):
    pair.generator.layers()["layer2"].requires_grad_(False)
    pair.discriminator.layers()["layer3"].eval()
    weights, before = everything_in(pair), flags(pair)
    with pytest.raises(PlanError):
        apply_plan(parse_plan(text), pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    assert_same_tensors(weights, everything_in(pair))
    assert flags(pair) == before


def test_an_unknown_action_leaves_the_networks_untouched(pair: NetworkPair):
    weights, before = everything_in(pair), flags(pair)
    plan = Plan(discriminator=Rules((("*", "fine_tune"),)), generator=Rules((("*", "adaffm"),)))
    with pytest.raises(GraftganError, match="did you mean 'adafm'"):
        apply_plan(plan, pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    assert_same_tensors(weights, everything_in(pair))
    assert flags(pair) == before


def test_problems_of_both_networks_are_reported_at_once(pair: NetworkPair):
    with pytest.raises(PlanError) as caught:
        resolve(parse_plan("D(9,0,0) G[layer7=freeze, *=fine_tune]"), pair)
    assert "D(9,0,0)" in str(caught.value)
    assert "'layer7' matches no layer of the generator" in str(caught.value)


def test_a_layer_that_cannot_take_an_action_is_named(pair: NetworkPair):
    layer = pair.generator.layers()["layer2"]
    layer.conv, layer.norm = torch.nn.Identity(), torch.nn.Identity()
    weights = everything_in(pair)
    for action in ("adafm", "filter_scale_shift"):
        plan = parse_plan(f"D(1,1,2) G[layer2={action}, *=fine_tune]")
        with pytest.raises(PlanError, match=f"layer2 of the generator cannot take {action}"):
            apply_plan(plan, pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    assert_same_tensors(weights, everything_in(pair))


def test_the_report_counts_what_training_may_change(pair: NetworkPair):
    sizes = {
        r: {n: sum(p.numel() for p in la.parameters()) for n, la in net.layers().items()}
        for r, net in pair.items()
    }
    applied = apply_plan(
        parse_plan("D(1,1,2) G(1,1,2)"), pair, fresh=lambda: tiny_pair(seed=2), statistics="source"
    )
    d, g = applied.report.networks["discriminator"], applied.report.networks["generator"]
    assert [row.action for row in d] == ["freeze", "adafm", "fine_tune", "fine_tune"]
    assert [row.action for row in g] == ["fine_tune", "fine_tune", "adafm", "freeze"]
    for rows, role in ((d, "discriminator"), (g, "generator")):
        assert {row.layer: row.parameters for row in rows} == sizes[role]
    # D layer2: a convolution 4-8, G layer3: a transposed one 8-4; two numbers for each kernel.
    assert [row.trainable for row in d] == [
        0,
        2 * 4 * 8,
        *list(sizes["discriminator"].values())[2:],
    ]
    assert [row.trainable for row in g] == [*list(sizes["generator"].values())[:2], 2 * 8 * 4, 0]
    assert d[1].kind == "Conv2d 4-8, 4x4"
    assert g[2].kind == "ConvTranspose2d 8-4, 4x4"
    assert d[3].kind.startswith("Linear 256-1")
    plain = applied.report.as_dict()
    assert plain["trainable"] == sum(
        r["trainable"] for rows in plain["networks"].values() for r in rows
    )
    assert plain["parameters"] == sum(sum(s.values()) for s in sizes.values())
    assert plain["notation"] == "D(1,1,2) G(1,1,2)"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("combined", "D(1,1,2) G(1,1,2)"),
        ("scratch", "D[*=reset] G[*=reset]"),
        ("D[layer1-2=freeze, *=fine_tune] G(*,0,0)", "D(2,0,2) G(4,0,0)"),
        (
            "D[layer2=freeze, *=fine_tune] G(0,0,4)",
            "D[layer1=fine_tune, layer2=freeze, layer3=fine_tune, layer4=fine_tune] G(0,0,4)",
        ),
    ],
)
def test_the_report_says_the_plan_in_full(pair: NetworkPair, text: str, wanted: str):
    applied = apply_plan(
        parse_plan(text), pair, fresh=lambda: tiny_pair(seed=2), statistics="source"
    )
    assert applied.report.notation == wanted
    again = resolve(parse_plan(applied.report.notation), tiny_pair())
    assert again == applied.decisions


def test_trainability_is_exactly_what_the_plan_lists(pair: NetworkPair):
    applied = apply_plan(
        parse_plan("combined"), pair, fresh=lambda: tiny_pair(seed=2), statistics="source"
    )
    for role, network in pair.items():
        listed = {id(p) for layer in applied.trainable[role] for p in layer.parameters}
        awake = {id(p) for p in network.parameters() if p.requires_grad}
        assert listed == awake
        assert len(listed) == len([p for la in applied.trainable[role] for p in la.parameters])


def test_reset_takes_the_fresh_weights(pair: NetworkPair):
    fresh = tiny_pair(seed=2)
    source = everything_in(pair)
    plan = parse_plan("D[layer1=reset, *=fine_tune] G[layer4=reset, *=fine_tune]")
    apply_plan(plan, pair, fresh=lambda: fresh, statistics="source")
    now, new = everything_in(pair), everything_in(fresh)
    chosen = [
        n for n in now if n.startswith(("discriminator.blocks.layer1.", "generator.blocks.layer4."))
    ]
    assert len(chosen) == 4
    for name in now:
        assert torch.equal(now[name], (new if name in chosen else source)[name])
    assert any(not torch.equal(source[name], new[name]) for name in chosen)


def test_a_plan_that_trains_nothing_in_a_network_is_refused():
    with pytest.raises(PlanError, match="nothing to train"):
        tiny_run(plan="D(4,0,0) G(0,0,4)")


def test_a_source_on_batch_statistics_cannot_be_frozen_on_running_ones():
    source = tiny_pair(tiny_architecture())
    for layer in ("layer2", "layer3"):
        use_batch_statistics(source.generator.layers()[layer].norm)
    plan, fresh = parse_plan("D(1,1,2) G(1,1,2)"), tiny_pair(seed=2)
    with pytest.raises(PlanError, match="layer3 of the generator") as caught:
        apply_plan(plan, source, fresh=lambda: fresh, statistics="source")
    assert "frozen-statistics batch" in str(caught.value)
    assert "layer2 of" not in str(caught.value), "layer2 is fine-tuned and learns its own"


def test_fine_tuned_layers_learn_running_statistics_whatever_the_source_did():
    """A resumed run builds its networks without the source: both must follow the plan alone."""
    source = tiny_pair()
    plain = copy.deepcopy(source)
    for layer in ("layer1", "layer2", "layer3"):
        use_batch_statistics(source.generator.layers()[layer].norm)
    plan, fresh = parse_plan("D(1,1,2) G(2,0,2)"), tiny_pair(seed=2)
    for pair in (source, plain):
        apply_plan(plan, pair, fresh=lambda: fresh, statistics="batch")
        assert layers_on_batch_statistics(pair.generator.layers().items()) == ("layer3",)
        assert pair.generator.layers()["layer1"].norm.track_running_stats


def test_modulations_have_their_own_rate():
    settings = TransferSettings(modulation_rate=5.0)
    assert settings.rate_of("adafm") == 5.0
    assert settings.rate_of("filter_scale_shift") == 5.0
    assert settings.rate_of("fine_tune") == 1.0
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="modulation_rate"):
            TransferSettings(modulation_rate=wrong)


def test_classes_have_their_own_rate_whatever_their_action():
    settings = TransferSettings(modulation_rate=5.0, class_rate=3.0)
    assert settings.rate_of("fine_tune", layer="classes") == 3.0
    assert settings.rate_of("fine_tune", layer="layer1") == 1.0
    with pytest.raises(SettingsError, match="class_rate must be finite and positive"):
        TransferSettings(class_rate=0.0)
