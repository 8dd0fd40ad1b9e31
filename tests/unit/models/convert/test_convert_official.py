"""An official file becomes a source: same pictures, same scores; what does not fit is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graftgan.core.errors import CheckpointError, RunError
from graftgan.core.network_types import NetworkPair, class_weights, tensors_of
from graftgan.models.convert import import_source
from graftgan.models.sources import open_source
from graftgan.networks.backbone import build_pair
from official_pickles import Stored, stored, write_official
from tiny_networks import latents, tiny_architecture, tiny_images

BACKBONES = ("stylegan2", "stylegan3t", "stylegan3r")


@pytest.fixture(autouse=True)
def _no_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAFTGAN_SENTINEL", str(tmp_path / "was_run"))
    yield
    assert not (tmp_path / "was_run").exists()


def settings_of(pair: NetworkPair) -> dict[str, Any]:
    """Return what an official program would have built the discriminator of ``pair`` with."""
    architecture = pair.architecture
    assert architecture.style is not None
    return {
        "c_dim": len(architecture.classes),
        "img_resolution": architecture.resolution,
        "img_channels": architecture.channels,
        "channel_base": architecture.width * architecture.resolution,
        "channel_max": architecture.style.most_channels,
    }


def networks_of(pair: NetworkPair, **changes: Any) -> dict[str, Stored]:
    architecture = pair.architecture
    assert architecture.style is not None
    style = architecture.style
    common = {**settings_of(pair), **changes}
    sizes = {"z_dim": architecture.latent_size, "w_dim": style.style_size}
    if style.generator_factor != 1:
        for name in ("channel_base", "channel_max"):
            sizes[name] = int(common[name] * style.generator_factor)
    its: dict[str, Any] = {} if style.residual else {"architecture": "orig"}
    its["epilogue_kwargs"] = {"mbstd_group_size": style.minibatch_group or None}
    return {
        "G": stored({}, **common),
        "D": stored(tensors_of(pair.discriminator), "Discriminator", **{**common, **its}),
        "G_ema": stored(tensors_of(pair.generator), **{**common, **sizes}),
    }


def started(backbone: str, classes: tuple[str, ...] = (), **style: Any) -> NetworkPair:
    architecture = tiny_architecture(backbone, classes=classes)
    assert architecture.style is not None
    architecture = replace(architecture, style=replace(architecture.style, **style))
    pair = build_pair(architecture, torch.Generator().manual_seed(3))
    for _, network in pair.items():
        network.eval()
    return pair


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{backbone: (backbone, {}) for backbone in BACKBONES},
    "as stylegan3r is published": ("stylegan3r", {"generator_factor": 2.0}),
    "as cifar10 is published": ("stylegan2", {"residual": False, "minibatch_group": 32}),
    "the deviation within the batch": ("stylegan2", {"minibatch_group": 0}),
    "a narrower generator": ("stylegan3t", {"generator_factor": 0.5}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_source_is_the_stored_pair(tmp_path: Path, form: str):
    backbone, style = FORMS[form]
    pair = started(backbone, **style)
    file = write_official(tmp_path / "faces.pkl", networks_of(pair))
    card = import_source(file, tmp_path / "faces", licence="CC0 1.0")
    assert card.architecture == pair.architecture
    assert card.licence == "CC0 1.0"
    assert "faces.pkl" in card.notes
    source = open_source(str(tmp_path / "faces")).pair
    for _, network in source.items():
        network.eval()
    with torch.no_grad():
        given, pictures = latents(2, 8), tiny_images(12)
        assert torch.equal(source.generator(given), pair.generator(given))
        assert torch.equal(source.discriminator(pictures), pair.discriminator(pictures))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_classes_come_along(tmp_path: Path, backbone: str):
    pair = started(backbone, classes=("0", "1", "2"))
    file = write_official(tmp_path / "kinds.pkl", networks_of(pair))
    assert import_source(file, tmp_path / "kinds").architecture == pair.architecture
    source = open_source(str(tmp_path / "kinds")).pair
    pictures = []
    for label in (0, 2):
        classes = class_weights(torch.full((2,), label), 3)
        given = torch.cat([latents(2, 8), classes], dim=1)
        with torch.no_grad():
            pictures.append(source.generator.eval()(given))
            assert torch.equal(pictures[-1], pair.generator(given))
            seen = tiny_images(2)
            assert torch.equal(
                source.discriminator.eval().conditioned_on(classes)(seen),
                pair.discriminator.conditioned_on(classes)(seen),
            )
    assert not torch.equal(*pictures)


def test_one_network_that_knows_classes_is_not_enough(tmp_path: Path):
    networks = networks_of(started("stylegan2", classes=("0", "1")))
    networks["D"] = networks_of(started("stylegan2"))["D"]
    file = write_official(tmp_path / "x.pkl", networks)
    with pytest.raises(CheckpointError, match="only one of its networks knows its classes"):
        import_source(file, tmp_path / "x")


def test_settings_of_the_synthesis_may_lie_in_a_part_of_their_own(tmp_path: Path):
    pair = started("stylegan2")
    networks = networks_of(pair)
    settings = networks["G_ema"].meta["state"]["_init_kwargs"]
    inner = {name: settings.pop(name) for name in ("channel_base", "channel_max")}
    settings["synthesis_kwargs"] = {**inner, "num_fp16_res": 4, "conv_clamp": 256}
    critic = networks["D"].meta["state"]["_init_kwargs"]
    critic.update(conv_clamp=256, epilogue_kwargs={"mbstd_group_size": 8})
    file = write_official(tmp_path / "x.pkl", networks)
    style = import_source(file, tmp_path / "x").architecture.style
    assert style is not None
    assert (style.clamp, style.minibatch_group) == (256.0, 8)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"c_dim": 10}, "does not fit the network"),
        ({"architecture": "orig"}, "generator has architecture 'orig', where 'skip' is expected"),
        ({"img_resolution": "large"}, "are not as the official programs store them"),
        ({"channel_base": 1000}, "do not go evenly into 32 px"),
        ({"channel_max": 4}, "does not fit the network"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], says: str
):
    file = write_official(tmp_path / "x.pkl", networks_of(started("stylegan2"), **changes))
    with pytest.raises(CheckpointError, match=says):
        import_source(file, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_networks_that_differ_in_more_than_a_factor_are_refused(tmp_path: Path):
    networks = networks_of(started("stylegan3r", generator_factor=2.0))
    networks["G_ema"].meta["state"]["_init_kwargs"]["channel_max"] = 8
    file = write_official(tmp_path / "x.pkl", networks)
    with pytest.raises(CheckpointError, match=r"generator has 2 times the width .* and 1 times"):
        import_source(file, tmp_path / "x")


def test_a_file_without_a_discriminator_is_refused(tmp_path: Path):
    networks = networks_of(started("stylegan2"))
    file = write_official(tmp_path / "x.pkl", {"G_ema": networks["G_ema"]})
    with pytest.raises(CheckpointError, match="has no D, which a transfer needs"):
        import_source(file, tmp_path / "x")


def test_nothing_is_written_over(tmp_path: Path):
    with pytest.raises(RunError, match="exists already"):
        import_source(tmp_path / "x.pkl", tmp_path)
