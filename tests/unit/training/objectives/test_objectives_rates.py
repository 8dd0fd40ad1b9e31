"""Learning rates that rise at first and fall to the end."""

import math
from pathlib import Path

import pytest
import torch

from graftgan.core.errors import SettingsError
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_folder import load_run
from graftgan.models.sources import open_source
from graftgan.runs.run import run
from graftgan.training import TrainingSettings
from graftgan.training.objectives import OptimizationSettings
from tiny_networks import draw_pictures, tiny_home


@pytest.mark.parametrize(
    ("warm_up", "decay", "expected"),
    [
        (0.0, "none", [1, 1, 1, 1]),
        (0.5, "none", [0, 0.5, 1, 1]),
        (0.0, "linear", [1, 0.75, 0.5, 0]),
        (0.5, "linear", [0, 0.5, 1, 0]),
        (0.0, "cosine", [1, (1 + math.cos(math.pi / 4)) / 2, 0.5, 0]),
        (0.5, "cosine", [0, 0.5, 1, 0]),
    ],
)
def test_rates_at_the_start_a_quarter_the_half_and_the_end(
    warm_up: float, decay: str, expected: list[float]
):
    settings = OptimizationSettings(
        learning_rate_warm_up=warm_up,
        learning_rate_decay=decay,  # type: ignore[arg-type]
    )
    assert [settings.rate_at(share) for share in (0, 0.25, 0.5, 1)] == pytest.approx(expected)


def test_a_warm_up_of_the_whole_run_is_refused():
    with pytest.raises(SettingsError, match="learning_rate_warm_up must be below 1"):
        OptimizationSettings(learning_rate_warm_up=1.0)


def test_nothing_moves_while_the_rate_is_zero(tmp_path: Path):
    source = tiny_home(tmp_path / "home", pictures=4) / "tiny"
    experiment = Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=6, hue=1),
        source=str(source),
        training=TrainingSettings(
            iterations=4, batch_size=4, checkpoint_every=1, keep_checkpoints=9
        ),
        optimization=OptimizationSettings(learning_rate_warm_up=0.5, learning_rate_decay="cosine"),
    )
    whole = run(experiment, tmp_path / "whole", device="cpu")
    untouched = dict(open_source(str(source)).pair.generator.named_parameters())
    first = dict(load_run(whole.path, iteration=1).pair.generator.named_parameters())
    assert all(torch.equal(first[name], untouched[name]) for name in untouched)
    second = dict(load_run(whole.path, iteration=2).pair.generator.named_parameters())
    assert not all(torch.equal(second[name], untouched[name]) for name in untouched)
