"""Named methods: each a table row of settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from graftgan.core.registry import Registry

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the literature, as settings."""

    summary: str  # one line for tables and help
    paper: str
    settings: Mapping[str, Any]  # values by dotted name; other settings stay as they are


METHODS: Registry[Method] = Registry("method")

_ALL_TRAIN = {"plan": "fine_tune"}
_RECONSTRUCTION = {
    "procedure": "reconstruction",
    "network.mapper": "affine",
    "augment": "none",
    "optimization.optimizer": "adam",
    "optimization.beta1": 0.9,
    "optimization.beta2": 0.999,
}
_ROWS = {
    "fine_tune": Method(
        "train every layer of both networks from the source's weights",
        "arXiv:1805.01677",
        _ALL_TRAIN,
    ),
    "transfergan": Method(
        "fine-tune both networks at TransferGAN's low learning rate",
        "Wang et al. 2018, arXiv:1805.01677",
        {
            **_ALL_TRAIN,
            "optimization.generator_learning_rate": 1e-5,
            "optimization.discriminator_learning_rate": 1e-5,
        },
    ),
    "freeze": Method(
        "freeze the layers near the picture in both networks, fine-tune the general part",
        "papers 000 and 001",
        {"plan": "freeze"},
    ),
    "freezed": Method(
        "freeze the discriminator's layers near the picture, fine-tune the whole generator",
        "Mo et al. 2020, arXiv:2002.10964",
        {"plan": "D(*,0,2) G(0,0,*)"},
    ),
    "adafm": Method(
        "keep every kernel, learn a scale and a shift for each",
        "Zhao et al. 2020, arXiv:2002.11810",
        {"plan": "adafm"},
    ),
    "adafm_zhao": Method(
        "AdaFM as first trained: a fresh layer at the latent, modulations that begin later",
        "Zhao et al. 2020, arXiv:2002.11810",
        {
            "plan": "D(2,0,*) G[layer1=reset, *=adafm]",
            "transfer.frozen_statistics": "batch",
            "transfer.modulations_from": 0.2,
            "optimization.generator_learning_rate": 1e-4,
            "optimization.discriminator_learning_rate": 1e-4,
        },
    ),
    "filter_scale_shift": Method(
        "keep every weight, learn a scale and a shift per channel",
        "Noguchi and Harada 2019, arXiv:1904.01774",
        {"plan": "D[*=filter_scale_shift] G[*=filter_scale_shift]"},
    ),
    "combined": Method(
        "freeze near the picture, AdaFM in the middle, fine-tune the rest",
        "paper 001",
        {"plan": "combined"},
    ),
    "lora": Method(
        "keep every kernel, learn a change of low rank for each",
        "Hu et al. 2021, arXiv:2106.09685",
        {"plan": "lora"},
    ),
    "adam": Method(
        "probe which filters matter, modulate those, fine-tune the others",
        "Zhao et al. 2022, arXiv:2210.16559",
        {"plan": "D[*=by_importance] G[*=by_importance]", "transfer.modulated_share": 0.5},
    ),
    "l2_sp": Method(
        "fine-tune, with all weights held to the source's alike",
        "Li et al. 2018, arXiv:1802.01483",
        {
            **_ALL_TRAIN,
            "regularizers.l2_sp_discriminator": 0.1,
            "regularizers.l2_sp_generator": 0.1,
        },
    ),
    "feature_distillation": Method(
        "fine-tune, with the discriminator's features of real pictures held to the source's",
        "Mo et al. 2020, arXiv:2002.10964",
        {**_ALL_TRAIN, "regularizers.feature_distillation": 1.0},
    ),
    "ewc": Method(
        "fine-tune, with each weight of the generator held by how much it matters",
        "Li et al. 2020, arXiv:2012.02780",
        {**_ALL_TRAIN, "regularizers.ewc": 100.0},
    ),
    "bsa": Method(
        "learn a scale and a shift per channel of the generator alone, and a latent per picture",
        "Noguchi and Harada 2019, arXiv:1904.01774",
        {
            **_RECONSTRUCTION,
            "plan": "D[*=freeze] G[mapper=fine_tune, *=filter_scale_shift]",
            "optimization.generator_learning_rate": 0.03,
            "reconstruction.latent_rate": 0.05,
            "reconstruction.latent_noise": 0.01,
            "reconstruction.latent_prior_weight": 0.1,
            "reconstruction.modulation_prior_weight": 0.02,
            "reconstruction.sampled_spread": 0.17,
            "reconstruction.rate_drop": 0.2,
        },
    ),
    "glo": Method(
        "fine-tune the generator alone, with a latent per picture in a ball",
        "Bojanowski et al. 2018, arXiv:1707.05776",
        {
            **_RECONSTRUCTION,
            "plan": "D[*=freeze] G[*=fine_tune]",
            "optimization.generator_learning_rate": 1e-3,
            "reconstruction.pixel_distance": "laplacian",
            "reconstruction.latent_radius": 1.0,
        },
    ),
    "minegan": Method(
        "learn which latents to draw from, then fine-tune both networks",
        "Wang et al. 2020, arXiv:1912.05270",
        {**_ALL_TRAIN, "network.mapper": "miner", "transfer.generator_from": 0.3},
    ),
    "mind2mind": Method(
        "encode the pictures once, train the first generator layers on the codes alone",
        "Fregier and Gouray 2020, arXiv:1906.11613",
        {
            "procedure": "codes",
            "plan": "D(*,0,0) G(*,0,2)",
            "augment": "none",
            "objective": "wgan_gp",
            "optimization.generator_learning_rate": 1e-3,
            "optimization.discriminator_learning_rate": 1e-3,
            "optimization.beta1": 0.0,
            "optimization.beta2": 0.5,
        },
    ),
    "scratch": Method(
        "train the same networks from fresh weights, to compare with", "none", {"plan": "scratch"}
    ),
}
for _name, _method in _ROWS.items():
    METHODS.register(_name)(_method)


def with_method(experiment: E, name: str) -> E:
    """Return ``experiment`` under the method ``name``; UnknownName: there is no such method."""
    changed = _changed(experiment, "method", name)
    for dotted, value in METHODS[name].settings.items():
        changed = _changed(changed, dotted, value)
    return changed


def under_method(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings completed by those of their ``method``; UnknownName: there is none."""
    filled = {k: dict(v) if isinstance(v, Mapping) else v for k, v in data.items()}
    name = data.get("method")
    if not isinstance(name, str):
        return filled
    for dotted, value in METHODS[name].settings.items():
        *tables, leaf = dotted.split(".")
        table = filled
        for part in tables:
            table = table.setdefault(part, {})
        if isinstance(table, dict):  # else the file is refused later, with a better message
            table.setdefault(leaf, value)
    return filled


def _changed(settings: Any, dotted: str, value: Any) -> Any:
    first, _, rest = dotted.partition(".")
    return replace(
        settings, **{first: _changed(getattr(settings, first), rest, value) if rest else value}
    )
