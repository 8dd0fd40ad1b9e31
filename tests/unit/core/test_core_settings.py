"""Strict settings: every mistake at once, and TOML there and back."""

import datetime
import tomllib
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftgan.core.errors import SettingsError
from graftgan.core.settings import (
    all_optional,
    check_parts,
    dotted_names,
    parse,
    parts_of,
    read_toml,
    to_plain,
    to_toml,
)
from graftgan.experiments.experiment import Experiment
from graftgan.networks.blocks import NORMALISATIONS
from graftgan.training import TrainingSettings
from graftgan.training.augment import POLICIES
from graftgan.training.objectives import OBJECTIVES
from graftgan.transfer import PRESETS


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(Experiment, {"pictures": "p", **data}, where="x.toml")
    message = str(caught.value)
    assert message.startswith("x.toml: ")
    return message


def test_an_unknown_key_gets_a_suggestion():
    assert "unknown setting 'sede'; did you mean 'seed'" in refused({"sede": 3})
    message = refused({"training": {"iteratoins": 3}})
    assert "unknown setting 'training.iteratoins'; did you mean 'training.iterations'" in message
    assert "unknown setting 'iterations'; did you mean 'training.iterations'" in refused(
        {"iterations": 5}
    )


def test_a_key_that_is_missing_is_named():
    with pytest.raises(SettingsError, match="the setting 'pictures' is missing"):
        parse(Experiment, {}, where="x.toml")


def test_mistakes_of_every_kind_are_reported_together():
    message = refused(
        {
            "sede": 1,
            "training": {"batch_size": 1},
            "transfer": {"modulation_rate": -1.0},
            "data": {"channels": 2},
            "optimization": {"beta1": "x", "optimizer": "adamw"},
        }
    )
    for part in (
        "'sede'",
        "training: batch_size must be at least 2",
        "transfer: modulation_rate must be",
        "data: channels must be 1",
        "optimization.beta1",
        "optimization.optimizer",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("table", "key", "wrong"),
    [
        ("training", "iterations", "5"),
        ("training", "iterations", 5.5),
        ("training", "iterations", 5.0),
        ("training", "iterations", True),
        ("training", "iterations", [5]),
        ("training", "precision", "float64"),
        ("optimization", "beta1", "0.5"),
        ("optimization", "beta1", False),
        ("augmentation", "flip", 1),
        ("augmentation", "flip", "yes"),
        ("network", "generator_normalisation", 3),
        ("transfer", "frozen_statistics", "Source"),
        ("data", "limit", datetime.date(2024, 1, 2)),
    ],
)
def test_a_wrong_type_is_refused_and_quoted(table: str, key: str, wrong: object):
    message = refused({table: {key: wrong}})
    assert f"{table}.{key}: " in message
    assert "got " in message


def test_a_table_where_a_value_belongs_and_the_other_way_round():
    assert "training: " in refused({"training": 3})
    assert "seed: " in refused({"seed": {"a": 1}})


def test_a_value_out_of_range_raises_also_without_a_file():
    with pytest.raises(SettingsError, match="batch_size must be at least 2"):
        TrainingSettings(batch_size=1)
    with pytest.raises(SettingsError, match="batch_size must be from 1 to 1,000,000, got 10000000"):
        TrainingSettings(batch_size=10_000_000)
    with pytest.raises(SettingsError, match="iterations must be at least 1"):
        TrainingSettings(iterations=0)
    with pytest.raises(SettingsError, match="average_ramp_up"):
        TrainingSettings(average_ramp_up=0.0)
    assert not issubclass(SettingsError, ValueError), "tyro would print its own box for those"


