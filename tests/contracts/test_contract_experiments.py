"""Every experiment file can be read and names only what exists."""

from pathlib import Path

import pytest

from graftgan.core.settings import parse, read_toml
from graftgan.experiments.experiment import Experiment
from graftgan.studies.comparison import Varied
from graftgan.studies.plan_search import PlanSearch

FILES = sorted((Path(__file__).parents[2] / "experiments").rglob("*.toml"))


def test_there_are_experiments_to_hold_to_the_contract():
    assert len(FILES) >= 7, "the experiment folder moved; this test would check nothing"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_file_is_whole(file: Path):
    data = {"pictures": "given on the command line", **read_toml(file)}
    varied = parse(Varied, data.pop("compare", {}), where=f"{file}, [compare]")
    asked = data.pop("search", {})
    experiment = parse(Experiment, data, where=str(file))
    experiment.check_names()
    if asked:
        PlanSearch.around(experiment, asked, where=f"{file}, [search]").check()
    if experiment.source is None:
        experiment.resolved(experiment.architecture(None), bfloat16=False)
    if varied != Varied():
        comparison = varied.around(experiment)
        assert len(comparison.jobs()) > 1
        comparison.check()
