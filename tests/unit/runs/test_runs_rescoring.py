"""Kept pictures score what they scored, under other scores too, and decide nothing about a run."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from feature_networks import save_brightness
from graftgan.checkpoints import SourceCard, save_source
from graftgan.cli.evaluate import again_table
from graftgan.core.errors import RunError, ScoreError, SettingsError, UnknownName
from graftgan.core.files import append_jsonl, read_jsonl
from graftgan.experiments.convergence import convergence_of
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import read_run, read_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.experiments.run_page import scores_of
from graftgan.experiments.scored_pictures import list_scored, packed, read_scored, scored_file
from graftgan.metrics.score import ScoreProtocol
from graftgan.metrics.settings import ScoringSettings
from graftgan.models.sources import open_source
from graftgan.networks.sampling import generate, random_latents
from graftgan.pictures import DataSettings
from graftgan.runs.evaluation import EvaluationSettings, evaluate
from graftgan.runs.rescoring import Rescoring, evaluate_again, runs_at, write_rescoring
from graftgan.runs.run import run
from graftgan.runs.scorer import best_iteration
from graftgan.studies.source_ranking import experience_in
from graftgan.training import TrainingSettings
from plain_scores import score as a_score
from tiny_networks import draw_pictures, tiny_architecture, tiny_pair, tiny_pictures

METRICS = ("kid", "fid", "precision_recall")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """A run that is scored at 0, 2 and 4 by three metrics."""
    scoring = ScoringSettings(score_every=2, score_count=12, metrics=METRICS)
    network = replace(
        scoring.network,
        extractor=str(save_brightness(tmp_path)),
        extractor_side=8,
        extractor_pixels="minus_one_one",
    )
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=30, hue=1),
        source=source_of(tmp_path, channels=3),
        data=DataSettings(held_out=0.3),
        training=TrainingSettings(iterations=4, batch_size=4, checkpoint_every=2),
        scoring=replace(scoring, network=network),
        seed=3,
    )


def source_of(folder: Path, *, channels: int) -> str:
    architecture = tiny_architecture(channels=channels)
    card = SourceCard(name="tiny", architecture=architecture)
    save_source(folder / f"tiny-{channels}", tiny_pair(architecture), card)
    return str(folder / f"tiny-{channels}")


def trained(experiment: Experiment, tmp_path: Path) -> Path:
    return run(experiment, tmp_path / "run", device="cpu").path


def unscored(experiment: Experiment, **changes: object) -> Experiment:
    """Return the experiment with SWD16 alone."""
    return replace(experiment, scoring=ScoringSettings(), **changes)


def written(path: Path, *, of_metrics: tuple[str, ...] = ("KID", "FD", "precision", "recall")):
    """Return what training wrote, by iteration and name."""
    lines = read_scores(path / "metrics.jsonl")[0]
    return {
        (line.iteration, line.name): line.value
        for line in lines
        if line.is_own and line.name.startswith(of_metrics)
    }


def found_in(rescoring: Rescoring) -> Mapping[tuple[int, str], float]:
    return {(at, s.name): s.value for at, row in rescoring.scores.items() for s in row}


@pytest.mark.parametrize("where", ["held out", "reference"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_runs_own_scores_come_back_exactly(
    experiment: Experiment, tmp_path: Path, where: str, channels: int
):
    experiment = replace(experiment, source=source_of(tmp_path, channels=channels))
    whole = draw_pictures(tmp_path / "whole", count=50, hue=1)  # 30 of them are the run's
    if where == "reference":
        scoring = replace(experiment.scoring, reference=whole)
        experiment = replace(experiment, scoring=scoring, data=DataSettings())
    path = trained(experiment, tmp_path)
    found = evaluate_again(path, metrics=METRICS, network=experiment.scoring.network)
    known = written(path)
    assert len(known) == 3 * 4
    assert found_in(found) == pytest.approx(known, rel=1e-9)  # but for the order of sums
    assert read_scored(scored_file(path, 2)).card.channels == channels
    assert found.best == found.own_best == best_iteration(path / "metrics.jsonl")
    lines = [line for line in read_jsonl(path / "metrics.jsonl") if line["decides"]]
    for line, score in zip(lines, found.firsts.values(), strict=True):
        assert vars_of(score.protocol) == line["protocol"]
        assert score.floor is not None
        assert score.floor.mean == line["floor"]["mean"]
    if where == "reference":  # and where it is named
        named = evaluate_again(path, whole, metrics=METRICS, network=experiment.scoring.network)
        assert found_in(named) == pytest.approx(known, rel=1e-9)


def vars_of(protocol: ScoreProtocol) -> dict[str, object]:
    return {name: getattr(protocol, name) for name in ScoreProtocol.__slots__}


def test_the_kept_pictures_are_those_that_the_checkpoint_draws(
    experiment: Experiment, tmp_path: Path
):
    """The last ones come from weights that are still there."""
    exact = replace(experiment, training=replace(experiment.training, precision="float32"))
    path = trained(exact, tmp_path)
    kept = read_scored(scored_file(path, 4))
    latents = random_latents(12, 8, seed=kept.card.seed)
    assert kept.pictures.equal(generate(open_source(str(path)).pair.generator, latents))


def test_another_score_than_the_runs_own_is_that_of_the_zip(experiment: Experiment, tmp_path: Path):
    """``evaluate`` reads the same file as an ordinary set of pictures."""
    path = trained(unscored(experiment), tmp_path)
    others = draw_pictures(tmp_path / "others", count=20, hue=2)
    network = experiment.scoring.network
    found = evaluate_again(path, others, metrics=METRICS, network=network)
    assert list(found.scores) == [2, 4]
    asked = EvaluationSettings(
        metrics=METRICS, network=network, resolution=32, seed=3, copies=False
    )
    for iteration, row in found.scores.items():
        file = scored_file(path, iteration)
        assert row == evaluate(str(file), others, asked).scores


def test_the_compass_is_followed_to_what_it_compares_with(experiment: Experiment, tmp_path: Path):
    network = experiment.scoring.network
    held = run(unscored(experiment), tmp_path / "held", device="cpu").path
    found = evaluate_again(held, metrics=("kid",), network=network)
    protocol = found.firsts[4].protocol
    assert (protocol.reference, protocol.reference_count) == ("held out", 9)
    assert protocol.generated_count == 512
    assert found.own_score == "SWD(16px)"
    none = run(unscored(experiment, data=DataSettings()), tmp_path / "none", device="cpu").path
    found = evaluate_again(none, metrics=("kid",), network=network)
    assert found.rewards_copying
    assert found.firsts[4].protocol.reference == "pictures (training pictures)"
    assert all("rewards copying" in score.warnings[0] for score in found.firsts.values())
    assert "rewards copying" in str(again_table(found).caption)


def test_what_is_kept_decides_nothing(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    network = experiment.scoring.network
    before, facts = read_jsonl(path / "metrics.jsonl"), scores_of(read_run(path))
    experience = experience_of(path)
    others = draw_pictures(tmp_path / "others", count=20, hue=2)
    for against in (None, others):
        write_rescoring(evaluate_again(path, against, metrics=("kid", "fid"), network=network))
    lines = read_jsonl(path / "metrics.jsonl")
    assert lines[: len(before)] == before
    added = lines[len(before) :]
    assert len(added) == 2 * 3 * 2
    assert {line["model"] for line in added} == {"run"}
    assert not any(line.get("decides") for line in added)
    assert best_iteration(path / "metrics.jsonl") == RunFolder(path).card().best
    assert experience_of(path) == experience
    page = scores_of(read_run(path))
    for score, again in zip(facts, page, strict=False):
        known = (score.protocol, score.points, score.lows, score.highs, score.decides)
        assert (again.protocol, again.points, again.lows, again.highs, again.decides) == known
    assert len(page) == len(facts) + 2
    elsewhere = tmp_path / "elsewhere"
    write_rescoring(evaluate_again(path, metrics=("kid",), network=network), elsewhere)
    assert len(read_jsonl(elsewhere / "metrics.jsonl")) == 3
    assert len(read_jsonl(path / "metrics.jsonl")) == len(lines)


def experience_of(path: Path) -> object:
    name = read_jsonl(path / "metrics.jsonl")[0]["name"]
    found = experience_in([path], score=name)
    assert found
    return found


def test_a_score_that_is_reached_again_only_was_not_reached(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    name = read_jsonl(path / "metrics.jsonl")[0]["name"]
    line = {"iteration": 2, "name": name, "value": -9.0, "better": "lower", "protocol": {}}
    append_jsonl(path / "metrics.jsonl", {**line, "model": "run"})
    assert convergence_of(path, threshold=-8.0).score is None
    append_jsonl(path / "metrics.jsonl", line)
    assert convergence_of(path, threshold=-8.0).score is not None


def test_a_damaged_file_costs_its_iteration_alone(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    network = experiment.scoring.network
    whole = found_in(evaluate_again(path, metrics=("kid",), network=network))
    file = scored_file(path, 2)
    file.write_bytes(file.read_bytes()[:-9])
    found = evaluate_again(path, metrics=("kid",), network=network)
    assert found_in(found) == {key: value for key, value in whole.items() if key[0] != 2}
    (note,) = found.notes
    assert note.startswith(f"iteration 2 is left out: {file} does not hold")
    for other in list_scored(path).values():
        other.write_bytes(b"")
    with pytest.raises(ScoreError, match=r"no kept pictures of .* can be scored; iteration 0 is"):
        evaluate_again(path, metrics=("kid",), network=network)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"pictures": tiny_pictures(12, side=16)},
        {"pictures": tiny_pictures(12, channels=1)},
    ],
)
def test_pictures_of_another_run_are_left_out(
    experiment: Experiment, tmp_path: Path, change: dict[str, object]
):
    path = trained(experiment, tmp_path)
    file = scored_file(path, 2)
    whole = {"pictures": tiny_pictures(12), "iteration": 2, "seed": 3}
    file.write_bytes(packed(**{**whole, **change}))  # type: ignore[arg-type]
    found = evaluate_again(path, metrics=("kid",), network=experiment.scoring.network)
    assert list(found.scores) == [0, 4]
    assert f"{file} is of another run" in found.notes[0]


def test_one_colour_pictures_cost_their_iteration_alone(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    flat = tiny_pictures(1)[:, :, :1, :1].expand(12, 3, 32, 32)
    scored_file(path, 2).write_bytes(packed(flat, iteration=2, seed=3))
    found = evaluate_again(path, metrics=("kid",), network=experiment.scoring.network)
    assert list(found.scores) == [0, 4]
    assert "iteration 2 is left out: all 12 pictures are one-colour" in found.notes[0]


def test_one_iteration_can_be_chosen(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    network = experiment.scoring.network
    found = evaluate_again(path, metrics=("kid",), network=network, iteration=2)
    assert list(found.scores) == [2]
    with pytest.raises(RunError, match="no pictures of iteration 3; it has: 0, 2, 4"):
        evaluate_again(path, metrics=("kid",), network=network, iteration=3)


def test_a_run_without_kept_pictures_says_why(experiment: Experiment, tmp_path: Path):
    lean = replace(experiment, scoring=replace(experiment.scoring, keep_pictures=False))
    path = run(lean, tmp_path / "a run", device="cpu").path
    anew = rf"`graftgan evaluate '{path}' --against PICTURES` draws new ones"
    with pytest.raises(RunError, match=rf"trained with --no-keep-pictures; {anew}"):
        evaluate_again(path)
    path = trained(experiment, tmp_path)
    shutil.rmtree(path / "scored")
    with pytest.raises(RunError, match=r"is of a graftgan that kept none.*draws new ones"):
        evaluate_again(path)
    with pytest.raises(RunError, match=r"pictures is not a run folder"):
        evaluate_again(experiment.pictures)


def test_mistakes_are_found_before_anything_is_read(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    with pytest.raises(UnknownName, match="no metric named 'fidd'"):
        evaluate_again(path, metrics=("fidd",))
    with pytest.raises(SettingsError, match="at least one score"):
        evaluate_again(path, metrics=())


def test_pictures_that_moved_or_changed(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    network = experiment.scoring.network
    whole = found_in(evaluate_again(path, metrics=("kid",), network=network))
    moved = tmp_path / "moved"
    experiment.pictures.rename(moved)
    found = evaluate_again(path, metrics=("kid",), network=network, training=moved)
    assert found_in(found) == whole
    (moved / "000.png").unlink()
    with pytest.raises(ScoreError, match=r"moved are not those that run was trained on"):
        evaluate_again(path, metrics=("kid",), network=network, training=moved)


def test_a_reference_that_changed_is_not_taken_for_the_runs_own(
    experiment: Experiment, tmp_path: Path
):
    whole = draw_pictures(tmp_path / "whole", count=50, hue=1)
    scoring = replace(experiment.scoring, reference=whole)
    path = trained(replace(experiment, scoring=scoring, data=DataSettings()), tmp_path)
    (whole / "049.png").unlink()
    network = experiment.scoring.network
    with pytest.raises(ScoreError, match=r"not those that run was scored against.*--against"):
        evaluate_again(path, metrics=("kid",), network=network)
    found = evaluate_again(path, whole, metrics=("kid",), network=network)
    assert found.firsts[4].protocol.reference_count == 19
    shutil.rmtree(whole)
    with pytest.raises(ScoreError, match=r"whole.*; say with --against what to score against"):
        evaluate_again(path, metrics=("kid",), network=network)


def rescoring(
    values: Mapping[int, float], *, better: str = "lower", own: int | None = 10, **more: object
) -> Rescoring:
    """Return values with intervals of 0.1 to either side, by one protocol."""
    scores = {at: [a_score(value, better=better, name="KID(eyes)")] for at, value in values.items()}
    known = {
        "run": RunFolder(Path("runs/mine")),
        "begins_with_source": True,
        "scores": scores,
        "copying": frozenset(),
        "own_best": own,
        "own_score": "SWD(16px)",
        "notes": (),
        "rewards_copying": False,
    }
    return Rescoring(**{**known, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "best", "says"),
    [
        (rescoring({0: 0.1, 10: 0.5, 20: 0.3}), 20, "is worse by 0.2 [0.05858, 0.3414]: more than"),
        (rescoring({0: 0.1, 10: 0.4, 20: 0.3}), 20, "is worse by 0.1 [−0.04142, 0.2414]: within"),
        (
            rescoring({0: 0.9, 10: 0.3, 20: 0.5}, better="higher"),
            20,
            "iteration 10, which the run itself called best by SWD(16px), is worse by 0.2 [0.05858",
        ),
        (rescoring({0: 0.1, 10: 0.2, 20: 0.3}), 10, "which is what the run itself called best by"),
        (rescoring({0: 0.1, 10: 0.2}, own=30), 10, "iteration 30, which the run itself called"),
        (rescoring({0: 0.1, 10: 0.2}, own=None), 10, "the run itself called none the best"),
        (rescoring({0: 0.1}), None, "no iteration that was trained can be called the best by KID"),
        (rescoring({10: 0.2, 20: 0.1}, copying=frozenset({20})), 10, "iteration 10 is the best"),
        (rescoring({10: float("nan"), 20: 0.9}), 20, "iteration 20 is the best"),
    ],
)
def test_the_best_is_compared_with_the_runs_own(found: Rescoring, best: int | None, says: str):
    """Half-widths of 0.1 add in squares to 0.1414."""
    assert found.best == best
    assert says in found.verdict()


@pytest.mark.parametrize(
    ("values", "better", "beats"),
    [
        ({0: 0.5, 10: 0.3}, "lower", True),
        ({0: 0.4, 10: 0.3}, "lower", False),  # within noise
        ({0: 0.1, 10: 0.3}, "lower", False),
        ({0: 0.3, 10: 0.5}, "higher", True),
        ({0: 0.5, 10: 0.3}, "higher", False),
    ],
)
def test_a_best_that_does_not_beat_the_untouched_source_is_said_to_be_so(
    values: Mapping[int, float], better: str, beats: bool
):
    words = "10 is the best, but not better than the untouched source beyond noise, which is what"
    assert (words in rescoring(values, better=better).verdict()) != beats
    fresh = rescoring(values, better=better, begins_with_source=False)
    assert words not in fresh.verdict()


def test_a_run_that_begins_with_something_else_names_no_source(
    experiment: Experiment, tmp_path: Path
):
    path = trained(replace(experiment, plan="scratch"), tmp_path)
    network = experiment.scoring.network
    assert not evaluate_again(path, metrics=("kid",), network=network).begins_with_source
    path = run(experiment, tmp_path / "grafted", device="cpu").path
    assert evaluate_again(path, metrics=("kid",), network=network).begins_with_source
    (path / "plan.json").write_text("damaged")
    assert not evaluate_again(path, metrics=("kid",), network=network).begins_with_source


def test_the_table_names_the_source_and_the_best():
    table = again_table(rescoring({0: 0.1, 10: 0.5, 20: 0.3}, copying=frozenset({10})))
    cells = list(table.columns[0].cells)
    assert cells == [
        "0 (untouched source)",
        "10 (copies)",
        "20 (the best)",
        "real against real",
    ]
    assert next(iter(table.columns[1].cells)) == "0.1 [0, 0.2]"
    fresh = again_table(rescoring({0: 0.1}, begins_with_source=False))
    assert next(iter(fresh.columns[0].cells)) == "0 (untouched start)"


def test_a_comparison_stands_for_its_runs(tmp_path: Path):
    for name in ("b-0", "a-0"):
        (tmp_path / "study" / "runs" / name).mkdir(parents=True)
        (tmp_path / "study" / "runs" / name / "experiment.toml").touch()
    (tmp_path / "study" / "runs" / "c-0").mkdir()  # it has not begun
    runs = tmp_path / "study" / "runs"
    assert runs_at(tmp_path / "study") == [runs / "a-0", runs / "b-0"]
    assert runs_at(runs / "a-0") == [runs / "a-0"]
    with pytest.raises(RunError, match="no run folder, nor a comparison or search with runs"):
        runs_at(tmp_path)


def test_pictures_that_are_gone_are_named(experiment: Experiment, tmp_path: Path):
    path = trained(experiment, tmp_path)
    scored_file(path, 2).unlink()
    found = evaluate_again(path, metrics=("kid",), network=experiment.scoring.network)
    (note,) = found.notes
    assert note.startswith(f"iteration 2 is left out: there is no {scored_file(path, 2)}")
