"""Classes on their way through a run: pictures with their labels, sheets, scores, walks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graftgan.core.errors import ImageSetError, SettingsError
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.networks.blocks import use_batch_statistics
from graftgan.networks.sampling import (
    CHUNK,
    generate,
    grid_latents,
    interpolation_latents,
    interpolation_through_classes,
    latents_for,
    random_latents,
)
from graftgan.pictures import DataSettings
from graftgan.runs.build import Prepared, prepare
from graftgan.training import Processes, TrainingSettings
from graftgan.training.procedures import real_batches, real_classes
from tiny_networks import CPU, draw_pictures, latents, tiny_architecture, tiny_pair

ABC = tiny_architecture(classes=("a", "b", "c"))
NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sets") / "colours"
    for hue, (name, count) in enumerate((("red", 4), ("green", 9), ("blue", 5))):
        draw_pictures(home / name, count=count, hue=hue)
    return home


def experiment_on(pictures: Path, **changes: object) -> Experiment:
    plain = Experiment(
        pictures=pictures,
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        data=DataSettings(labels="folders"),
        training=TrainingSettings(iterations=4, batch_size=4),
    )
    return replace(plain, **changes)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def prepared(folders: Path) -> Prepared:
    return prepare(experiment_on(folders), CPU)


def test_pictures_and_classes_of_a_batch_belong_together(prepared: Prepared):
    batch, classes = (f(prepared, Processes()) for f in (real_batches, real_classes))
    assert prepared.images.classes == NAMES
    for turn in (0, 3, 7, 4):  # not in order: an exact resume begins anywhere
        weights = classes(turn)
        assert weights is not None
        strongest = batch(turn).mean(dim=(2, 3)).argmax(dim=1)  # 0 red, 1 green, 2 blue
        assert [NAMES[i] for i in weights.argmax(dim=1)] == [
            ("red", "green", "blue")[i] for i in strongest
        ]
        assert weights.sum(dim=1).eq(1).all()


def test_over_an_epoch_classes_come_as_often_as_their_pictures(prepared: Prepared):
    classes = real_classes(prepared, Processes())
    seen = torch.cat([weights for turn in range(9) if (weights := classes(turn)) is not None])
    assert seen.sum(dim=0).tolist() == [10, 18, 8]  # two epochs of 18 pictures


def test_without_labels_there_are_no_classes(folders: Path):
    plain = prepare(experiment_on(folders, data=DataSettings()), CPU)
    assert real_classes(plain, Processes())(0) is None
    assert plain.pair.architecture.classes == ()


def test_latents_come_class_after_class_or_of_one():
    all_of_them = latents_for(ABC, 8, seed=1)
    assert torch.equal(all_of_them[:, :8], random_latents(8, 8, seed=1))
    assert all_of_them[:, 8:].argmax(dim=1).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert latents_for(ABC, 3, seed=1, of_class="b")[:, 8:].tolist() == [[0, 1, 0]] * 3
    plain = latents_for(tiny_architecture(), 5, seed=1)
    assert torch.equal(plain, random_latents(5, 8, seed=1))
    with pytest.raises(SettingsError, match="no class is named 'd'"):
        latents_for(ABC, 3, seed=1, of_class="d")
    with pytest.raises(SettingsError, match="has no classes"):
        latents_for(tiny_architecture(), 3, seed=1, of_class="a")


def test_a_sheet_has_rows_for_each_class_with_the_same_latents():
    sheet = grid_latents(ABC, columns=8, rows=8, seed=2)
    assert len(sheet) == 3 * 2 * 8
    parts = sheet.split(16)
    for label, part in enumerate(parts):
        assert torch.equal(part[:, :8], parts[0][:, :8])
        assert part[:, 8:].argmax(dim=1).eq(label).all()
    many = tiny_architecture(classes=tuple("abcdefghijk"))
    assert len(grid_latents(many, columns=8, rows=8, seed=2)) == 11 * 8
    plain = grid_latents(tiny_architecture(), columns=8, rows=8, seed=2)
    assert torch.equal(plain, random_latents(64, 8, seed=2))


def test_a_walk_passes_from_class_to_class():
    walk = interpolation_latents(4, 5, 8, seed=3)
    through = interpolation_through_classes(ABC, walk, frames_between=5)
    shares = through[:, 8:]
    assert torch.equal(through[:, :8], walk)
    assert shares[::5].argmax(dim=1).tolist() == [0, 1, 2, 0]
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(20))
    torch.testing.assert_close(shares[3], torch.tensor([0.4, 0.6, 0.0]))
    within = interpolation_through_classes(ABC, walk, frames_between=5, of_class="c")
    assert within[:, 8:].tolist() == [[0, 0, 1]] * 20
    assert interpolation_through_classes(tiny_architecture(), walk, frames_between=5) is walk


def test_settings_pictures_and_source_must_agree_about_classes(folders: Path):
    labelled = experiment_on(folders)
    named = replace(labelled.network, classes=("blue", "red"))
    with pytest.raises(SettingsError, match="the settings name the classes blue, red, the folders"):
        prepare(replace(labelled, network=named), CPU)
    with pytest.raises(SettingsError, match="classes mean nothing without labels"):
        prepare(replace(labelled, network=named, data=DataSettings()), CPU)
    with pytest.raises(SettingsError, match="mlp has no normalisation"):
        prepare(replace(labelled, backbone="mlp"), CPU)
    with pytest.raises(ImageSetError, match="are not in several folders"):
        prepare(replace(labelled, pictures=folders / "red"), CPU)
    for found, data in ((("x", "y"), labelled.data), (None, DataSettings())):
        with pytest.raises(SettingsError, match="the source draws the classes a, b, c, and the"):
            replace(labelled, network=NetworkSettings(), data=data).architecture(ABC, found)
    same = replace(labelled, network=NetworkSettings()).architecture(ABC, ("a", "b", "c"))
    assert same.classes == ABC.classes


def test_a_game_that_knows_no_classes_refuses_them(folders: Path):
    source = {"source": "avatars-64", "network": NetworkSettings(), "procedure": "reconstruction"}
    with pytest.raises(SettingsError, match="'reconstruction' does not tell classes apart"):
        prepare(experiment_on(folders, **source), CPU)


def test_the_settings_written_out_name_the_classes_and_can_be_run_again(prepared: Prepared):
    assert prepared.experiment.network.classes == NAMES
    again = prepare(prepared.experiment, CPU)
    assert again.experiment == prepared.experiment
    assert json.loads(json.dumps(again.pair.architecture.as_dict()))["classes"] == list(NAMES)


def test_a_short_last_chunk_is_filled_with_pictures_of_all_classes():
    generator = tiny_pair(ABC).generator
    use_batch_statistics(generator.layers()["layer1"].norm)  # pyright: ignore[reportArgumentType]
    shapes: list[tuple[int, ...]] = []
    generator.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    assert len(generate(generator, ABC.with_labels(latents(3)))) == 3
    assert shapes == [(CHUNK, 8 + 3)]
