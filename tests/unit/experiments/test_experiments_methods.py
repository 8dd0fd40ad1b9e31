"""Named methods as rows of settings, and what wins over them."""

from pathlib import Path

import pytest

from graftgan.cli.transfer import DEFAULTS, StartRun, parse_start
from graftgan.core.errors import SettingsError, UnknownName
from graftgan.core.settings import dotted_names, parse, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import METHODS, under_method, with_method
from graftgan.training.objectives import OBJECTIVES
from graftgan.transfer import parse_plan
from tiny_networks import tiny_architecture


def started(*words: str) -> Experiment:
    return parse_start(
        lambda experiment, table, where: StartRun(experiment=experiment),
        ["pictures", *words],
        DEFAULTS,
        prog="graftgan x",
        description="",
    ).experiment


@pytest.mark.parametrize("name", METHODS)
def test_a_row_names_settings_that_exist(name: str):
    method = METHODS[name]
    assert set(method.settings) <= set(dotted_names(Experiment))
    assert method.summary
    assert method.paper
    parse_plan(method.settings["plan"])
    experiment = with_method(DEFAULTS, name)
    assert experiment.method == name
    assert experiment.augment == method.settings.get("augment", DEFAULTS.augment)


def test_freezed_freezes_the_discriminators_picture_side_alone():
    plan = parse_plan(METHODS["freezed"].settings["plan"])
    layers = [f"layer{i}" for i in range(1, 6)]
    decided = plan.discriminator.actions(layers, network="discriminator")
    assert list(decided.values()) == ["freeze"] * 3 + ["fine_tune"] * 2
    assert set(plan.generator.actions(layers, network="generator").values()) == {"fine_tune"}


def test_transfergan_sets_the_rates_and_leaves_the_objective_alone():
    architecture = tiny_architecture(discriminator_normalisation="layer")
    for objective in OBJECTIVES:
        experiment = started("--method", "transfergan", "--objective", objective)
        resolved = experiment.resolved(architecture, bfloat16=False)
        found, advice = resolved.optimization, OBJECTIVES[objective].defaults
        assert found.generator_learning_rate == found.discriminator_learning_rate == 1e-5
        assert (found.optimizer, found.critic_steps) == (advice.optimizer, advice.critic_steps)


def test_flags_win_over_the_row_and_the_row_over_the_defaults():
    assert started("--method", "freezed").plan == METHODS["freezed"].settings["plan"]
    experiment = started(
        "--method=l2_sp", "--regularizers.l2-sp-generator", "3", "--plan", "combined"
    )
    assert experiment.method == "l2_sp"
    assert experiment.plan == "combined"
    assert experiment.regularizers.l2_sp_generator == 3.0
    assert experiment.regularizers.l2_sp_discriminator == 0.1
    assert started("--plan", "combined", "--method", "freezed").plan == "combined"


def test_a_method_in_a_file_fills_what_the_file_does_not_say(tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text('source = "s"\nmethod = "l2_sp"\n[regularizers]\nl2_sp_generator = 7.0\n')
    experiment = started("--config", str(file))
    assert (experiment.plan, experiment.method) == ("fine_tune", "l2_sp")
    assert experiment.regularizers.l2_sp_generator == 7.0
    assert experiment.regularizers.l2_sp_discriminator == 0.1
    assert started("--config", str(file), "--method", "freezed").plan.startswith("D(*")
    file.write_text('method = "l2_sp"\nregularizers = 3\n')
    with pytest.raises(SettingsError, match="regularizers"):
        started("--config", str(file))


@pytest.mark.parametrize("name", METHODS)
def test_a_resolved_file_stands_for_itself(name: str, tmp_path: Path):
    """A run's experiment.toml names the method for the record; reading it changes nothing."""
    experiment = with_method(Experiment(pictures=Path("/p"), source="s"), name)
    resolved = experiment.resolved(tiny_architecture(), bfloat16=False)
    file = tmp_path / "experiment.toml"
    file.write_text(to_toml(resolved))
    assert started("--config", str(file), "--pictures", "/p") == resolved


def test_an_unknown_method_is_explained():
    with pytest.raises(UnknownName, match="did you mean 'freezed'"):
        started("--method", "freezd")
    with pytest.raises(SettingsError, match="did you mean 'freezed'"):
        Experiment(pictures=Path("p"), source="s", method="freezd").check_names()
    with pytest.raises(UnknownName):
        under_method({"method": "freezd"})


@pytest.mark.parametrize("given", [{"method": "freezed"}, {"regularizers": {"ewc": 1.0}}])
def test_without_a_source_a_method_or_an_anchor_is_refused(given: dict[str, object]):
    experiment = parse(Experiment, {"pictures": "p", **given}, where="x")
    with pytest.raises(SettingsError, match="without a source"):
        experiment.check_names()
