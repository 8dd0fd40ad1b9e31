"""Which filters matter: against closed forms, and on networks in which some cannot matter."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.transfer import apply_plan, filter_importance, filters_in, most_important, parse_plan
from graftgan.transfer.modulation import KernelModulation
from tiny_networks import everything_in, latents, linear_pair, tiny_images, tiny_pair, tiny_run

PLAN = parse_plan("D[*=by_importance] G[*=by_importance]")


def modulated(pair: NetworkPair) -> dict[str, KernelModulation]:
    """Modulate every filter; return the modulations by network."""
    rng = torch.Generator().manual_seed(7)
    apply_plan(PLAN, pair, fresh=lambda: pair, statistics="source")
    found: dict[str, KernelModulation] = {}
    for role, network in pair.items():
        (found[role],) = [m for m in network.modules() if isinstance(m, KernelModulation)]
        with torch.no_grad():
            for factor in (found[role].v, found[role].u):
                factor.add_(0.5 * torch.randn(factor.shape, generator=rng))
    return found


def linear_case() -> tuple[NetworkPair, dict[str, KernelModulation], Tensor, Tensor]:
    rng = torch.Generator().manual_seed(2)
    pair = linear_pair(rng)
    with torch.no_grad():  # the score looks at the pixels by very different amounts
        pair.discriminator.score.weight.copy_(torch.tensor([[0.0, 3.0, 0.0, 0.3]]))
    modulations = modulated(pair)
    draws = torch.randn(64, 3, generator=rng)
    return pair, modulations, draws, torch.randn(64, 1, 1, 4, generator=rng)


def test_the_importance_of_the_generators_filters_equals_the_closed_form():
    """d log sigmoid(a W' z + c): by v_o it is sigmoid(-s) a_o sum_j W_oj u_j z_j."""
    pair, modulations, draws, real = linear_case()
    v, u = modulations["generator"].v.detach(), modulations["generator"].u.detach()
    weight = pair.generator.map.parametrizations["weight"].original.detach()
    direction = pair.discriminator.score.weight.detach()[0]
    scores = pair.discriminator(pair.generator(draws)).detach()
    slope = torch.sigmoid(-scores)[:, None]
    by_v = slope * direction * (draws @ (weight * u).T)
    by_u = slope * draws * ((direction * v) @ weight)
    wanted = by_v.square().mean(0) + by_u.square().mean()

    found = filter_importance(pair, draws, real)["generator.map"]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)
    shared = by_u.square().mean()
    torch.testing.assert_close(found[[0, 2]], torch.stack([shared, shared]))
    assert found[1] > found[3] > found[0]
    # The mistake seen in public code: the square of the mean, which forgets how samples differ.
    mistaken = by_v.mean(0).square() + by_u.mean(0).square().mean()
    assert (mistaken[[1, 3]] < 0.5 * wanted[[1, 3]]).all()


def test_the_importance_of_the_discriminators_filters_equals_the_closed_form():
    """The likelihood is sigmoid(D(x)) (1 - sigmoid(D(G(z)))) of one real and one drawn picture."""
    pair, modulations, draws, real = linear_case()
    v, u = modulations["discriminator"].v.detach(), modulations["discriminator"].u.detach()
    weight = pair.discriminator.score.parametrizations["weight"].original.detach()[0]
    fake = pair.generator(draws).detach().flatten(1)
    real_slope = torch.sigmoid(-pair.discriminator(real)).detach()[:, None]
    fake_slope = torch.sigmoid(pair.discriminator(fake)).detach()[:, None]
    by_pixel = weight * (real_slope * real.flatten(1) - fake_slope * fake)
    by_v, by_u = by_pixel @ u, by_pixel * v
    found = filter_importance(pair, draws, real)["discriminator.score"]
    wanted = by_v.square().mean() + by_u.square().mean()
    torch.testing.assert_close(found, wanted[None], rtol=1e-4, atol=1e-7)


def test_filters_that_nothing_looks_at_come_last():
    pair = tiny_pair()
    dead = [1, 6, 7]
    with torch.no_grad():  # layer2 reads nothing of these outputs of layer1
        pair.generator.layers()["layer2"].conv.weight[dead] = 0.0
    apply_plan(PLAN, pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    found = filter_importance(pair, latents(6), tiny_images(6))
    first = found["generator.blocks.layer1.conv"]
    alive = [i for i in range(len(first)) if i not in dead]
    assert first[dead].max() < first[alive].min()
    chosen = most_important({"generator.first": first}, len(alive) / len(first))
    assert chosen["generator.first"].tolist() == alive


def test_the_most_important_are_ranked_within_each_network():
    importance = {
        "generator.a": torch.tensor([5.0, 1.0, 4.0]),
        "generator.b": torch.tensor([3.0, 9.0]),
        "discriminator.a": torch.tensor([100.0, 300.0, 200.0, 400.0]),
    }
    chosen = {n: t.tolist() for n, t in most_important(importance, 0.5).items()}
    assert chosen == {"generator.a": [0], "generator.b": [1], "discriminator.a": [1, 3]}
    none, every = (most_important(importance, share) for share in (0.0, 1.0))
    assert not any(len(filters) for filters in none.values())
    assert all(len(every[n]) == len(t) for n, t in importance.items())


def test_equal_importance_is_decided_by_place():
    chosen = most_important({"generator.a": torch.ones(5), "generator.b": torch.ones(3)}, 0.5)
    assert {n: t.tolist() for n, t in chosen.items()} == {
        "generator.a": [0, 1, 2, 3],
        "generator.b": [],
    }


def test_a_probe_chooses_the_share_that_was_asked_for_and_always_the_same():
    plan = "D[layer1=freeze, *=by_importance] G[layer2-3=by_importance, *=fine_tune]"
    runs = [tiny_run(plan=plan, transfer={"modulated_share": 0.25}) for _ in range(2)]
    first, second = (filters_in(everything_in(run.training.pair)) for run in runs)
    assert {n.rpartition(".blocks.")[2] for n in first if n.startswith("generator")} == {
        "layer2.conv",
        "layer3.conv",
    }
    assert not any(".layer1." in name for name in first)
    count = sum(len(filters) for name, filters in first.items() if name.startswith("generator"))
    assert count == round(0.25 * (8 + 4))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    source, started = everything_in(runs[0].source), everything_in(runs[0].training.pair)
    kept = [name for name in source if name in started]
    assert all(torch.equal(source[name], started[name]) for name in kept), "the probe left a trace"


def test_samples_that_mix_are_refused():
    with pytest.raises(SettingsError, match="by_importance looks at one sample at a time"):
        tiny_run(plan="D[*=fine_tune] G[layer1=freeze, *=by_importance]", statistics="batch")
