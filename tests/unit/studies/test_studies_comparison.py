"""A comparison as plain data: its variants, its runs, its file."""

from dataclasses import replace
from pathlib import Path

import pytest

from graftgan.checkpoints import SourceCard, save_source
from graftgan.core.errors import GraftganError, SettingsError
from graftgan.core.settings import parse, read_toml, to_toml
from graftgan.experiments.experiment import Experiment
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings
from graftgan.studies.comparison import (
    Comparison,
    parse_seeds,
    settled_base,
    split_list,
    variants_of,
)
from graftgan.training import TrainingSettings
from tiny_networks import tiny_architecture, tiny_pair

BASE = Experiment(
    pictures=Path("pictures"),
    source="avatars-64",
    data=DataSettings(held_out=0.2),
    scoring=ScoringSettings(score_every=10),
)


def comparison(**changes: object) -> Comparison:
    variants = variants_of(BASE, ["combined", "D(1,2,2) G(1,2,2)"], {"augment": ["none", "light"]})
    return replace(Comparison(base=BASE, variants=variants, seeds=(0, 5)), **changes)  # type: ignore[arg-type]


def test_a_list_splits_outside_of_brackets_only():
    assert split_list("combined, D(1,2,2) G(1,2,2),freeze") == [
        "combined",
        "D(1,2,2) G(1,2,2)",
        "freeze",
    ]
    rules = "D[layer1=freeze, *=fine_tune] G(1,2,2)"
    assert split_list(f"{rules}; adafm,") == [rules, "adafm"]
    assert split_list("") == []


def test_seeds_are_a_count_or_a_list():
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("3,5") == (3, 5)
    assert parse_seeds("7,") == (7,)
    for text in ("0", "-1", "", "three", "1,x", ",", "1000000000"):
        with pytest.raises(SettingsError, match="no seeds"):
            parse_seeds(text)


def test_methods_and_settings_give_their_product():
    variants = variants_of(
        BASE, ["combined", "freeze"], {"augment": ["none", "light"], "beta1": ["0"]}
    )
    assert list(variants) == [
        "combined augment=none beta1=0",
        "combined augment=light beta1=0",
        "freeze augment=none beta1=0",
        "freeze augment=light beta1=0",
    ]
    assert variants["freeze augment=light beta1=0"] == {
        "method": "freeze",
        "plan": "freeze",
        "augment": "light",
        "optimization.beta1": 0.0,
    }


def test_values_have_the_type_of_their_setting():
    vary = {
        "training.batch-size": ["4"],
        "source": ["2020"],  # a name that looks like a number
        "plan": ["D(1,2,2) G(1,2,2)"],
        "frozen_statistics": ["batch"],
    }
    (overrides,) = variants_of(BASE, [], vary).values()
    assert overrides == {
        "training.batch_size": 4,
        "source": "2020",
        "plan": "D(1,2,2) G(1,2,2)",
        "transfer.frozen_statistics": "batch",
    }


@pytest.mark.parametrize(
    ("methods", "vary", "says"),
    [
        ([], {}, "say what to compare"),
        (["combind"], {}, "is not a plan"),
        (["freeze", "freeze"], {}, "named twice"),
        (["freeze"], {"plan": ["adafm"]}, "plan is set twice"),
        ([], {"batchsize": ["4"]}, "no setting 'batchsize'"),
        ([], {"batch_size": ["many"]}, "batch_size"),
        ([], {"seed": ["1", "2"]}, "--seeds"),
        ([], {"pictures": ["a"]}, "same pictures"),
        ([], {"score_count": ["10", "20"]}, "measured in one way"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    methods: list[str], vary: dict[str, list[str]], says: str
):
    with pytest.raises(GraftganError, match=says):
        variants_of(BASE, methods, vary)


def test_runs_go_seed_by_seed_and_have_names_of_their_own():
    jobs = comparison().jobs()
    assert [(job.variant, job.seed) for job in jobs[:4]] == [
        (variant, 0) for variant in comparison().variants
    ]
    assert jobs[2].name == "D-1-2-2-G-1-2-2-augment-none-0"
    assert jobs[-1].experiment.seed == 5
    assert jobs[-1].experiment.augment == "light"
    assert jobs[-1].experiment.plan == "D(1,2,2) G(1,2,2)"
    assert jobs[-1].experiment.scoring == BASE.scoring
    alike = replace(comparison(), variants={"a b": {}, "A-B": {}}).jobs()
    assert len({job.name.lower() for job in alike}) == 4


def test_the_file_gives_the_same_comparison_back(tmp_path: Path):
    file = tmp_path / "comparison.toml"
    file.write_text(to_toml(comparison()))
    again = parse(Comparison, read_toml(file), where="it")
    assert again == comparison()
    assert again.sha256() == comparison().sha256()
    others = [
        comparison(seeds=(0, 6)),
        comparison(base=replace(BASE, objective="gan")),
        comparison(variants={"combined": {"plan": "combined"}}),
    ]
    assert len({other.sha256() for other in [again, *others]}) == 4


def test_a_comparison_without_scores_or_with_patience_is_refused():
    comparison().check()
    unscored = replace(BASE, scoring=ScoringSettings())
    with pytest.raises(SettingsError, match=r"needs scores.*--score-every"):
        comparison(base=unscored).check()
    patient = replace(BASE, scoring=replace(BASE.scoring, patience=2))
    with pytest.raises(SettingsError, match="different numbers of images"):
        comparison(base=patient).check()
    with pytest.raises(SettingsError, match="may not change scoring"):
        comparison(variants={"few": {"scoring.score_count": 10}}).check()
    with pytest.raises(SettingsError, match="different numbers"):
        comparison(seeds=(1, 1))


def test_runs_share_the_batch_that_is_usual_for_their_source(tmp_path: Path):
    for backbone, pictures in (("dcgan", 64), ("stylegan2", 32)):
        architecture = tiny_architecture(backbone)
        card = SourceCard(name=backbone, architecture=architecture)
        save_source(tmp_path / backbone, tiny_pair(architecture), card)
        base = Experiment(pictures=Path("p"), source=str(tmp_path / backbone))
        settled = settled_base(base).training
        assert settled.batch_size == pictures
        asked = replace(base, training=TrainingSettings(kimg=2, batch_size=10))
        assert settled_base(asked).training.iterations == 200
    fresh = Experiment(pictures=Path("p"), backbone="stylegan2")
    assert settled_base(fresh).training.batch_size == 32
