"""The detector on curves whose answer is known, and on run folders."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run_folder import CARD

from graftgan.cli import converge
from graftgan.core.errors import RunError
from graftgan.core.files import write_text
from graftgan.experiments.convergence import Reached, convergence_of, stable_from
from graftgan.experiments.records import VAEStart, write_run_card

LENGTH = 1000


def curve(shape, *, noise: float = 0.0, seed: int = 0, length: int = LENGTH) -> list[float]:
    rng = random.Random(seed)
    return [shape(i) + rng.gauss(0.0, noise) for i in range(length)]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("scale", [30, 80, 150])
@pytest.mark.parametrize("height", [1.0, -4.0])
def test_an_exponential_is_stable_after_three_time_constants(noise, scale, height):
    found = stable_from(
        curve(lambda i: 2 + height * math.exp(-i / scale), noise=noise * abs(height))
    )
    assert found is not None
    # exp(-3) is 5 %. With noise the band is wider and the end is reached sooner, never later.
    assert 1.2 * scale < found < 3.3 * scale + 30


@pytest.mark.parametrize("at", [100, 400, 700])
def test_a_step_is_found_where_it_is(at: int):
    found = stable_from(curve(lambda i: 3.0 if i < at else 1.0, noise=0.05))
    assert found == pytest.approx(at, abs=30)


def test_a_peak_on_the_way_counts():
    found = stable_from(curve(lambda i: 1.0 + 2 * (400 < i < 500), noise=0.05))
    assert found == pytest.approx(500, abs=30)


@pytest.mark.parametrize(
    "shape",
    [
        lambda i: i / LENGTH,
        lambda i: math.exp(-i / LENGTH),
        lambda i: 1.0 if i < 900 else 0.0,
        lambda i: 1.0 if i < 800 else (i - 800) / 100,
        lambda i: math.sqrt(i),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_what_still_moves_is_not_stable(shape, noise: float):
    assert stable_from(curve(shape, noise=noise)) is None


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_stable_from_its_beginning(seed: int):
    found = stable_from(curve(lambda i: 1.0, noise=0.3, seed=seed))
    assert found is not None
    assert found < 0.75 * LENGTH


def test_little_or_broken_says_nothing():
    assert stable_from([1.0] * 39) is None
    assert stable_from([1.0] * 40) == 0
    assert stable_from([1.0] * 50 + [float("nan")]) is None


def write_run(path: Path, *, late: int = 0, start: VAEStart | None = None) -> Path:
    """Write a run of 100 lines: one loss is stable after 20, the other after 40."""
    path.mkdir(parents=True)
    lines = []
    for i in range(1, 101):
        line = {"iteration": 10 * i, "images": 640 * i, "seconds": 100 + i / 2}
        line["discriminator.loss"] = 2.0 if i <= 20 else 1.0
        if i > late:
            line["generator.loss"] = 5.0 if i <= 40 else 1.0
        lines.append(line)
    write_text(path / "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    scores = [
        {"iteration": i, "name": name, "value": value, "better": "lower", "protocol": {}}
        for i, value in ((0, 0.9), (250, 0.5), (500, 0.3), (750, 0.4))
        for name in ("KID(net)", "FD(net)")
    ]
    sliced = {"iteration": 100, "name": "SWD(16px)", "value": 0.1}
    write_text(
        path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in [sliced, *scores])
    )
    write_text(path / "experiment.toml", 'pictures = "p"\n')
    write_run_card(path / "card.json", replace(CARD, start=start))
    return path


def test_the_slower_player_decides(tmp_path: Path):
    found = convergence_of(write_run(tmp_path / "run"))
    assert found.losses is not None
    assert found.losses.iteration == pytest.approx(400, abs=30)
    assert found.losses.images == 64 * found.losses.iteration
    assert found.end == Reached(1000, 64_000, 150.0)
    assert (found.score, found.score_name) == (None, "KID(net)")


@pytest.mark.parametrize(
    ("threshold", "iteration"), [(0.9, 0), (0.5, 250), (0.31, 500), (0.2, None)]
)
def test_a_threshold_is_reached_where_it_is_first_met(tmp_path: Path, threshold, iteration):
    found = convergence_of(write_run(tmp_path / "run"), threshold=threshold)
    assert (None if found.score is None else found.score.iteration) == iteration


def test_a_player_that_began_late_counts_from_then(tmp_path: Path):
    found = convergence_of(write_run(tmp_path / "run", late=30))
    assert found.losses is not None
    assert found.losses.iteration == pytest.approx(400, abs=30)


def test_the_table_shows_both_and_what_the_start_has_cost(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    start = VAEStart(kind="vae", iterations=300, images=19_200, seconds=97.0, receipt="")
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", start=start)]
    assert converge.main([*map(str, runs), "--score", "0.35"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("500 iterations", "19,200 pictures", "97 s", "1,000 iterations", "fresh weights"):
        assert words in shown


def test_what_is_no_scored_run_is_refused(tmp_path: Path):
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"no run"):
            convergence_of(nothing)
    run = write_run(tmp_path / "run")
    (run / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match="was not scored"):
        convergence_of(run, threshold=0.1)
    (run / "log.jsonl").unlink()
    with pytest.raises(RunError, match="has not trained yet"):
        convergence_of(run)
