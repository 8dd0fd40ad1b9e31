"""Several adapters on one base: which networks come out, and what stays untouched."""

import math
from pathlib import Path

import pytest
import torch

from graftgan.core.errors import CheckpointError, SettingsError, UnknownName
from graftgan.core.network_types import tensors_of
from graftgan.models.adapters.adapter import put_on
from graftgan.models.adapters.bank import AdapterBank, open_bank, with_adapter
from graftgan.networks.blocks import use_batch_statistics
from tiny_adapters import PLANS, outputs, saved_adapter, saved_source, tiny_source, trained
from tiny_networks import assert_same_tensors, everything_in


@pytest.fixture
def bank() -> AdapterBank:
    """A bank of two adapters of different plans."""
    source = tiny_source()
    bank = AdapterBank(source)
    bank.add("a", trained(source, PLANS["mixed"], seed=1)[1])
    bank.add("b", trained(source, "fine_tune", seed=2)[1])
    return bank


def test_each_adapter_alone_is_what_folding_it_gives(bank: AdapterBank):
    source = tiny_source()
    for name, plan, seed in (("a", PLANS["mixed"], 1), ("b", "fine_tune", 2)):
        adapter = trained(source, plan, seed=seed)[1]
        folded = put_on(adapter, tiny_source().pair, source.card.fingerprints)
        for weights in (name, {name: 1.0}, {name: 1.0, {"a": "b", "b": "a"}[name]: 0.0}):
            assert_same_tensors(everything_in(bank.pair(weights)), everything_in(folded))
            assert_same_tensors(tensors_of(bank.generator(weights)), tensors_of(folded.generator))


def test_no_adapter_is_the_base_bit_for_bit(bank: AdapterBank):
    for weights in ({}, {"a": 0.0}, {"a": 0.0, "b": 0.0}):
        assert_same_tensors(everything_in(bank.pair(weights)), everything_in(tiny_source().pair))


def test_a_mix_is_the_base_and_the_weighted_differences(bank: AdapterBank):
    weights = {"a": 0.3, "b": 0.9}  # 1.2 in all: the base counts -0.2
    base, a, b, mixed = (everything_in(bank.pair(w)) for w in ({}, {"a": 1.0}, {"b": 1.0}, weights))
    variances = counters = 0
    for name, tensor in mixed.items():
        if name.endswith("running_var"):
            wanted = base[name] ** -0.2 * a[name] ** 0.3 * b[name] ** 0.9
            variances += 1
        elif not tensor.is_floating_point():
            wanted = torch.maximum(a[name], b[name])
            counters += 1
        else:
            wanted = base[name] + 0.3 * (a[name] - base[name]) + 0.9 * (b[name] - base[name])
        torch.testing.assert_close(tensor, wanted)
    assert variances > 2
    assert counters > 2


def test_variances_stay_positive_far_beyond_the_ends(bank: AdapterBank):
    """A straight line through two variances would be negative here."""
    base, b = everything_in(bank.pair({})), everything_in(bank.pair("b"))
    line = [-9 * base[n] + 10 * b[n] for n in base if n.endswith("running_var")]
    assert min(float(v.min()) for v in line) < 0
    far = everything_in(bank.pair({"b": 10.0}))
    assert all(bool((far[n] > 0).all()) for n in far if n.endswith("running_var"))
    assert all(bool(tensor.isfinite().all()) for tensor in far.values())


def test_rounding_of_the_weights_does_not_bring_the_base_in():
    source = tiny_source()
    use_batch_statistics(source.pair.discriminator.layers()["layer2"].norm)
    bank = AdapterBank(source)
    weights = {"a": 0.01, "b": 0.29, "c": 0.7}
    assert 1 - math.fsum(weights.values()) != 0
    for seed, name in enumerate(weights):
        bank.add(name, trained(source, "fine_tune", seed=seed)[1])
    assert bank.pair(weights).discriminator.layers()["layer2"].norm.track_running_stats
    assert not bank.pair({"a": 0.9}).discriminator.layers()["layer2"].norm.track_running_stats


