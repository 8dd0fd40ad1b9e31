"""An adapter put on its base is the network it was taken from, folded."""

import copy
from dataclasses import replace

import pytest
import torch

from graftgan.core.errors import CheckpointError, PlanError
from graftgan.models.adapters.adapter import Adapter, put_on
from graftgan.networks.blocks import layers_on_batch_statistics
from tiny_adapters import PLANS, outputs, tiny_source, trained


def put(adapter: Adapter, source):
    return put_on(adapter, copy.deepcopy(source.pair), source.card.fingerprints)


@pytest.mark.parametrize("backbone", ["dcgan", "mlp"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_folded_and_unfolded_networks_say_the_same(backbone: str, plan: str):
    source = tiny_source(backbone)
    unfolded, adapter = trained(source, plan)
    for ours, theirs, before in zip(
        outputs(put(adapter, source)), outputs(unfolded), outputs(source.pair), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        assert (ours - before).abs().max() > 1e-2


def test_an_adapter_carries_the_batch_statistics_of_its_plan():
    source = tiny_source()
    plan = "D(3,0,1) G(1,2,1)"
    unfolded, adapter = trained(source, plan, statistics="batch")
    folded = put(adapter, source)
    assert layers_on_batch_statistics(folded.discriminator.layers().items()) == ("layer2", "layer3")
    torch.testing.assert_close(outputs(folded)[0], outputs(unfolded)[0], atol=1e-5, rtol=1e-5)


def test_another_base_is_refused_by_its_hash():
    _, adapter = trained(tiny_source(), "adafm")
    other = tiny_source(seed=2)
    with pytest.raises(CheckpointError, match=r"another base .* made on 'tiny', generator sha256"):
        put(adapter, other)


def test_another_architecture_is_refused():
    source = tiny_source()
    _, adapter = trained(tiny_source("mlp"), "adafm")
    with pytest.raises(CheckpointError, match="another base"):
        put(adapter, source)
    forged = replace(adapter.note, base_fingerprints=source.card.fingerprints)
    with pytest.raises(CheckpointError, match="describes other networks"):
        put(Adapter(forged, adapter.tensors), source)


def test_tensors_that_do_not_fit_the_plan_are_named():
    source = tiny_source()
    _, adapter = trained(source, "adafm")
    name = next(iter(adapter.tensors))
    lacking = {key: tensor for key, tensor in adapter.tensors.items() if key != name}
    for tensors in (
        lacking,
        {**lacking, name: torch.zeros(1)},
        {**adapter.tensors, "generator.more": torch.zeros(1)},
    ):
        with pytest.raises(CheckpointError, match=r"does not fit its plan: \w+"):
            put(Adapter(adapter.note, tensors), source)
    hostile = {**adapter.tensors, "\x1b[2J": torch.zeros(1), "x" * 9_000: torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        put(Adapter(adapter.note, hostile), source)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    with pytest.raises(PlanError, match="not a plan"):
        put(Adapter(replace(adapter.note, plan="nonsense"), adapter.tensors), source)
