"""Adapters without a training: a plan in force whose trainable numbers are random."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from graftgan.checkpoints import SourceCard, SourceModel, fingerprint, save_source
from graftgan.core.network_types import NO_MAPPER, NetworkPair, tensors_of
from graftgan.models.adapters.adapter import Adapter, AdapterNote, changed_tensors, save_adapter
from graftgan.models.sources import open_source
from graftgan.networks.backbone import behind_mapper, build_pair
from graftgan.networks.blocks import evaluation_mode
from graftgan.transfer import LowRank, apply_plan, parse_plan
from tiny_networks import latents, tiny_architecture, tiny_images, tiny_pair

LOW_RANK = LowRank(rank=2, scale=0.5)
PLANS = {
    "adafm": "adafm",
    "filter_scale_shift": "D[*=filter_scale_shift] G[*=filter_scale_shift]",
    "lora": "lora",
    "tuned": "fine_tune",
    "mixed": (
        "D[layer1=freeze, layer2=adafm, layer3=lora, layer4=fine_tune]"
        "G[layer1=reset, layer2=adafm, layer3=lora, layer4=filter_scale_shift]"
    ),
}


def tiny_source(backbone: str = "dcgan", *, seed: int = 1) -> SourceModel:
    architecture = tiny_architecture(backbone)
    pair = tiny_pair(architecture, seed=seed)
    prints = {role: fingerprint(tensors_of(network)) for role, network in pair.items()}
    card = SourceCard(name="tiny", architecture=architecture, data="drawings", fingerprints=prints)
    return SourceModel(card, pair)


def trained(
    source: SourceModel,
    plan: str,
    *,
    seed: int = 0,
    statistics: str = "source",
    before: str = NO_MAPPER,
) -> tuple[NetworkPair, Adapter]:
    """Return unfolded networks that look trained under ``plan``, and their adapter.

    ``before`` is the mapper that the plan's generator stands behind.
    """
    rng = torch.Generator().manual_seed(seed)
    pair = behind_mapper(copy.deepcopy(source.pair), before, rng)
    applied = apply_plan(
        parse_plan(plan),
        pair,
        fresh=lambda: build_pair(pair.architecture),
        statistics=statistics,
        low_rank=LOW_RANK,
    )
    tensors = changed_tensors(pair, applied)
    for name, tensor in tensors.items():
        if name.endswith("running_var"):
            tensor.mul_(0.5 + torch.rand(tensor.shape, generator=rng))
        elif tensor.is_floating_point():
            tensor.add_(torch.randn(tensor.shape, generator=rng), alpha=0.1)
        else:
            tensor.add_(5)
    note = AdapterNote(
        base=source.card.name,
        base_fingerprints=source.card.fingerprints,
        architecture=pair.architecture,
        plan=applied.report.notation,
        statistics=applied.report.statistics,
        iteration=3,
        images_seen=12,
        objective="hinge",
        pictures=f"set{seed}",
        lora_rank=LOW_RANK.rank,
        lora_scale=LOW_RANK.scale,
    )
    return pair, Adapter(note, {name: tensor.clone() for name, tensor in tensors.items()})


def saved_source(folder: Path, *, seed: int = 1) -> SourceModel:
    """Write a tiny source and return it as it is read again."""
    save_source(
        folder, tiny_pair(seed=seed), SourceCard(name="tiny", architecture=tiny_architecture())
    )
    return open_source(str(folder))


def saved_adapter(
    folder: Path,
    source: Path | str,
    plan: str = "adafm",
    *,
    seed: int = 0,
    called: str | None = None,
) -> Path:
    """Write an adapter of a saved source, ``called`` so in its note, as a run does."""
    opened = open_source(str(source))
    _, adapter = trained(opened, plan, seed=seed)
    named = replace(adapter.note, base=called or str(source))
    save_adapter(Adapter(named, adapter.tensors), folder / "adapter.safetensors")
    return folder


def outputs(pair: NetworkPair) -> tuple[Tensor, Tensor]:
    """Return what both networks say in evaluation."""
    for _, network in pair.items():
        evaluation_mode(network)
    with torch.no_grad():
        return pair.generator(latents(6, 8)), pair.discriminator(tiny_images(6))
