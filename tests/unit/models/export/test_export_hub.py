"""The folder for the Hub: a source that loads again, and a page that says what it is."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from graftgan.checkpoints import SourceCard, SourceModel, read_card
from graftgan.core.files import read_jsonl
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_folder import RunFolder
from graftgan.models.export.form import export_model
from graftgan.models.export.hub_folder import licence_id
from graftgan.models.sources import open_source
from graftgan.pictures import DataSettings
from graftgan.reports import in_words
from graftgan.runs.run import run
from graftgan.training import TrainingSettings
from tiny_networks import (
    assert_same_tensors,
    everything_in,
    tiny_architecture,
    tiny_home,
    tiny_pair,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two iterations with scores at both."""
    home = tiny_home(tmp_path_factory.mktemp("hub"), pictures=10)
    experiment = Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        plan="D(1,1,2) G(1,1,2)",
        data=DataSettings(held_out=0.2),
        training=TrainingSettings(
            iterations=2, batch_size=4, checkpoint_every=1, sample_every=1, log_every=1
        ),
    )
    return run(experiment, home / "my run", device="cpu")


def page_of(folder: Path) -> tuple[dict[str, Any], str]:
    page = ModelCard.load(folder / "README.md")
    return page.data.to_dict(), page.text


def test_a_run_becomes_a_source_with_a_page(finished: RunFolder, tmp_path: Path):
    model = open_source(str(finished.path))
    export = export_model(model, "hub", tmp_path / "squares", run=finished.path)
    assert export.difference == 0
    files = {path.name for path in (tmp_path / "squares").iterdir()}
    assert files == {
        "README.md",
        "card.json",
        "discriminator.safetensors",
        "generator.safetensors",
        "samples.png",
    }
    again = open_source(str(tmp_path / "squares"))
    assert_same_tensors(everything_in(model.pair), everything_in(again.pair))
    assert (again.card.name, again.card.data, again.card.iterations) == ("squares", "pictures", 2)
    with Image.open(tmp_path / "squares" / "samples.png") as grid:
        assert grid.size == (6 * 32, 6 * 32)

    front, text = page_of(tmp_path / "squares")
    assert front["library_name"] == "graftgan"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert front["license"] == "unknown"
    assert "dcgan" in front["tags"]
    for row in (
        "| pictures | pictures |",
        "| trained on | 8 of them |",
        "| source | tiny |",
        "| plan | D(1,1,2) G(1,1,2) |",
        "| objective | hinge |",
        "| trained for | 2 iterations, 8 pictures shown |",
    ):
        assert row in text
    assert "![Pictures of the generator, drawn at random](samples.png)" in text
    assert "--local-dir squares" in text
    assert "hf upload YOUR_NAME/squares ." in text
    assert "Not stated. Ask who trained" in text


def test_scores_are_those_of_the_exported_checkpoint_with_their_protocol(
    finished: RunFolder, tmp_path: Path
):
    lines = read_jsonl(finished.path / "metrics.jsonl")
    values = {line["iteration"]: in_words(line["value"]) for line in lines}
    assert values[1] != values[2]
    model = open_source(str(finished.path), iteration=1)
    export_model(model, "hub", tmp_path / "early", run=finished.path)
    _, text = page_of(tmp_path / "early")
    assert f"| SWD(16px) | {values[1]} |" in text
    assert values[2] not in text
    assert "* SWD(16px): side 16, directions 256" in text
    assert "real held out" in text


def test_whose_pictures_a_model_has_seen_is_told(finished: RunFolder, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    manifest = json.loads((run / "manifest.json").read_text())
    first, *others = (p for p in manifest["pictures"] if p["split"] == "training")
    first |= {"licence": "CC BY 4.0", "author": "Ada | Co"}
    for picture in others:
        picture |= {"licence": "CC0 1.0"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    model = open_source(str(run))
    licences = f"CC0 1.0 ({len(others)}), CC BY 4.0 (1)"
    assert model.card.licence == f"that of the pictures: {licences}"
    export_model(model, "hub", tmp_path / "hub", run=run)
    front, text = page_of(tmp_path / "hub")
    assert front["license"] == "other"
    assert f"Licences of the pictures it was trained on: {licences}." in text
    assert "Their authors: Ada \\| Co (1)." in text
    export_model(open_source(str(finished.path)), "hub", tmp_path / "plain", run=finished.path)
    assert "Pictures of others" not in page_of(tmp_path / "plain")[1]


def test_no_place_on_this_machine_is_told(finished: RunFolder, tmp_path: Path):
    model = open_source(str(finished.path))
    export_model(model, "hub", tmp_path / "told", run=finished.path)
    home = str(finished.path.parent)
    assert home in (finished.path / "experiment.toml").read_text(), "else nothing could leak"
    for name in ("README.md", "card.json"):
        assert home not in (tmp_path / "told" / name).read_text()


def test_a_source_tells_what_its_card_knows(tmp_path: Path):
    architecture = tiny_architecture(classes=("blue", "red"), channels=1)
    card = SourceCard(
        name="x",
        architecture=architecture,
        data="blue | red squares",
        licence="CC BY 4.0",
        command="graftgan pretrain squares/",
        notes="two lines\nof notes",
    )
    model = SourceModel(card, tiny_pair(architecture))
    export_model(model, "hub", tmp_path / "squares")
    front, text = page_of(tmp_path / "squares")
    assert front["license"] == "cc-by-4.0"
    assert "pictures of the classes blue, red, 32 x 32 pixels in gray" in text
    assert "| pictures | blue \\| red squares |" in text
    assert "| notes | two lines of notes |" in text
    assert "## Licence\n\nCC BY 4.0\n" in text
    assert "## Scores" not in text
    assert "| objective |" not in text, "what is not stated has no row"
    counts = [sum(p.numel() for p in network.parameters()) for _, network in model.pair.items()]
    assert f"discriminator {counts[0]:,}, generator {counts[1]:,}" in text
    assert read_card(tmp_path / "squares").licence == "CC BY 4.0"
    assert torch.equal(
        open_source(str(tmp_path / "squares")).pair.generator.classes.affines["layer1"].scale,
        model.pair.generator.classes.affines["layer1"].scale,
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("CC0 1.0", "cc0-1.0"),
        ("Apache-2.0", "apache-2.0"),
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("not stated", "unknown"),
        ("that of tiny (CC0 1.0) and of the pictures", "other"),
    ],
)
def test_licences_have_the_names_of_the_hub(said: str, wanted: str):
    assert licence_id(said) == wanted
