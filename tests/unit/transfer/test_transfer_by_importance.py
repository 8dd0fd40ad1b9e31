"""Kernels of which some filters are modulated and the others tuned, against formulas by hand."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from graftgan.core.errors import CheckpointError, SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.networks.blocks import evaluation_mode
from graftgan.transfer import TransferSettings, apply_plan, filters_in, fold, parse_plan
from graftgan.transfer.actions import ACTIONS, Context
from graftgan.transfer.modulation import KernelModulation, TunedFilters, factors_in
from tiny_networks import everything_in, latents, tiny_images, tiny_pair, tiny_run

PLAN = "D[*=by_importance] G[*=by_importance]"
KERNELS = {
    "conv": (nn.Conv2d(3, 4, (2, 5), stride=2, padding=1), (2, 3, 6, 6)),
    "transposed": (nn.ConvTranspose2d(3, 4, (2, 5), stride=2, padding=1), (2, 3, 3, 3)),
    "linear": (nn.Linear(5, 4), (2, 5)),
}


def mixed(kind: str, modulated: list[int]) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a layer, the same with ``modulated`` filters and the rest tuned, and an input."""
    plain, shape = KERNELS[kind]
    changed = copy.deepcopy(plain).requires_grad_(False)
    context = Context("source", plain, modulated={changed: torch.tensor(modulated).long()})
    chosen = ACTIONS["by_importance"].apply(changed, context)
    for parameter in chosen:
        parameter.requires_grad_(True)
    assert {id(p) for p in chosen} == {id(p) for p in changed.parameters() if p.requires_grad}
    return plain, changed, torch.randn(shape, generator=torch.Generator().manual_seed(1))


def shake(module: nn.Module) -> None:
    """Move every number that trains away from its start."""
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))