def test_an_integer_serves_as_a_float():
    experiment = parse(Experiment, {"pictures": "p", "optimization": {"r1_gamma": 2}}, where="x")
    assert experiment.optimization.r1_gamma == 2.0


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def table_of(cls: type, **chosen: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Build ``cls`` with its default for everything that is not chosen."""
    return st.fixed_dictionaries({}, optional=chosen).map(lambda given: cls(**given))


positive, share = st.integers(1, 10**6), st.floats(0, 1, allow_subnormal=True)
names = st.text(min_size=1, max_size=12).filter(lambda s: "\x00" not in s)
hints = get_type_hints(Experiment)
experiments = st.builds(
    Experiment,
    pictures=st.sampled_from([Path("pictures"), Path("/a b/ü.zip")]),
    source=optional(names),
    plan=names | st.sampled_from(sorted(PRESETS)),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    augment=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(-(2**53), 2**53),
    network=table_of(
        hints["network"],
        resolution=optional(positive),
        generator_normalisation=optional(st.sampled_from(sorted(NORMALISATIONS))),
    ),
    data=table_of(hints["data"], channels=st.sampled_from([1, 3]), limit=optional(positive)),
    optimization=table_of(
        hints["optimization"],
        optimizer=optional(st.sampled_from(["adam", "rmsprop", "sgd"])),
        r1_gamma=st.floats(0, 1e300),
        critic_steps=optional(positive),
    ),
    transfer=table_of(
        hints["transfer"],
        frozen_statistics=st.sampled_from(["source", "batch"]),
        modulation_rate=st.floats(1e-9, 1e9),
    ),
    augmentation=table_of(hints["augmentation"], probability=share, flip=st.booleans()),
    training=table_of(hints["training"], iterations=positive, sample_every=optional(positive)),
)


@settings(max_examples=60, deadline=None)
@given(experiments)
def test_an_experiment_comes_back_from_toml(experiment: Experiment):
    text = to_toml(experiment)
    again = parse(Experiment, tomllib.loads(text), where="x.toml")
    assert again == experiment
    assert to_toml(again) == text
    assert None not in to_plain(experiment).values()


def test_reading_toml_explains_what_went_wrong(tmp_path: Path):
    with pytest.raises(SettingsError, match="there is no settings file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="cannot read"):
        read_toml(tmp_path)
    (tmp_path / "bad.toml").write_text("seed = = 3")
    with pytest.raises(SettingsError, match="not valid TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes("a = 'é'".encode("latin-1"))
    with pytest.raises(SettingsError, match="cannot read"):
        read_toml(tmp_path / "latin.toml")
    (tmp_path / "good.toml").write_text("seed = 3")
    assert read_toml(tmp_path / "good.toml") == {"seed": 3}


def test_a_byte_order_mark_before_toml_is_no_mistake(tmp_path: Path):
    (tmp_path / "notepad.toml").write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
    assert read_toml(tmp_path / "notepad.toml") == {"seed": 3}


@pytest.mark.parametrize(
    "content",
    ["a = " + "[" * 100_000 + "]" * 100_000, "seed = " + "9" * 5_000],
    ids=["deep", "long"],
)
def test_hostile_toml_is_refused_in_one_line(tmp_path: Path, content: str):
    (tmp_path / "x.toml").write_text(content)
    with pytest.raises(SettingsError, match=r"x\.toml is not valid TOML") as caught:
        read_toml(tmp_path / "x.toml")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1, 2], "should be an object"),
        ({"pictures": "p", "seed": "x" * 10_000_000}, "got 'xxx"),
        ({"pictures": "p", "seed": "\x1b[2J"}, "got '\\x1b[2J'"),
        ({"pictures": "p", "backbone": "caf\udce9"}, "backbone: half a character"),
        ({"pictures": "p", "a\u202eb": 1}, "unknown setting 'a\\u202eb'"),
        ({"pictures": "p", "seed": {f"k{i}": i for i in range(100)}}, "seed: "),
    ],
    ids=["list", "long", "control", "surrogate", "turned", "table"],
)
def test_data_of_any_kind_is_refused_in_one_short_line(data: Any, said: str):
    with pytest.raises(SettingsError) as caught:
        parse(Experiment, data, where="x.toml")
    message = str(caught.value)
    assert said in message
    assert message.isprintable()
    assert len(message) < 3000


def test_of_a_hundred_mistakes_the_first_are_told():
    mistakes = {f"k{i}": i for i in range(100)}
    message = refused(mistakes)
    told = message.count("unknown setting")
    assert 8 <= told <= 12
    assert message.endswith(f"; and {100 - told} more")


def test_what_a_message_tells_stays_short_whatever_the_mistakes():
    message = refused({f"{n}" + "k" * 70: n for n in range(12)})
    assert "; and " in message
    assert message.endswith(" more")
    assert len(message) < 2_000


def test_toml_that_nests_too_deeply_is_refused(tmp_path: Path):
    (tmp_path / "x.toml").write_text(".".join("a" * 65) + " = 1\n")
    with pytest.raises(SettingsError, match="nested too deeply"):
        read_toml(tmp_path / "x.toml")
    (tmp_path / "x.toml").write_text(".".join("a" * 64) + " = 1\n")
    assert "a" in read_toml(tmp_path / "x.toml")


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 200_000) + " = 1\n",
        ".".join(['"b"'] * 100_000) + " = 1\n",
        ".".join(['"\u2028"'] * 100_000) + " = 1\n",
        "x = {" + ".".join("a" * 200_000) + " = 1}\n",
        "[" + ".".join("a" * 1_000) + "]\n" + "".join(f"k{n} = 1\n" for n in range(50_000)),
        "\n".join(".".join([f"k{n}", *("a" * 300)]) + " = 1" for n in range(2_000)),
    ],
    ids=["key", "quoted key", "separators", "inline table", "header", "many keys"],
)
def test_toml_whose_keys_would_take_minutes_is_refused_at_once(text: str, tmp_path: Path):
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="nested too deeply"):
        read_toml(tmp_path / "x.toml")


@pytest.mark.parametrize("quote", ['"', "'"])
def test_names_with_dots_are_no_keys(quote: str, tmp_path: Path):
    names = [f"{number:06d}.png" for number in range(5_000)]
    listed = ", ".join(quote + name + quote for name in names)
    (tmp_path / "x.toml").write_text(f"keep = [{listed}]\n")
    assert read_toml(tmp_path / "x.toml") == {"keep": names}


def test_data_that_nests_too_deeply_is_refused():
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    with pytest.raises(SettingsError, match=r"^x\.toml: .*recursion"):
        parse(Experiment, nested, where="x.toml")


def test_a_setting_has_a_name_of_its_own_so_that_flags_need_no_prefix():
    dotted = list(dotted_names(Experiment))
    assert len(dotted) > 35
    assert {"seed", "training.iterations", "optimization.beta1", "data.limit"} <= set(dotted)
    leaves = [name.rpartition(".")[2] for name in dotted]
    tables = [f.name for f in fields(Experiment) if is_dataclass(hints[f.name])]
    assert len(tables) >= 9
    everything = leaves + tables
    assert not {name for name in everything if everything.count(name) > 1}


def test_experiments_are_frozen_and_compare_by_value():
    first = Experiment(pictures=Path("p"))
    assert first == Experiment(pictures=Path("p"))
    assert first != replace(first, seed=1)
    with pytest.raises(AttributeError):
        first.seed = 3


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Settings that one thing has."""

    grain: int = 3

    def __post_init__(self) -> None:
        if self.grain < 1:
            raise SettingsError(f"grain must be 1 or more, got {self.grain}")


@dataclass(frozen=True, kw_only=True)
class Ink:
    """And another."""

    tint: tuple[int, ...] = (1, 2)


def test_settings_of_several_owners_stand_in_one_table():
    parts = parts_of({"paper": Paper, "ink": Ink})

    @dataclass(frozen=True, kw_only=True)
    class Together(*parts):
        def __post_init__(self) -> None:
            check_parts(self, parts)

    assert {field.name for field in fields(Together)} == {"grain", "tint"}
    assert parse(Together, {"tint": [5]}, where="x") == Together(tint=(5,))
    with pytest.raises(SettingsError, match="grain must be 1 or more, got 0"):
        Together(grain=0)


def test_two_owners_cannot_have_a_setting_of_one_name():
    with pytest.raises(SettingsError, match="paper and card both have a setting 'grain'"):
        parts_of({"paper": Paper, "ink": Ink, "card": Paper})


def test_optional_settings_say_what_is_given_and_check_nothing():
    kind = all_optional(Paper)
    assert kind().grain is None
    assert kind(grain=0).grain == 0
    assert parse(kind, {"grain": 4}, where="x").grain == 4
