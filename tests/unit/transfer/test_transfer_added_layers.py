"""Plans leave layers that were put around a backbone out of their counts and patterns."""

import pytest

from graftgan.core.errors import PlanError
from graftgan.core.network_types import ADDED_LAYERS
from graftgan.transfer import parse_plan, resolve
from graftgan.transfer.plan import describe
from tiny_networks import tiny_architecture, tiny_pair

PLANS = ("D(1,1,2) G(1,2,1)", "combined", "lora", "adafm", "freeze", "fine_tune", "scratch")
CONDITIONAL = tiny_architecture(classes=("a", "b"))


ADDED = {"generator": "classes", "discriminator": "projection"}


def test_the_layers_of_the_classes_are_added_ones():
    assert set(ADDED.values()) <= ADDED_LAYERS


@pytest.mark.parametrize("text", PLANS)
def test_a_plan_means_the_same_with_and_without_classes(text: str):
    plain = resolve(parse_plan(text), tiny_pair())
    decided = resolve(parse_plan(text), tiny_pair(CONDITIONAL))
    for network, actions in decided.items():
        usual = "reset" if text == "scratch" else "fine_tune"
        assert dict(actions) == {**plain[network], ADDED[network]: usual}
        layers = dict(tiny_pair(CONDITIONAL).items())[network].layers()
        assert describe(network, actions) == describe(network, plain[network])
        assert describe(network, actions).actions(list(layers), network=network) == actions


def test_a_rule_with_its_name_decides_about_an_added_layer():
    plan = parse_plan("D[projection=freeze, layer1=freeze, *=fine_tune] G[*=adafm, classes=freeze]")
    decided = resolve(plan, tiny_pair(CONDITIONAL))
    assert all(decided[network][layer] == "freeze" for network, layer in ADDED.items())
    assert decided["discriminator"]["layer2"] == "fine_tune"
    for network, actions in decided.items():
        said = describe(network, actions)
        again = parse_plan(
            f"{said.text(network)} {'D(0,0,*)' if network[0] == 'g' else 'G(0,0,*)'}"
        )
        assert again.for_network(network).actions(list(actions), network=network) == actions


def test_what_an_added_layer_cannot_take_and_where_it_is_not():
    with pytest.raises(PlanError, match="classes of the generator cannot take adafm"):
        resolve(parse_plan("D(0,0,*) G[classes=adafm, *=fine_tune]"), tiny_pair(CONDITIONAL))
    with pytest.raises(PlanError, match="'classes' matches no layer"):
        resolve(parse_plan("D(0,0,*) G[classes=freeze, *=fine_tune]"), tiny_pair())
