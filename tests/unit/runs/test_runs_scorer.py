"""Which checkpoint is the best, and when the scores end a run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from feature_networks import save_brightness
from graftgan.checkpoints import load_tensors
from graftgan.core.errors import RunError, ScoreError, SettingsError, TrainingDiverged
from graftgan.core.files import append_jsonl, read_jsonl
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.records import ScoreLine, append_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.pixels import SlicedWassersteinScore, SlicedWassersteinUse
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings, contents_of, load_image_set
from graftgan.runs.build import Prepared, ScoringReference, prepare
from graftgan.runs.evaluation import pictures_of
from graftgan.runs.resume import damaged_lines
from graftgan.runs.run import Observer, resume, run
from graftgan.runs.scorer import (
    MetricScorer,
    ScoreOutcome,
    Scorer,
    SlicedWassersteinScorer,
    best_iteration,
    score_at,
    source_scores,
)
from graftgan.training import TrainingSettings
from tiny_networks import CPU, draw_pictures, image_set, tiny_home, tiny_pictures


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return save_brightness(tmp_path)


@pytest.fixture
def experiment(tmp_path: Path, network: Path) -> Experiment:
    scoring = ScoringSettings(score_every=2, score_count=12)
    settings = replace(
        scoring.network,
        extractor=str(network),
        extractor_side=8,
        extractor_pixels="minus_one_one",
    )
    return Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=30, hue=1),
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        data=DataSettings(held_out=0.3),
        training=TrainingSettings(iterations=7, batch_size=4, checkpoint_every=3),
        scoring=replace(scoring, network=settings),
    )


def line(iteration: int, value: float, **more: Any) -> dict[str, Any]:
    return {"iteration": iteration, "name": "KID", "value": value, "decides": True, **more}


def scores_in(folder: RunFolder) -> dict[int, float]:
    lines = read_jsonl(folder.path / "metrics.jsonl")
    return {entry["iteration"]: entry["value"] for entry in lines if entry["decides"]}


def checkpoints_in(folder: RunFolder) -> list[int]:
    return sorted(int(path.name) for path in (folder.path / "checkpoints").iterdir())


def test_the_best_is_the_lowest_that_decides_and_copies_nothing(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    assert best_iteration(file) is None
    for entry in (
        line(0, 0.01),  # the untouched source is no result
        line(10, 0.5),
        line(20, 0.2),
        line(30, 0.1, copying=True),
        {"iteration": 40, "name": "FID", "value": 0.0, "decides": False},
        line(50, 0.3),
    ):
        append_jsonl(file, entry)
    assert best_iteration(file) == 20


def test_where_higher_is_better_the_best_is_the_highest(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    for iteration, value in ((10, 0.5), (20, 0.8), (30, 0.1)):
        append_jsonl(file, line(iteration, value, better="higher"))
    assert best_iteration(file) == 20


def judged(scorer: Scorer, file: Path, iteration: int, generated: torch.Tensor) -> ScoreOutcome:
    """Score pictures and write the lines, as a run does; what is read back says the same."""
    lines, verdict = scorer.score(iteration, generated)
    append_scores(file, lines)
    assert score_at(file, iteration) == verdict
    assert score_at(file, iteration + 1) is None
    return verdict


def test_without_metrics_a_compass_chooses(tmp_path: Path):
    pictures = tiny_pictures(20)
    scorer = SlicedWassersteinScorer(tmp_path / "metrics.jsonl", image_set(pictures))

    def verdict(iteration: int, generated: torch.Tensor) -> ScoreOutcome:
        return judged(scorer, tmp_path / "metrics.jsonl", iteration, generated)

    assert not verdict(0, pictures[:12]).best  # the source as it came
    assert verdict(10, (pictures // 4)[:12]).best
    assert verdict(20, pictures[:12]).best  # nearer to the real ones
    assert not verdict(30, (pictures // 2)[:12]).best


def test_a_run_is_scored_and_its_best_checkpoint_is_kept(experiment: Experiment, tmp_path: Path):
    folder = run(experiment, tmp_path / "run")
    scores = scores_in(folder)
    assert sorted(scores) == [0, 2, 4, 6, 7]  # the start, every second, the end
    best = min((value, iteration) for iteration, value in scores.items() if iteration)[1]
    assert folder.card().best == best
    assert best in checkpoints_in(folder)
    entry = read_jsonl(folder.path / "metrics.jsonl")[0]
    assert entry["name"].startswith("KID(brightness_")
    assert entry["low"] <= entry["value"] <= entry["high"]
    protocol = entry["protocol"]
    assert (protocol["reference"], protocol["reference_count"]) == ("held out", 9)
    assert (protocol["generated_count"], protocol["side"]) == (12, 8)


def test_scoring_does_not_change_what_is_learnt(experiment: Experiment, tmp_path: Path):
    scored = run(experiment, tmp_path / "scored")
    plain = run(replace(experiment, scoring=ScoringSettings()), tmp_path / "plain")
    for name in ("generator", "discriminator", "average", "training"):
        files = [f.path / "checkpoints" / "000007" / f"{name}.safetensors" for f in (scored, plain)]
        tensors = [_tensors(file) for file in files]
        assert tensors[0] == tensors[1], name


def _tensors(path: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def test_a_reference_is_scored_against_without_what_is_trained_on(
    experiment: Experiment, tmp_path: Path
):
    whole = draw_pictures(tmp_path / "whole", count=40, hue=1)  # of which 30 are the run's
    scoring = replace(experiment.scoring, reference=whole)
    asked = replace(experiment, scoring=scoring, data=DataSettings(limit=20))
    folder = run(asked, tmp_path / "run")
    protocol = read_jsonl(folder.path / "metrics.jsonl")[0]["protocol"]
    assert (protocol["reference"], protocol["reference_count"]) == ("whole", 20)
    assert folder.experiment().scoring.reference == whole.resolve()


def test_a_reference_of_training_pictures_is_refused_before_anything_is_written(
    experiment: Experiment, tmp_path: Path
):
    scoring = replace(experiment.scoring, reference=experiment.pictures)
    with pytest.raises(ScoreError, match=r"only 0 of 30 pictures of pictures .*--held-out 0\.2"):
        run(replace(experiment, scoring=scoring, data=DataSettings()), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("doubled", [0.0, 0.1, 0.5, 1.0])
def test_the_copy_guard_sees_copies_however_many_pictures_are_doubled(
    experiment: Experiment, tmp_path: Path, doubled: float
):
    pictures = tmp_path / "doubled"
    for i, picture in enumerate(distinct(60, seed=1)):
        names = ["a", "b"] if i < doubled * 60 else ["a"]
        for name in names:
            (pictures / name).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(picture.permute(1, 2, 0).numpy())
            image.save(pictures / name / f"{i}.png")
    asked = replace(experiment, pictures=pictures, data=DataSettings(held_out=0.4))
    prepared = prepare(asked, CPU)
    images = prepared.images
    assert not set(contents_of(images.pictures)) & set(contents_of(images.held_out))
    assert len(images.held_out) >= 0.3 * len(images.pictures)
    assert not prepared.without_copy_guard
    scorer = MetricScorer(tmp_path / "metrics.jsonl", prepared, prepared.scoring_reference)
    _, honest = scorer.score(10, distinct(60, seed=3))
    assert not honest.stop
    copies = images.pictures[torch.arange(60) % len(images.pictures)]
    _, found = scorer.score(20, copies)
    assert "copies" in found.stop


def test_patience_ends_a_run_at_its_best_checkpoint(experiment: Experiment, tmp_path: Path):
    scoring = replace(experiment.scoring, score_every=1, patience=2)
    training = replace(experiment.training, iterations=60)
    folder = run(replace(experiment, scoring=scoring, training=training), tmp_path / "run")
    card, scores = folder.card(), scores_in(folder)
    assert card.state == "stopped"
    assert "2 scores in a row without a better KID" in card.message
    best = min((value, iteration) for iteration, value in scores.items() if iteration)[1]
    assert card.iteration == best + 2 < 60
    assert f"went back to the best checkpoint, that of iteration {best}" in card.message
    assert max(checkpoints_in(folder)) == best  # so a sample or an adapter is that of the best
    assert "ended by its scores" in (folder.path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(RunError, match=r"ended by its scores.*--source"):
        resume(folder.path)


def test_a_resumed_run_scores_as_an_uninterrupted_one(experiment: Experiment, tmp_path: Path):
    whole = run(experiment, tmp_path / "whole")
    short = replace(experiment, training=replace(experiment.training, iterations=4))
    folder = run(short, tmp_path / "short")
    resume(folder.path, iterations=7)
    assert scores_in(folder) == scores_in(whole)
    assert folder.card().best == whole.card().best


@pytest.fixture
def scorer(experiment: Experiment, tmp_path: Path, network: Path) -> MetricScorer:
    """Scores against 30 held-out pictures; the run is trained on 30 others."""
    from graftgan.metrics.extractors import build_extractor

    settings = replace(experiment.scoring.network, extractor=str(network))
    images = replace(image_set(distinct(30, seed=1)), held_out=distinct(30, seed=2))
    prepared = Prepared(
        experiment,
        None,  # type: ignore[arg-type] - the scorer looks at pictures alone
        None,  # type: ignore[arg-type]
        images,
        CPU,
        {},
        ScoringReference(build_extractor(settings), None),
    )
    return MetricScorer(tmp_path / "metrics.jsonl", prepared, prepared.scoring_reference)


def distinct(count: int, *, seed: int) -> torch.Tensor:
    """Return pictures that differ in the mean of each channel, which is all the network sees."""
    rng = torch.Generator().manual_seed(seed)
    colours = torch.randint(20, 236, (count, 3, 1, 1), generator=rng)
    grain = torch.randint(-8, 9, (count, 3, 32, 32), generator=rng)
    return (colours + grain).clamp(0, 255).byte()


def test_the_copy_guard_stops_a_generator_that_gives_its_pictures_back(scorer: MetricScorer):
    _, honest = scorer.score(10, distinct(60, seed=3))
    assert honest.best
    assert not honest.stop
    _, copies = scorer.score(20, distinct(30, seed=1).repeat(2, 1, 1, 1))
    assert not copies.best
    assert "copies" in copies.stop


def test_the_copy_guard_looks_at_a_part_of_a_large_training_set(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("graftgan.metrics.copying.MOST_TRAINING", 20)
    scorer: MetricScorer = request.getfixturevalue("scorer")
    _, copies = scorer.score(20, distinct(30, seed=1).repeat(2, 1, 1, 1))
    assert "a single one of 20," in copies.stop


def test_what_decides_is_the_first_metric(scorer: MetricScorer, tmp_path: Path):
    lines, _ = scorer.score(10, distinct(60, seed=3))
    deciding = [entry.score.name for entry in lines if entry.decides]
    assert len(deciding) == 1
    assert deciding[0].startswith("KID")
    assert any("near copies" in entry.score.name for entry in lines)
    plain = [entry.as_dict() for entry in lines]
    assert json.loads(json.dumps(plain)) == plain


def test_a_run_that_ends_at_its_start_is_whole(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def copies(*_: object) -> tuple[list[ScoreLine], ScoreOutcome]:
        verdict = ScoreOutcome(best=False, value=1.0, stop="the generator copies")
        protocol = SlicedWassersteinUse(real="held out", real_count=9)
        score = SlicedWassersteinScore(name="KID", value=1.0, protocol=protocol)
        return [
            ScoreLine(iteration=0, score=score, decides=True, copying=True, stop=verdict.stop)
        ], verdict

    monkeypatch.setattr(MetricScorer, "score", copies)
    folder = run(experiment, tmp_path / "run")
    assert folder.card().state == "stopped"
    assert "no better checkpoint" in folder.card().message
    assert checkpoints_in(folder) == [0]


def test_pictures_of_one_colour_are_a_divergence(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def flat(*_: object) -> ScoreOutcome:
        raise ScoreError("all 12 pictures are one-colour pictures")

    monkeypatch.setattr(MetricScorer, "score", flat)
    with pytest.raises(TrainingDiverged, match=r"iteration 0 cannot be scored.*one-colour"):
        run(experiment, tmp_path / "run")
    assert RunFolder(tmp_path / "run").card().state == "diverged"


def test_scores_that_cannot_be_measured_are_found_before_anything_is_written(
    experiment: Experiment, tmp_path: Path
):
    for change, says in (
        ({"metrics": ("density_coverage",), "score_count": 4}, "at least 6 .*4 generated"),
        ({"metrics": ("inception_score",)}, "classifier"),
    ):
        scoring = replace(experiment.scoring, **change)
        with pytest.raises(ScoreError, match=says):
            run(replace(experiment, scoring=scoring), tmp_path / "run")
        assert not (tmp_path / "run").exists()


class OwnFeatures(torch.nn.Module):
    """What a layer of a discriminator answers, as a feature network."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.eye = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 4, bias=False)
        self.eye.weight.data = weight.clone()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.eye(images.repeat(1, 3, 1, 1)[:, :8]).mean(dim=(2, 3))


