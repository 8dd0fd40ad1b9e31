"""What a generator behind a mapper owes the other rooms, whichever map and backbone."""

import pytest
import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import MAPPER_LAYER, NO_MAPPER, NetworkPair
from graftgan.networks.backbone import BACKBONES, MAPPERS, behind_mapper, build_pair
from graftgan.transfer import PRESETS, parse_plan, resolve
from graftgan.transfer.plan import describe
from tiny_networks import assert_same_tensors, everything_in, latents, tiny_architecture, tiny_pair

MAPS = [name for name in MAPPERS if name != NO_MAPPER]
CASES = [(backbone, name) for backbone in BACKBONES for name in MAPS]


def mapped(backbone: str, name: str) -> NetworkPair:
    return tiny_pair(tiny_architecture(backbone, mapper=name))


def test_there_are_maps_to_hold_to_the_contract():
    assert {"affine", "miner"} <= set(MAPS)


@pytest.mark.parametrize(("backbone", "name"), CASES)
def test_the_map_is_the_first_layer_and_every_tensor_lies_in_one(backbone: str, name: str):
    generator = mapped(backbone, name).generator
    plain = build_pair(tiny_architecture(backbone)).generator
    assert list(generator.layers()) == [MAPPER_LAYER, *plain.layers()]
    own = [*generator.parameters(), *generator.buffers()]
    claims = [
        id(tensor)
        for layer in generator.layers().values()
        for tensor in (*layer.parameters(), *layer.buffers())
    ]
    assert sorted(claims) == sorted(id(tensor) for tensor in own)
    ran: list[str] = []
    for layer, module in generator.layers().items():
        module.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    generator(latents())
    assert ran == list(generator.layers())


@pytest.mark.parametrize(("backbone", "name"), CASES)
def test_it_starts_as_the_source(backbone: str, name: str):
    """So the latents start as N(0, I), and the first pictures are the source's."""
    source, pair = tiny_pair(tiny_architecture(backbone)), tiny_pair(tiny_architecture(backbone))
    pair = behind_mapper(pair, name, torch.Generator().manual_seed(0))
    for network in (source.generator, pair.generator):
        network.eval()
    assert torch.equal(pair.generator(latents()), source.generator(latents()))
    assert pair.architecture.mapper == pair.discriminator.architecture.mapper == name


@pytest.mark.parametrize(("backbone", "name"), CASES)
def test_its_tensors_fit_a_pair_built_from_its_architecture(backbone: str, name: str):
    pair = mapped(backbone, name)
    again = build_pair(pair.architecture)
    for (_, network), (_, other) in zip(pair.items(), again.items(), strict=True):
        other.load_state_dict(network.state_dict())
    assert_same_tensors(everything_in(pair), everything_in(again))


@pytest.mark.parametrize("name", MAPS)
def test_another_map_or_none_is_refused(name: str):
    rng = torch.Generator().manual_seed(0)
    pair = mapped("dcgan", name)
    assert behind_mapper(pair, name, rng) is pair
    for other in MAPPERS:
        if other != name:
            with pytest.raises(SettingsError, match=f"already has the mapper '{name}'"):
                behind_mapper(pair, other, rng)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_mean_the_same_for_the_layers_behind_it(preset: str, name: str):
    pair, plain = mapped("dcgan", name), tiny_pair()
    decisions = resolve(parse_plan(preset), pair)["generator"]
    own = resolve(parse_plan(preset), plain)["generator"]
    expected = "reset" if preset == "scratch" else "fine_tune"
    assert decisions == {MAPPER_LAYER: expected, **own}
    assert list(decisions) == list(pair.generator.layers())
    text = describe("generator", decisions).text("generator")
    assert text == describe("generator", own).text("generator")


@pytest.mark.parametrize("rule", ["freeze", "reset"])
def test_a_rule_may_name_the_map(rule: str):
    pair = mapped("dcgan", "miner")
    plan = parse_plan(f"D(0,0,*) G[mapper={rule}, *=fine_tune]")
    decisions = resolve(plan, pair)["generator"]
    assert decisions.pop(MAPPER_LAYER) == rule
    assert set(decisions.values()) == {"fine_tune"}
    decisions = resolve(plan, pair)["generator"]
    again = parse_plan(f"D(0,0,*) {describe('generator', decisions).text('generator')}")
    assert resolve(again, pair)["generator"] == decisions
    only = parse_plan("D(0,0,*) G[mapper=fine_tune, *=freeze]")
    assert resolve(only, pair) == resolve(parse_plan("D(0,0,*) G(*,0,0)"), pair)


def test_a_miner_bends_and_trains_in_every_part():
    miner = MAPPERS["miner"](6, torch.Generator().manual_seed(3))
    draws = latents(64, 6)
    assert torch.equal(miner(draws), draws)
    miner(draws).sum().backward()
    reached = {name for name, p in miner.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"shift.weight", "shift.bias"}, "the rest follows once these have moved"
    with torch.no_grad():
        for part in miner.modules():
            if isinstance(part, nn.Linear):
                part.weight.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(4))
    miner.zero_grad()
    miner(draws).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in miner.parameters())
    both = miner(draws) + miner(-draws) - 2 * miner(torch.zeros_like(draws))
    assert both.abs().max() > 0.1, "an affine map would give zero here"
