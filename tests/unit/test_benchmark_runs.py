"""The benchmark runs and reports every number; how fast is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graftgan.pictures.curation import FILTERS
from graftgan.transfer import PRESETS

ONE_THREAD = "--threads=1"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def measured(name: str, folder: Path, *flags: str) -> dict[str, Any]:
    """Run a benchmark and return what it wrote."""
    path = folder / "results.json"
    command = [sys.executable, str(BENCHMARKS / name), f"--json={path}", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "times as fast" in done.stdout
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tiny = [ONE_THREAD, "--quick", "--width=4", "--resolution=32", "--batch-size=4"]
    return measured("train_step.py", tmp_path_factory.mktemp("benchmark"), *tiny)


def test_scoring_agrees_with_torch_fidelity_and_measures_both(tmp_path: Path) -> None:
    found = measured(
        "scores.py", tmp_path, ONE_THREAD, "--count=12", "--reference-count=12",
        "--manifold-count=200",
    )  # fmt: skip
    fid = found["fid"]
    assert fid["relative_difference"] < 1e-3
    ratio = fid["torch_fidelity"]["seconds"] / fid["graftgan"]["seconds"]
    assert fid["times_as_fast"] == pytest.approx(ratio)
    assert found["manifold"]["peak_mib"] >= found["manifold"]["peak_mib_with_the_features_alone"]


def test_a_step_of_a_stylegan_is_measured_in_every_variant(tmp_path: Path) -> None:
    found = measured(
        "stylegan_step.py", tmp_path, ONE_THREAD, "--quick", "--no-memory", "--batch-size=2"
    )
    networks = {case["backbone"]: case for case in found["cases"]}
    assert set(networks) == {"stylegan2", "stylegan3t"}
    for case in networks.values():
        assert {"draw", "generator's step", "discriminator's step with R1"} <= set(case["steps"])
        for variants in case["steps"].values():
            assert set(variants) == {"float32", "bfloat16"}
            assert variants["float32"]["faster_than_first"] == 1
            assert all(one["seconds"] > 0 for one in variants.values())
        (spots,) = case["hot_spots"].values()
        assert all(one["share_of_peak"] > 0 for one in spots.values())


def test_a_curation_is_measured_by_filter_and_as_a_whole(tmp_path: Path) -> None:
    found = measured(
        "curate.py", tmp_path, "--pictures=6", "--filter-pictures=2", "--rounds=1", "--processes=2",
        "--off", "text", "face", "outlier",
    )  # fmt: skip
    rates = found["pictures_per_second_of_filters"]
    assert rates.keys() == {"decoding", *FILTERS} - {"text", "face", "outlier"}
    assert all(rate > 0 for rate in rates.values())
    one, two = (found["pictures_per_second"][str(n)] for n in (1, 2))
    assert found["times_as_fast"] == pytest.approx(two / one)


def test_names_the_machine(results: dict[str, Any]) -> None:
    assert results["machine"]["threads"] == 1
    assert {"processor", "hardware", "cores", "torch"} <= results["machine"].keys()


def test_both_sides_do_the_work_of_a_wgan_iteration(results: dict[str, Any]) -> None:
    work = results["textbook"]["work"]
    assert (work["critic_steps"], work["generator_steps"]) == (5, 1)
    assert work["parameters"] > 0
    assert work["flops"] > 0


@pytest.mark.parametrize("side", ["textbook", "graftgan"])
def test_measures_each_side(results: dict[str, Any], side: str) -> None:
    measured = results["textbook"]["sides"][side]
    assert len(measured["seconds"]) == results["settings"]["repeats"]
    assert measured["real_images_per_second"] > 0
    assert 0 < measured["share_of_peak"] < 1
    assert measured["memory_mib"]["peak"] >= measured["memory_mib"]["imports"] > 0


@pytest.mark.parametrize("objective", ["hinge", "wgan"])
def test_measures_every_preset(results: dict[str, Any], objective: str) -> None:
    compared = results["plans"][objective]
    assert compared["plans"].keys() == PRESETS.keys()
    trainable = {name: plan["trainable_parameters"] for name, plan in compared["plans"].items()}
    assert trainable["adafm"] < trainable["freeze"] < trainable["fine_tune"]
    assert isinstance(compared["freezing_pays"], bool)


def test_ratios_are_of_rounds(results: dict[str, Any]) -> None:
    speedup = results["textbook"]["speedup"]
    assert speedup["min"] <= speedup["median"]
    assert results["plans"]["hinge"]["plans"]["fine_tune"]["speedup"] == {"median": 1.0, "min": 1.0}
