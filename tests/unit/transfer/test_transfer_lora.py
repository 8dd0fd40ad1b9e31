"""LoRA against its formula written out by hand, and its folding."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.networks.blocks import evaluation_mode
from graftgan.transfer import LowRank, TransferSettings, apply_plan, fold, parse_plan
from graftgan.transfer.actions import ACTIONS, Context
from graftgan.transfer.modulation import LoRA, factors_in
from tiny_networks import everything_in, latents, tiny_images, tiny_pair, tiny_run

KERNELS = {
    "conv": (nn.Conv2d(3, 2, 4, stride=2, padding=1), (2, 3, 6, 6)),
    "strided": (nn.Conv2d(3, 5, (3, 1)), (2, 3, 6, 6)),
    "transposed": (nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1), (2, 2, 3, 3)),
    "linear": (nn.Linear(4, 3), (2, 4)),
}


def adapted(kind: str, rank: int = 2, scale: float = 1.0) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a layer, the same under ``lora``, and an input."""
    plain, shape = KERNELS[kind]
    changed = copy.deepcopy(plain).requires_grad_(False)
    rng = torch.Generator().manual_seed(1)
    context = Context("source", plain, LowRank(rank=rank, scale=scale), rng)
    chosen = ACTIONS["lora"].apply(changed, context)
    assert {id(p) for p in chosen} == {id(p) for p in factors_in(changed)}
    return plain, changed, torch.randn(shape, generator=rng)


def give_numbers(module: nn.Module) -> None:
    """Move every factor away from its start."""
    rng = torch.Generator().manual_seed(3)
    factors = factors_in(module)
    assert factors, "nothing is adapted"
    with torch.no_grad():
        for factor in factors:
            factor.copy_(0.3 * torch.randn(factor.shape, generator=rng))


@pytest.mark.parametrize("kind", KERNELS)
def test_at_the_start_nothing_changes(kind: str):
    plain, changed, given = adapted(kind)
    assert torch.equal(plain.weight, changed.weight)
    assert torch.equal(plain(given), changed(given))
    (lora,) = changed.parametrizations["weight"]
    assert not lora.B.any()
    assert lora.A.all()


@pytest.mark.parametrize("kind", KERNELS)
def test_the_change_is_the_product_of_the_factors(kind: str):
    plain, changed, given = adapted(kind, rank=2, scale=0.5)
    give_numbers(changed)
    (lora,) = changed.parametrizations["weight"]
    b, a = lora.B.detach(), lora.A.detach()
    rows, columns = b.shape[0], a.shape[1]
    wanted = plain.weight.detach().clone()
    transposed = isinstance(plain, nn.ConvTranspose2d)
    for row in range(rows):  # a row belongs to one output channel, for each kind of layer
        change = 0.5 * sum(b[row, k] * a[k] for k in range(b.shape[1]))
        place = wanted[:, row] if transposed else wanted[row]
        place += change.view(place.shape)
    outputs = plain(given).shape[1]
    assert (rows, columns) == (outputs, plain.weight.numel() // outputs)
    torch.testing.assert_close(changed.weight, wanted)
    by_hand = copy.deepcopy(plain)
    by_hand.weight = nn.Parameter(wanted)
    torch.testing.assert_close(changed(given), by_hand(given))


@pytest.mark.parametrize("kind", KERNELS)
def test_the_rank_is_what_was_asked_for_and_never_more_than_the_kernels(kind: str):
    _, changed, _ = adapted(kind, rank=1)
    give_numbers(changed)
    plain, large, given = adapted(kind, rank=1000)
    (lora,) = large.parametrizations["weight"]
    axis = 1 if isinstance(plain, nn.ConvTranspose2d) else 0
    outputs = plain.weight.shape[axis]
    assert lora.B.shape == (outputs, min(outputs, plain.weight.numel() // outputs))
    give_numbers(large)
    assert torch.isfinite(large(given)).all()

    def rank(module: nn.Module) -> int:
        change = (module.weight - plain.weight).detach().transpose(0, axis)
        return int(torch.linalg.matrix_rank(change.reshape(outputs, -1), atol=1e-4))

    assert rank(changed) == 1
    assert rank(large) == lora.B.shape[1]


@pytest.mark.parametrize("statistics", ["source", "batch"])
@pytest.mark.parametrize("rank", [2, 1000])
def test_folding_keeps_the_function_and_drops_the_factors(
    pair: NetworkPair, statistics: str, rank: int
):
    low_rank = LowRank(rank=rank, scale=0.5)
    plan = parse_plan("lora")
    fresh = tiny_pair(seed=2)
    apply_plan(plan, pair, fresh=lambda: fresh, statistics=statistics, low_rank=low_rank)
    for _, network in pair.items():
        give_numbers(network)
    folded = fold(pair)
    for (_, network), (_, plain) in zip(pair.items(), folded.items(), strict=True):
        assert not any(parametrize.is_parametrized(m) for m in plain.modules())
        evaluation_mode(network)
        evaluation_mode(plain)
    assert (folded.generator(latents()) - pair.generator(latents())).abs().max() < 1e-6
    scores = pair.discriminator(tiny_images())
    torch.testing.assert_close(folded.discriminator(tiny_images()), scores, rtol=1e-5, atol=1e-6)


def test_the_start_is_the_source_and_the_seed_decides_the_factors():
    source = tiny_pair()
    starts = []
    for seed in (0, 0, 1):
        pair = tiny_pair()
        low_rank = LowRank(seed=seed)
        plan = parse_plan("lora")
        apply_plan(
            plan, pair, fresh=partial(tiny_pair, seed=2), statistics="source", low_rank=low_rank
        )
        starts.append(everything_in(pair))
    for _, network in source.items():
        network.eval()
    assert torch.equal(pair.generator(latents()), source.generator(latents()))
    assert torch.equal(pair.discriminator(tiny_images()), source.discriminator(tiny_images()))
    factor = "generator.blocks.layer2.conv.parametrizations.weight.0.A"
    assert torch.equal(starts[0][factor], starts[1][factor])
    assert not torch.equal(starts[0][factor], starts[2][factor])
    other = factor.replace("layer2", "layer3")
    assert not torch.equal(starts[0][factor][0, :16], starts[0][other][0, :16])


def test_bfloat16_changes_no_factor_of_the_kernel():
    _, changed, _ = adapted("conv")
    give_numbers(changed)
    exact = changed.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(changed.weight, exact)


def test_clipping_leaves_the_factors_alone():
    run = tiny_run(plan="lora", objective="wgan", iterations=1)
    (lora, *_) = [m for m in run.training.pair.discriminator.modules() if isinstance(m, LoRA)]
    with torch.no_grad():
        lora.A.fill_(0.5)
    run.training.run()
    assert lora.A.abs().min() > 0.4


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingsError, match="lora_rank must be at least 1"):
        TransferSettings(lora_rank=0)
    with pytest.raises(SettingsError, match="lora_scale must be finite and positive"):
        TransferSettings(lora_scale=0.0)