def test_a_network_that_stands_in_the_discriminator_may_not_score(
    experiment: Experiment, tmp_path: Path
):
    source = tiny_home(tmp_path / "home", pictures=1) / "tiny"
    weight = load_tensors(source / "discriminator.safetensors")["blocks.layer3.conv.weight"]
    assert weight.numel() >= 1000
    file = tmp_path / "eye.pt"
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.trace(OwnFeatures(weight), torch.zeros(2, 3, 8, 8)), file)
    network = replace(experiment.scoring.network, extractor=str(file))
    asked = replace(
        experiment, source=str(source), scoring=replace(experiment.scoring, network=network)
    )
    says = r"its blocks\.layer3\.conv\.weight is eye\.weight of .*not the pictures.*--extractor"
    with pytest.raises(SettingsError, match=says):
        run(asked, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    fresh = replace(asked, plan="D[*=reset] G[*=fine_tune]")
    assert run(fresh, tmp_path / "fresh").card().state == "finished"


def test_the_scores_of_iteration_0_are_those_of_the_source(experiment: Experiment, tmp_path: Path):
    source = str(tiny_home(tmp_path / "home", pictures=1) / "tiny")
    scoring = replace(experiment.scoring, metrics=("fid", "kid"))
    folder = run(replace(experiment, source=source, scoring=scoring), tmp_path / "run")
    file = folder.path / "metrics.jsonl"
    begun = [line for line in read_jsonl(file) if line["iteration"] == 0 and "decides" in line]
    evaluated = {key: value for key, value in begun[0].items() if key != "decides"}
    append_jsonl(file, {**evaluated, "value": 9.0, "model": "run"})
    assert [one.name.split("(")[0] for one in source_scores(folder)][:2] == ["FD", "KID"]
    assert [one.value for one in source_scores(folder)] == [line["value"] for line in begun]


@pytest.mark.parametrize("plan", ["scratch", "D(0,0,*) G[layer2=reset, *=freeze]"])
def test_reset_layers_and_fresh_weights_are_no_source(
    experiment: Experiment, tmp_path: Path, plan: str
):
    source = str(tiny_home(tmp_path / "home", pictures=1) / "tiny")
    short = replace(experiment, training=replace(experiment.training, iterations=1))
    assert source_scores(run(replace(short, source=source, plan=plan), tmp_path / "reset")) == []
    assert source_scores(run(short, tmp_path / "fresh")) == []
    unscored = replace(short, source=source, scoring=ScoringSettings())
    assert source_scores(run(unscored, tmp_path / "unscored")) == []


def test_scores_without_pictures_to_compare_with_are_refused(experiment: Experiment):
    asked = replace(experiment, data=DataSettings())
    with pytest.raises(SettingsError, match=r"--held-out 0\.2.*--reference"):
        asked.check_names()


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(SettingsError, match="patience counts scores"):
        ScoringSettings(patience=3)
    with pytest.raises(SettingsError, match="score_every must be at least 1"):
        ScoringSettings(score_every=0)
    with pytest.raises(SettingsError, match="at least one score"):
        ScoringSettings(metrics=())


class Listener(Observer):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


def test_a_resumed_run_says_which_scores_are_damaged(experiment: Experiment, tmp_path: Path):
    short = replace(experiment, training=replace(experiment.training, iterations=4))
    folder = run(short, tmp_path / "run")
    file = folder.path / "metrics.jsonl"
    first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([first[:20], *rest]) + "\n")
    heard = Listener()
    resume(folder.path, iterations=6, observer=heard)
    (said,) = [line for line in heard.lines if "damaged scores are left out" in line]
    assert "line 1 of metrics.jsonl" in said
    assert damaged_lines(folder.path) == ""  # it was dropped, and the card keeps that it was
    assert said.removeprefix("note: ") in folder.card().remarks
    assert "line 1 of metrics.jsonl" in (folder.path / "report.html").read_text()