def test_what_a_bank_hands_out_is_its_callers_own(bank: AdapterBank):
    before = everything_in(bank.pair("a"))
    with torch.no_grad():
        for weights in ("a", {}, {"a": 0.5, "b": 0.5}):
            for _, network in bank.pair(weights).items():
                for tensor in network.state_dict().values():
                    tensor.zero_()
    assert_same_tensors(everything_in(bank.pair("a")), before)
    assert_same_tensors(everything_in(bank.pair({})), everything_in(tiny_source().pair))


def test_what_an_adapter_left_alone_is_in_memory_once():
    source = tiny_source()
    bank = AdapterBank(source)
    bank.add("a", trained(source, "D(3,0,1) G(3,0,1)")[1])
    pair, base = bank._pairs["a"].generator.state_dict(), source.pair.generator.state_dict()
    shared = [n for n in base if pair[n].data_ptr() == base[n].data_ptr()]
    equal = [n for n in base if torch.equal(pair[n], base[n])]
    assert 0 < len(equal) == len(shared) < len(base)


def test_a_layer_follows_the_batch_where_an_adapter_that_takes_part_does():
    source = tiny_source()
    bank = AdapterBank(source)
    plan = "D(3,0,1) G(1,2,1)"
    bank.add("batch", trained(source, plan, statistics="batch")[1])
    bank.add("source", trained(source, plan)[1])
    for weights, follows in (
        ({"batch": 0.5}, True),
        ({"source": 0.5, "batch": 0.5}, True),
        ({"source": 0.5, "batch": 0.0}, False),
        ({}, False),
    ):
        norm = bank.pair(weights).discriminator.layers()["layer2"].norm
        assert norm.track_running_stats != follows


def test_names_and_weights_are_checked(bank: AdapterBank):
    with pytest.raises(UnknownName, match="no adapter 'c' in the bank"):
        bank.pair("c")
    with pytest.raises(SettingsError, match="already"):
        bank.add("a", trained(tiny_source(), "adafm")[1])
    for weight in (math.nan, math.inf, -math.inf, 1e308):
        with pytest.raises(SettingsError, match="between -100 and 100"):
            bank.generator({"a": weight})
    with pytest.raises(CheckpointError, match="mine belongs to another base"):
        bank.add("mine", trained(tiny_source(seed=3), "adafm")[1])
    assert list(bank.notes) == ["a", "b"]


def test_adapters_on_disk_are_put_on_with_their_weights(tmp_path: Path):
    source = saved_source(tmp_path / "base")
    a = saved_adapter(tmp_path / "a", tmp_path / "base")
    b = saved_adapter(tmp_path / "b", tmp_path / "base", "fine_tune", seed=4)
    bank = open_bank([a, b])
    wanted = everything_in(bank.pair({str(a): 0.5, str(b): 0.25}))
    before = everything_in(source.pair)
    for base in (str(tmp_path / "base"), source):
        assert_same_tensors(everything_in(with_adapter(base, [(a, 0.5), (b, 0.25)])), wanted)
    assert_same_tensors(everything_in(source.pair), before)
    (tmp_path / "base").rename(tmp_path / "moved")
    assert_same_tensors(
        everything_in(open_bank([a], base=str(tmp_path / "moved")).pair({})), before
    )


@pytest.mark.parametrize("mapper", ["miner", "affine"])
def test_an_adapter_behind_a_latent_map_is_taken_alone(mapper: str):
    source = tiny_source()
    unfolded, adapter = trained(source, "D(1,2,1) G[mapper=fine_tune, *=adafm]", before=mapper)
    assert any("mapper" in name for name in adapter.tensors)
    bank = AdapterBank(source)
    bank.add("mapped", adapter)
    torch.testing.assert_close(
        outputs(bank.pair("mapped"))[0], outputs(unfolded)[0], atol=1e-5, rtol=1e-5
    )
    assert_same_tensors(everything_in(bank.pair({})), everything_in(tiny_source().pair))
    with pytest.raises(CheckpointError, match=f"mapper is none and {mapper}"):
        bank.generator({"mapped": 0.5})
