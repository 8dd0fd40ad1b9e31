"""Settings that only a StyleGAN has: asked for, kept in the run, held against the source."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graftgan.checkpoints import SourceCard
from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture, StyleArchitecture
from graftgan.core.settings import parse, read_toml, to_toml
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import architecture_of
from graftgan.networks.backbone import build_pair


def asked(backbone: str | None = "stylegan2", **network: int) -> Experiment:
    settings = NetworkSettings(resolution=32, **network)
    return Experiment(pictures=Path("pictures"), backbone=backbone, network=settings)


def test_a_run_keeps_the_styles_it_was_asked_for():
    architecture = asked(style_size=16, mapping_layers=3).architecture(None)
    assert architecture.style == StyleArchitecture(style_size=16, mapping_layers=3)
    assert architecture_of(asked().resolved(architecture, bfloat16=False)) == architecture
    assert Architecture(**architecture.as_dict()) == architecture, "plain data turns back"


def test_a_run_from_before_a_setting_was_there_is_as_it_was():
    now = asked("stylegan3r", most_channels=16)
    resolved = now.resolved(now.architecture(None), bfloat16=False)
    assert resolved.network.generator_factor == 2.0
    older = replace(resolved.network, generator_factor=None, residual=None)
    style = architecture_of(replace(resolved, network=older)).style
    assert style == StyleArchitecture(mapping_layers=2, most_channels=16)


def test_networks_without_styles_have_none_and_refuse_their_settings():
    assert asked("dcgan").architecture(None).style is None
    with pytest.raises(SettingsError, match="dcgan has no setting style_size"):
        asked("dcgan", style_size=16).architecture(None)
    dcgan = asked("dcgan").architecture(None)
    with pytest.raises(SettingsError, match="dcgan has no setting mapping_layers"):
        asked(None, mapping_layers=2).architecture(dcgan)


def test_a_sources_styles_are_its_own():
    source = asked(style_size=16, clamp=256).architecture(None)
    assert asked(None, style_size=16).architecture(source) == source
    with pytest.raises(SettingsError, match="style_size is 16 in the source, 8 in the settings"):
        asked(None, style_size=8).architecture(source)


IMPORTED = StyleArchitecture(
    style_size=8,
    mapping_layers=1,
    most_channels=8,
    mapping_rate=0.1,
    clamp=3.0,
    generator_clamp=0.0,
    direction_layers=0,
    direction_rate=0.1,
    direction_size=5,
    feature_maps=(6, 5, 7, 4),
)


def test_what_an_imported_network_has_goes_through_a_run(tmp_path: Path):
    source = asked().architecture(None)
    source = replace(source, style=IMPORTED, width=4)
    resolved = asked(None).resolved(asked(None).architecture(source), bfloat16=False)
    file = tmp_path / "experiment.toml"
    file.write_text(to_toml(resolved), encoding="utf-8")
    again = architecture_of(parse(Experiment, read_toml(file), where="it"))
    assert again.style == IMPORTED
    card = SourceCard(name="x", architecture=again)
    assert SourceCard.from_dict(json.loads(json.dumps(card.as_dict())), where=file) == card


def test_an_imported_network_is_built_as_its_style_says():
    architecture = replace(asked().architecture(None), style=IMPORTED, width=4, classes=("a", "b"))
    pair = build_pair(architecture)
    shapes = {name: tuple(t.shape) for name, t in pair.discriminator.state_dict().items()}
    assert shapes["b4.out.weight"] == (5, 6)
    assert shapes["mapping.embed.weight"] == (5, 2)
    assert not any(name.startswith("mapping.fc") for name in shapes)
    drawing = pair.generator.state_dict()
    assert [drawing[f"synthesis.b{side}.conv1.weight"].shape[0] for side in (4, 8, 16, 32)] == [
        *(6, 5, 7, 4)
    ]
    assert drawing["mapping.fc0.weight"].std() == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mapping_layers": 10**9}, "mapping_layers must be from 0 to 64, got 1000000000"),
        ({"style_size": 0}, "style_size must be from 1"),
        ({"clamp": -1.0}, "clamp must be from 0"),
        ({"mapping_rate": float("nan")}, "mapping_rate must be from"),
        ({"generator_factor": float("inf")}, "generator_factor must be from"),
        ({"most_channels": 10**400}, "most_channels must be from 1 to 1048576"),
        ({"feature_maps": (4, 0)}, "feature_maps must be from 1"),
    ],
)
def test_styles_that_no_network_has_are_refused(changes: dict[str, Any], says: str):
    with pytest.raises(SettingsError, match=says):
        replace(StyleArchitecture(), **changes)


@pytest.mark.parametrize(
    ("backbone", "says"),
    [
        ("stylegan2", "feature_maps has 2 numbers, where .* 32 px need 4"),
        ("stylegan3t", "StyleGAN2"),
    ],
)
def test_feature_maps_fit_the_sizes(backbone: str, says: str):
    architecture = asked(backbone).architecture(None)
    with pytest.raises(SettingsError, match=says):
        build_pair(replace(architecture, style=replace(IMPORTED, feature_maps=(4, 4))))