def test_a_run_keeps_the_split_and_reference_it_was_begun_with(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pictures = tmp_path / "doubled"
    shutil.copytree(experiment.pictures, pictures)
    for path in sorted(experiment.pictures.iterdir()):
        Image.open(path).rotate(180).save(pictures / f"turned-{path.name}")
    asked = replace(experiment, pictures=pictures, data=DataSettings(held_out=0.5))
    short = replace(asked, training=replace(experiment.training, iterations=4))
    with monkeypatch.context() as before:
        before.setattr("graftgan.pictures.image_set.near_doubles", lambda pictures: [])
        before.setattr(
            "graftgan.pictures.reference.near_doubles_among",
            lambda pictures, others: torch.zeros(len(pictures), dtype=torch.bool),
        )
        folder = run(short, tmp_path / "run")
    manifest = (folder.path / "manifest.json").read_bytes()
    sha256 = folder.card().pictures_sha256
    new = load_image_set(pictures, asked.data, resolution=32, seed=asked.seed)
    assert new.sha256 != sha256
    assert pictures_of(folder).sha256 == sha256
    resume(folder.path, iterations=6)
    assert folder.card().pictures_sha256 == sha256
    assert (folder.path / "manifest.json").read_bytes() == manifest


def test_it_is_said_why_there_is_no_copy_guard(experiment: Experiment):
    few = prepare(replace(experiment, data=DataSettings(held_out=0.1)), CPU)
    assert "finds only 3 among 3 held out" in few.without_copy_guard
    assert not prepare(experiment, CPU).without_copy_guard
