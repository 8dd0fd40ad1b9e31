"""The labels are whole, and the filters reach on real photographs what the docs say.

The photographs are for research only: they are measured where GRAFTGAN_RAW_PHOTOS names their
archive (``raw_photos.zip``), which takes some minutes.
"""

import json
import os
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from graftgan.core.files import read_jsonl
from graftgan.pictures.curation.filters import FILTERS, Tools

ROOT = Path(__file__).parents[4]
LABELS = ROOT / "tests" / "curation_labels.json"
RESULTS = ROOT / "experiments" / "results" / "curation_filters.jsonl"
FLOORS = {"gray": (0.99, 0.99), "face": (0.95, 0.90), "text": (0.90, 0.80), "blurred": (0.6, 0.75)}
"""Precision and recall that are to be kept, over all counted pictures."""


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "measure_filters.py"))


@pytest.fixture(scope="module")
def labels(script: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return script["read_labels"](LABELS)


def test_each_picture_has_a_label_of_each_kind(labels: dict[str, dict[str, Any]]):
    assert len(labels) == 300
    assert Counter(name.partition("/")[0] for name in labels)["photo"] == 240
    allowed = {
        "text": (True, False, None),
        "face": ("clear", "unclear", "none", None),
        "gray": (True, False, "toned", None),
        "blurred": (True, False, None),
    }
    for label in labels.values():
        assert label.keys() == allowed.keys()
        assert all(label[kind] in values for kind, values in allowed.items())
    head = json.loads(LABELS.read_text(encoding="utf-8"))["header"]
    assert head.keys() >= {"about", *allowed}


def test_counts_become_precision_and_recall(script: dict[str, Any]):
    seen = [
        script["Seen"](place=place, name=str(place), label=label, score=0.5, found=found)
        for place, (label, found) in enumerate(
            [
                *[(True, True), (True, True), (True, False), (False, True)],
                *[(False, False), ("unclear", True), (None, False), ("clear", True)],
            ]
        )
    ]
    everything = script["result"](seen, "all")
    assert (everything["counted"], everything["true"], everything["found"]) == (6, 4, 4)
    assert everything["precision"][0] == everything["recall"][0] == 0.75
    assert everything["false_alarms"].keys() == {"3"}
    assert everything["missed"].keys() == {"2"}
    assert everything["uncounted_found"] == 1
    assert script["result"](seen, "tuned_on")["pictures"] == 4
    assert script["result"](seen, "held_out")["recall"][0] == 1


def test_the_interval_of_a_proportion_is_wilsons(script: dict[str, Any]):
    # 81 of 263: the example of Newcombe 1998, "Two-sided confidence intervals for the single
    # proportion", table I, method 3.
    assert script["proportion"](81, 263) == pytest.approx([0.3080, 0.2553, 0.3662], abs=1e-4)
    assert script["proportion"](0, 20) == pytest.approx([0, 0, 0.1611], abs=1e-4)
    assert script["proportion"](0, 0) == [None, None, None]


def test_the_recorded_results_reach_the_floors():
    lines = [line for line in read_jsonl(RESULTS) if line["part"] == "all"]
    assert {line["filter"] for line in lines} == FLOORS.keys()
    for line in lines:
        precision, recall = FLOORS[line["filter"]]
        assert line["precision"][0] >= precision
        assert line["recall"][0] >= recall


@pytest.mark.skipif("GRAFTGAN_RAW_PHOTOS" not in os.environ, reason="needs the photographs")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FLOORS)
def test_filters_reach_the_floors(
    name: str, script: dict[str, Any], labels: dict[str, dict[str, Any]]
):
    pictures = Path(os.environ["GRAFTGAN_RAW_PHOTOS"])
    measure = FILTERS[name].build(Tools())
    found = script["result"](list(script["look"](name, measure, pictures, labels)), "all")
    precision, recall = FLOORS[name]
    assert found["precision"][0] >= precision, found["false_alarms"]
    assert found["recall"][0] >= recall, found["missed"]
