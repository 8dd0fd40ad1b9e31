"""``graftgan plan`` without a plan is where a person finds out what there is."""

from collections.abc import Mapping

import pytest

from graftgan.cli import plan
from graftgan.experiments.methods import METHODS
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import ACTIONS, PRESETS


@pytest.mark.parametrize("registry", [PRESETS, ACTIONS, METHODS, PROCEDURES])
def test_everything_is_listed(registry: Mapping[str, object], capsys: pytest.CaptureFixture[str]):
    assert plan.main([]) == 0
    listed = {line.split(" ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {*registry} <= listed
