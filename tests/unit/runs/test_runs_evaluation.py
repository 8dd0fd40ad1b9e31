"""What is compared with what, and what is said when copies cannot be looked for."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from graftgan.cli.evaluate import score_table
from graftgan.core.errors import ImageSetError, ScoreError, SettingsError, SourceError, UnknownName
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings
from graftgan.runs.evaluation import EvaluationSettings, evaluate, floor, write_evaluation
from graftgan.runs.run import run
from graftgan.training import TrainingSettings
from tiny_networks import draw_pictures, tiny_home


class FewPixels(torch.nn.Module):
    """A feature network that sees the picture at 4 px."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settings(tmp_path: Path) -> EvaluationSettings:
    path = tmp_path / "few_pixels.pt"
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.trace(FewPixels(), torch.zeros(2, 3, 32, 32)), path)
    network = replace(EvaluationSettings().network, extractor=str(path), extractor_side=32)
    return EvaluationSettings(metrics=("kid",), count=20, resolution=32, network=network)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A run without pictures held out, and its pictures."""
    pictures = draw_pictures(tmp_path / "trained on", count=12, hue=0)
    experiment = Experiment(
        pictures=pictures,
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        training=TrainingSettings(iterations=2, batch_size=4),
    )
    return run(experiment, tmp_path / "run").path, pictures


def whole_set(trained_on: Path, folder: Path, *, new: int) -> Path:
    """Return the training pictures, stored anew in another size, and ``new`` others."""
    draw_pictures(folder, count=new, hue=1)
    for path in trained_on.iterdir():
        with Image.open(path) as image:
            image.resize((80, 80), Image.Resampling.BOX).save(folder / f"old-{path.stem}.png")
    return folder


def test_honest_pictures_are_those_the_training_did_not_see(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, pictures = trained
    everything = whole_set(pictures, tmp_path / "everything", new=9)
    found = evaluate(str(path), everything, settings=replace(settings, resolution=None))
    assert found.copies is not None
    assert found.copies.training_count == 12
    assert found.copies.held_out_count == 9
    assert found.scores[0].protocol.reference_count == 9  # though 21 pictures are in the set
    assert found.notes == (
        "12 of 21 pictures of everything were trained on and are left out of it",
    )
    assert not any("trained on" in w for score in found.scores for w in score.warnings)


def test_scores_against_the_training_pictures_themselves_say_so(
    settings: EvaluationSettings, trained: tuple[Path, Path]
):
    path, pictures = trained
    found = evaluate(str(path), pictures, replace(settings, resolution=None))
    assert found.scores[0].protocol.reference == "trained on (training pictures)"
    assert found.rewards_copying
    assert "rewards copying" in str(score_table([found]).caption)
    assert found.scores[0].protocol.reference_count == 12
    assert all("rewards copying" in score.warnings[0] for score in found.scores)
    assert found.copies is None
    assert "a copy report needs pictures that were not trained on" in found.notes[-1]


def test_a_reference_with_too_few_new_pictures_is_refused(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, pictures = trained
    everything = whole_set(pictures, tmp_path / "everything", new=3)
    with pytest.raises(ScoreError, match="only 3 of 15 pictures of everything were not trained on"):
        evaluate(str(path), everything, replace(settings, resolution=None))


def test_a_doubled_reference_counts_each_picture_once(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, _ = trained
    others = draw_pictures(tmp_path / "others", count=9, hue=1)
    for picture in list(others.iterdir()):
        shutil.copy(picture, others / f"again {picture.name}")
    found = evaluate(str(path), others, replace(settings, resolution=None))
    assert found.scores[0].protocol.reference_count == 9
    assert found.notes == ("9 of 18 pictures of others are equal to others and count once",)


def test_what_stands_in_the_way_of_looking_for_copies_is_noted(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, pictures = trained
    others = draw_pictures(tmp_path / "others", count=9, hue=1)
    shutil.rmtree(pictures)
    moved = evaluate(str(path), others, replace(settings, resolution=None))
    assert moved.copies is None
    assert "trained on" in moved.notes[0]
    unknown = evaluate(str(others), others, settings)
    assert "trained on with --training" in unknown.notes[0]
    with pytest.raises(ImageSetError, match="nowhere"):
        evaluate(str(others), others, replace(settings, training=tmp_path / "nowhere"))


def test_pictures_that_changed_after_the_training_are_not_taken_for_those_of_it(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, pictures = trained
    everything = whole_set(pictures, tmp_path / "everything", new=9)
    draw_pictures(tmp_path / "one", count=1, hue=2)
    shutil.copy(next((tmp_path / "one").iterdir()), pictures / "later.png")
    found = evaluate(str(path), everything, settings=replace(settings, resolution=None))
    assert found.copies is None
    assert len(found.notes) == 2
    for note in found.notes:
        assert "are not those that run was trained on; put them back, or give" in note
        assert "their new place with --train" in note
    (pictures / "later.png").unlink()
    found = evaluate(str(path), everything, settings=replace(settings, resolution=None))
    assert found.copies is not None


def test_training_pictures_that_were_moved_are_known_by_their_files(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, pictures = trained
    moved = pictures.rename(tmp_path / "moved")
    settings = replace(settings, resolution=None)
    assert evaluate(str(path), moved, settings).rewards_copying
    everything = draw_pictures(tmp_path / "everything", count=9, hue=1)
    for picture in sorted(moved.iterdir())[:5]:
        shutil.copy(picture, everything / f"old {picture.name}")
    found = evaluate(str(path), everything, settings)
    assert found.scores[0].protocol.reference_count == 9
    assert "training pictures in other files could not be left out" in found.notes[0]
    assert "5 of 14 pictures of everything were trained on and are left out" in found.notes[1]


def test_training_pictures_that_were_moved_keep_their_splits(
    settings: EvaluationSettings, tmp_path: Path
):
    pictures = draw_pictures(tmp_path / "here", count=20, hue=0)
    experiment = Experiment(
        pictures=pictures,
        data=DataSettings(held_out=0.5),
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        training=TrainingSettings(iterations=1, batch_size=2),
    )
    path = str(run(experiment, tmp_path / "run").path)
    settings = replace(settings, resolution=None)
    before = evaluate(path, pictures, settings)
    assert before.notes == ("10 of 20 pictures of here were trained on and are left out of it",)
    moved = pictures.rename(tmp_path / "there")
    told = replace(settings, training=moved)
    for now in (settings, told):
        found = evaluate(path, moved, now)
        assert found.notes == (before.notes[0].replace("here", "there"),)
        assert found.copies == before.copies
    others = draw_pictures(tmp_path / "others", count=9, hue=1)
    assert evaluate(path, others, told).copies is not None
    unknown = evaluate(path, others, settings).notes[-1]
    assert f"was trained on are not in {pictures}; give their place with --training" in unknown


def test_an_evaluation_of_a_run_is_kept_and_decides_nothing(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, _ = trained
    decided = read_jsonl(path / "metrics.jsonl")
    others = draw_pictures(tmp_path / "others", count=9, hue=1)
    write_evaluation(evaluate(str(path), others, replace(settings, resolution=None)), path)
    lines = read_jsonl(path / "metrics.jsonl")
    assert lines[: len(decided)] == decided
    kept = lines[len(decided) :]
    assert kept[1]["name"].startswith("near copies")
    for line in kept:
        assert (line["model"], line["iteration"]) == ("run", 2)
        assert not line.get("decides")
    assert (path / "neighbours.png").is_file()


def test_the_same_seed_gives_the_same_scores(
    settings: EvaluationSettings, trained: tuple[Path, Path]
):
    path, pictures = trained
    asked = replace(settings, resolution=None, copies=False)
    first, again = (evaluate(str(path), pictures, asked).scores for _ in range(2))
    assert first == again
    assert evaluate(str(path), pictures, replace(asked, seed=1)).scores != first


def test_mistakes_are_found_before_anything_is_drawn(
    settings: EvaluationSettings, trained: tuple[Path, Path], tmp_path: Path
):
    path, pictures = trained
    with pytest.raises(UnknownName, match="no metric named 'fidd'"):
        evaluate(str(path), tmp_path / "nowhere", replace(settings, metrics=("fidd",)))
    with pytest.raises(SettingsError, match="draws at 32 px"):
        evaluate(str(path), pictures, replace(settings, resolution=64))
    with pytest.raises(SettingsError, match="--resolution"):
        evaluate(str(pictures), pictures, replace(settings, resolution=None))
    with pytest.raises(SourceError, match="no source"):
        evaluate(str(tmp_path / "nowhere"), pictures, settings)


def test_a_floor_looks_at_twice_its_largest_size(settings: EvaluationSettings, tmp_path: Path):
    pictures = draw_pictures(tmp_path / "many", count=30, hue=1)
    seen: list[int] = []
    floors = floor(
        pictures,
        (5, 10),
        resolution=32,
        metrics=("kid",),
        network=settings.network,
        progress=lambda what, done, total: seen.append(total),
    )
    assert set(seen) == {20}
    name = next(iter(floors[5]))
    assert name.startswith("KID(few_pixels_")
    assert [floors[size][name].count for size in (5, 10)] == [5, 10]


def test_the_source_stands_beside_a_run_that_has_scored_it_alike(
    settings: EvaluationSettings, tmp_path: Path
):
    home, reference = tiny_home(tmp_path / "home", pictures=12), tmp_path / "reference"
    draw_pictures(reference, count=30, hue=2)
    scoring = ScoringSettings(
        score_every=1, score_count=20, reference=reference, network=settings.network
    )
    experiment = Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        training=TrainingSettings(iterations=1, batch_size=4),
        scoring=scoring,
    )
    path = run(experiment, tmp_path / "run").path
    asked = replace(settings, resolution=None, copies=False, metrics=("kid", "vendi"))
    found = evaluate(str(path), reference, asked)
    (source,) = found.source  # the run has not measured Vendi
    begun = read_jsonl(path / "metrics.jsonl")[0]
    assert (begun["iteration"], begun["value"]) == (0, source.value)
    alone = evaluate(str(home / "tiny"), reference, asked).scores[0]
    assert source.value == pytest.approx(alone.value, rel=1e-3)  # what it is called
    table = score_table([found, evaluate(str(reference), reference, settings)])
    assert [str(column.header) for column in table.columns] == [
        "score", "run", "source, untouched", "reference", "real against real",
    ]  # fmt: skip
    assert [len(list(column.cells)) for column in table.columns] == [2] * 5
    others = [evaluate(str(path), reference, replace(asked, count=19))]  # measured otherwise
    others.append(evaluate(str(home / "tiny"), reference, asked))
    (path / "plan.json").write_text("damaged")
    others.append(evaluate(str(path), reference, asked))
    assert [one.source for one in others] == [(), (), ()]