@pytest.mark.parametrize("modulated", [[], [1], [0, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize("kind", KERNELS)
def test_at_the_start_nothing_changes_and_everything_has_a_gradient(kind: str, modulated: list):
    plain, changed, given = mixed(kind, modulated)
    assert torch.equal(plain.weight, changed.weight)
    assert torch.equal(plain(given), changed(given))
    changed(given).square().sum().backward()
    for name, parameter in changed.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.requires_grad and not name.endswith(".u"):  # its gradient waits for v to move
            assert parameter.grad.any(), name


@pytest.mark.parametrize("kind", KERNELS)
def test_a_modulated_filter_is_the_kernels_times_one_plus_v_u(kind: str):
    """v belongs to a filter, u to an input channel and tap: in this order for every kind."""
    plain, changed, given = mixed(kind, [0, 2])
    shake(changed)
    modulation, own = changed.parametrizations["weight"]
    assert isinstance(modulation, KernelModulation)
    assert isinstance(own, TunedFilters)
    filters = len(plain(given)[0])
    inputs = plain.weight.numel() // filters
    assert (filters, modulation.v.shape, modulation.u.shape) == (4, (2,), (inputs,))
    by_filter = plain.weight.transpose(0, 1) if kind == "transposed" else plain.weight
    wanted = by_filter.detach().clone(memory_format=torch.contiguous_format)
    for place, number in enumerate([0, 2]):  # written out number by number
        for column in range(inputs):
            factor = 1 + modulation.v[place].item() * modulation.u[column].item()
            wanted[number].view(-1)[column] *= factor
    kernels = own.kernels.transpose(0, 1) if kind == "transposed" else own.kernels
    wanted[1], wanted[3] = kernels[0].detach(), kernels[1].detach()
    found = changed.weight.transpose(0, 1) if kind == "transposed" else changed.weight
    torch.testing.assert_close(found, wanted)
    by_hand = copy.deepcopy(plain)
    by_hand.weight = nn.Parameter(wanted.transpose(0, 1) if kind == "transposed" else wanted)
    by_hand.bias = changed.bias
    torch.testing.assert_close(changed(given), by_hand(given))


@pytest.mark.parametrize("kind", KERNELS)
def test_a_number_of_a_filter_moves_that_filters_output_alone(kind: str):
    """Would catch v and u in the wrong order, as between the original's two kinds of layer."""
    plain, changed, given = mixed(kind, [0, 1, 2, 3])
    with torch.no_grad():
        changed.parametrizations["weight"][0].v[2] = 1.0
    difference = (changed(given) - plain(given)).detach().transpose(0, 1).flatten(1)
    assert difference[2].abs().max() > 0
    assert not difference[[0, 1, 3]].any()


@pytest.mark.parametrize("kind", KERNELS)
def test_only_what_trains_is_kept(kind: str):
    plain, changed, _ = mixed(kind, [1])
    inputs = plain.weight.numel() // 4
    trained = sum(p.numel() for p in changed.parameters() if p.requires_grad)
    assert trained == (1 + inputs) + 3 * inputs + 4  # v and u, three filters, the bias
    assert len(factors_in(changed)) == 2


@pytest.mark.parametrize("known", [None, [4], [-1], [0, 9]])
def test_filters_that_are_not_known_or_not_there_are_refused(known: list[int] | None):
    plain, _ = KERNELS["conv"]
    layer = copy.deepcopy(plain)
    modulated = {} if known is None else {layer: torch.tensor(known)}
    with pytest.raises(CheckpointError, match="which filters"):
        ACTIONS["by_importance"].apply(layer, Context("source", plain, modulated=modulated))
    assert not parametrize.is_parametrized(layer)


@pytest.mark.parametrize("statistics", ["source", "batch"])
def test_folding_keeps_the_function_and_drops_the_parts(statistics: str):
    run = tiny_run(plan=PLAN, statistics=statistics)
    pair: NetworkPair = run.training.pair
    for _, network in pair.items():
        shake(network)
    folded = fold(pair)
    for (_, network), (_, plain) in zip(pair.items(), folded.items(), strict=True):
        assert not any(parametrize.is_parametrized(m) for m in plain.modules())
        evaluation_mode(network)
        evaluation_mode(plain)
    torch.testing.assert_close(
        folded.generator(latents()), pair.generator(latents()), rtol=1e-5, atol=1e-5
    )
    scores = pair.discriminator(tiny_images())
    torch.testing.assert_close(folded.discriminator(tiny_images()), scores, rtol=1e-5, atol=1e-5)


def test_saved_tensors_say_which_filters_are_modulated():
    run = tiny_run(plan=PLAN, transfer={"modulated_share": 0.05})
    found = filters_in(everything_in(run.training.pair))
    kernels = {
        f"{role}.{name}": part
        for role, network in run.source.items()
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    }
    assert found.keys() == kernels.keys()
    assert any(len(filters) == 0 for filters in found.values())
    assert sum(map(len, found.values())) > 0
    again = tiny_pair()
    plan = parse_plan(PLAN)
    apply_plan(plan, again, fresh=lambda: tiny_pair(seed=2), statistics="source", filters=found)
    for (_, one), (_, two) in zip(run.training.pair.items(), again.items(), strict=True):
        two.load_state_dict(one.state_dict())
    assert filters_in(everything_in(again)).keys() == found.keys()
    assert all(torch.equal(found[n], t) for n, t in filters_in(everything_in(again)).items())


def test_clipping_leaves_the_factors_alone_and_takes_the_tuned_filters():
    run = tiny_run(plan=PLAN, objective="wgan", iterations=1)
    modules = list(run.training.pair.discriminator.modules())
    modulated = next(m for m in modules if isinstance(m, KernelModulation))
    tuned = next(m for m in modules if isinstance(m, TunedFilters))
    run.training.run()
    assert modulated.u.abs().min() > 0.9
    assert tuned.kernels.abs().max() < 0.02


def test_bfloat16_changes_no_kernel():
    _, changed, _ = mixed("conv", [0, 2])
    shake(changed)
    exact = changed.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(changed.weight, exact)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"modulated_share": 1.1}, r"modulated_share must be in \[0, 1\]"),
        ({"modulated_share": float("nan")}, r"modulated_share must be in \[0, 1\]"),
        ({"probe_iterations": 0}, "probe_iterations must be at least 1"),
        ({"probe_samples": 0}, "probe_samples must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], says: str):
    with pytest.raises(SettingsError, match=says):
        TransferSettings(**settings)
