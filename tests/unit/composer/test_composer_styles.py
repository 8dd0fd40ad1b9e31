"""Settings that only a StyleGAN has: asked for, kept in the run, held against the source."""

from dataclasses import replace
from pathlib import Path

import pytest

from graftgan.errors import SettingsError
from graftgan.experiment import Experiment, NetworkSettings
from graftgan.networks import Architecture, StyleArchitecture
from graftgan.run_folder import architecture_of


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
    with pytest.raises(SettingsError, match="dcgan has no styles, so style_size can say nothing"):
        asked("dcgan", style_size=16).architecture(None)
    dcgan = asked("dcgan").architecture(None)
    with pytest.raises(SettingsError, match="dcgan has no styles"):
        asked(None, mapping_layers=2).architecture(dcgan)


def test_a_sources_styles_are_its_own():
    source = asked(style_size=16, clamp=256).architecture(None)
    assert asked(None, style_size=16).architecture(source) == source
    with pytest.raises(SettingsError, match="style_size is 16 in the source, 8 in the settings"):
        asked(None, style_size=8).architecture(source)
