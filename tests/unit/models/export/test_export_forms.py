"""Every form draws what the live network draws, and is not there if it does not."""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from graftgan.checkpoints import SourceCard, SourceModel, load_note, load_tensors, save_tensors
from graftgan.core.errors import CheckpointError, GraftganError, RunError, SettingsError
from graftgan.core.network_types import Architecture, tensors_of
from graftgan.models.adapters.adapter import save_adapter
from graftgan.models.export import single_files
from graftgan.models.export.form import FORMS, Outgoing, export_model
from graftgan.models.export.single_files import load_generator, traced
from graftgan.models.sources import open_source
from graftgan.networks.backbone import BACKBONES, build_pair
from graftgan.networks.blocks import (
    evaluation_mode,
    layers_on_batch_statistics,
    use_batch_statistics,
)
from graftgan.networks.stylegan import stylegan3
from graftgan.transfer import fold
from tiny_adapters import PLANS, tiny_source, trained
from tiny_networks import (
    assert_same_tensors,
    everything_in,
    latents,
    tiny_architecture,
    tiny_pair,
)

ENDINGS = {"safetensors": ".safetensors", "onnx": ".onnx", "torch-export": ".pt2", "hub": ""}
SIDES = {"mlp": 16, "stylegan2": 16, "stylegan3t": 16, "stylegan3r": 16}
Draw = Callable[[Tensor], Tensor]


@pytest.fixture(autouse=True)
def _fewer_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three convolutions of a StyleGAN3 and not fourteen: exporters take seconds for each."""
    monkeypatch.setattr(stylegan3, "_LAYERS", 3)


def model_of(architecture: Architecture) -> SourceModel:
    card = SourceCard(name="tiny", architecture=architecture, licence="CC0 1.0", data="squares")
    return SourceModel(card, tiny_pair(architecture))


def tiny(backbone: str = "mlp", **changes: object) -> SourceModel:
    side = SIDES.get(backbone, 32)
    return model_of(tiny_architecture(backbone, **{"resolution": side, **changes}))


def exported(model: SourceModel, form: str, folder: Path) -> Path:
    path = folder / f"out{ENDINGS[form]}"
    export_model(model, form, path)
    return path


def draw_onnx(path: Path) -> Draw:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda z: torch.from_numpy(session.run(["images"], {"latents": z.numpy()})[0])


def draw_program(path: Path) -> Draw:
    return torch.export.load(io.BytesIO(path.read_bytes())).module()


def draw_weights(path: Path) -> Draw:
    return load_generator(path)


def draw_folder(path: Path) -> Draw:
    generator = open_source(str(path)).pair.generator
    evaluation_mode(generator)
    return generator


DRAWING = {
    "safetensors": draw_weights,
    "onnx": draw_onnx,
    "torch-export": draw_program,
    "hub": draw_folder,
}
TOLERANCE = {"safetensors": 0.0, "onnx": 1e-4, "torch-export": 1e-5, "hub": 0.0}


@torch.no_grad()
def assert_draws_the_same(model: SourceModel, form: str, path: Path) -> None:
    """Compare with the live network on latents and batch sizes that the export has not seen."""
    generator = model.pair.generator
    evaluation_mode(generator)
    again = DRAWING[form](path)
    for count in (1, 3, 8):
        given = generator.architecture.with_labels(latents(count, seed=11 + count))
        wanted = generator(given)
        if form in {"onnx", "torch-export"}:
            wanted = wanted.clamp(-1, 1)
        assert wanted.std() > 0.01, "one gray is drawn by anything"
        got = again(given)
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= TOLERANCE[form]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_leaves_in_every_form(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = tiny(backbone)
    draw_beyond_the_range(model)
    before = everything_in(model.pair)
    trace_once(monkeypatch)
    for form in DRAWING:
        path = exported(model, form, tmp_path)
        assert_draws_the_same(model, form, path)
    assert_same_tensors(before, everything_in(model.pair))
    names = {found.name for found in tmp_path.iterdir()}
    assert names == {f"out{ending}" for ending in ENDINGS.values()}


@torch.no_grad()
def draw_beyond_the_range(model: SourceModel) -> None:
    """Let a generator that does not keep to [-1, 1] leave it, so that a missing cut shows."""
    generator = model.pair.generator
    if not BACKBONES[model.card.architecture.backbone].bounded:
        evaluation_mode(generator)
        given = latents(8, seed=19)
        gain = 4 / generator(given).abs().max()  # not more: rounding grows with it
        *_, last = generator.layers().values()
        for name, parameter in last.named_parameters():
            if name.endswith("weight") and "affine" not in name:
                parameter.mul_(gain)
        assert generator(given).abs().max() > 1.2


def trace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both kinds of program come from one trace of the one model of a test."""
    programs: list[torch.export.ExportedProgram] = []

    def cached(outgoing: Outgoing) -> torch.export.ExportedProgram:
        if not programs:
            programs.append(traced(outgoing))
        return programs[0]

    monkeypatch.setattr(single_files, "traced", cached)


def test_the_table_has_every_form():
    assert {form.replace("-", "_") for form in DRAWING} == set(FORMS)


@pytest.mark.parametrize("form", DRAWING)
def test_a_model_with_classes_takes_their_weights_behind_the_latent(form: str, tmp_path: Path):
    model = tiny("dcgan", classes=("blue", "red"))
    with torch.no_grad():
        for name, parameter in model.pair.generator.named_parameters():
            if name.startswith("classes"):  # else both classes would draw the same
                parameter.add_(torch.randn(parameter.shape, generator=torch.manual_seed(3)))
    path = exported(model, form, tmp_path)
    assert_draws_the_same(model, form, path)
    blue, red = (
        model.card.architecture.with_labels(latents(2), torch.full((2,), k)) for k in (0, 1)
    )
    again = DRAWING[form](path)
    assert (again(blue) - again(red)).abs().max() > 0.01


@pytest.mark.parametrize("form", ["safetensors", "onnx", "torch-export"])
def test_a_latent_map_goes_along(form: str, tmp_path: Path):
    model = tiny("mlp", mapper="miner")
    with torch.no_grad():
        model.pair.generator.mapper.shift.weight.normal_(generator=torch.manual_seed(2))
    assert_draws_the_same(model, form, exported(model, form, tmp_path))


@pytest.mark.parametrize("form", ["safetensors", "torch-export"])
def test_what_a_plan_put_on_the_kernels_is_folded(form: str, tmp_path: Path):
    source = tiny_source()
    pair, _ = trained(source, PLANS["mixed"])
    path = exported(SourceModel(source.card, pair), form, tmp_path)
    assert_draws_the_same(SourceModel(source.card, fold(pair)), form, path)
    if form == "safetensors":
        assert (
            load_tensors(path).keys()
            == tensors_of(build_pair(source.card.architecture).generator).keys()
        )


def test_the_header_of_a_file_of_weights_builds_them_again(tmp_path: Path):
    model = tiny("sngan")
    note = load_note(exported(model, "safetensors", tmp_path))
    card = note["card"]
    assert isinstance(card, dict)
    assert Architecture(**card["architecture"]) == model.card.architecture
    assert (card["name"], card["licence"], card["data"]) == ("out", "CC0 1.0", "squares")
    assert note["latents"] == "float32 (batch, 8), numbers from N(0, 1)"
    assert note["images"] == "float32 (batch, 3, 32, 32) in [-1, 1]"


def test_an_onnx_file_is_one_whole_file_that_says_what_it_takes(tmp_path: Path):
    model = tiny("mlp", classes=()).card.architecture
    path = exported(model_of(model), "onnx", tmp_path)
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    (taken,), (given,) = file.graph.input, file.graph.output
    names = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (taken, given)
    ]
    assert names == [["batch", 8], ["batch", 3, 16, 16]]
    assert (taken.name, given.name) == ("latents", "images")
    assert "float32 (batch, 8), numbers from N(0, 1)" in file.doc_string
    (entry,) = [e for e in file.metadata_props if e.key == "graftgan"]
    assert json.loads(entry.value)["card"]["architecture"]["backbone"] == "mlp"


def test_a_program_holds_its_card_and_no_pickle(tmp_path: Path):
    path = exported(tiny("mlp"), "torch-export", tmp_path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    (note,) = [text for name, text in contents.items() if name.endswith("graftgan.json")]
    assert json.loads(note)["card"]["licence"] == "CC0 1.0"
    assert len(contents) > 5
    assert [name for name, content in contents.items() if content[:2] in (b"PK", b"\x80\x02")] == []


def following_the_batch() -> SourceModel:
    model = tiny("dcgan")
    for part in model.pair.generator.layers()["layer2"].modules():
        if isinstance(part, nn.BatchNorm2d):
            use_batch_statistics(part)
    return model


@pytest.mark.parametrize("form", ["safetensors", "hub"])
def test_layers_that_follow_the_batch_do_so_again(form: str, tmp_path: Path):
    model = following_the_batch()
    path = exported(model, form, tmp_path)
    assert_draws_the_same(model, form, path)
    again = DRAWING[form](path)
    assert layers_on_batch_statistics(again.layers().items()) == ("layer2",)


@pytest.mark.parametrize("form", ["onnx", "torch-export"])
def test_a_picture_that_depends_on_others_is_no_program(form: str, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"layer2 of its generator .* --frozen-statistics"):
        exported(following_the_batch(), form, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", DRAWING)
def test_another_network_is_refused_and_nothing_is_left(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = form.replace("-", "_")
    kind = FORMS[name]

    def write_another(path: Path, outgoing: Outgoing) -> None:
        with torch.no_grad():
            parameter = next(iter(outgoing.generator.parameters()))
            before = parameter.clone()
            parameter.add_(0.05)
            kind.write(path, outgoing)
            parameter.copy_(before)

    things = {**FORMS, name: replace(kind, write=write_another)}
    monkeypatch.setattr(FORMS, "_entries", things)
    with pytest.raises(GraftganError, match=r"would not be the network|sha256 differs"):
        exported(tiny("mlp"), form, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["safetensors", "torch-export"])
def test_pictures_that_are_no_numbers_are_refused(form: str, tmp_path: Path):
    model = tiny("mlp")
    with torch.no_grad():
        next(iter(model.pair.generator.parameters())).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="is nan, and"):
        exported(model, form, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_followed_is_explained(tmp_path: Path):
    class Undecided(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features * 2 if features.sum() > 0 else features

    model = tiny("mlp")
    model.pair.generator.layers()["layer2"].add_module("undecided", Undecided())
    with pytest.raises(
        CheckpointError, match=r"cannot follow the generator of mlp .*take the form"
    ):
        exported(model, "torch-export", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_onnx_does_not_know_is_explained(tmp_path: Path):
    class Inverse(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features @ torch.linalg.inv(torch.eye(features.shape[1]) * 2)

    model = tiny("mlp")
    model.pair.generator.layers()["layer2"].add_module("inverse", Inverse())
    with pytest.raises(CheckpointError, match=r"mlp cannot be written as ONNX .*torch-export"):
        exported(model, "onnx", tmp_path)
    assert_draws_the_same(model, "torch-export", exported(model, "torch-export", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["out.pt2"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"needs {package}, .*pip install {package}'"):
        exported(tiny(), "onnx", tmp_path)
    assert exported(tiny(), "safetensors", tmp_path).is_file(), "other forms do not need it"


@pytest.mark.parametrize("form", DRAWING)
def test_what_stands_at_the_destination_stays(form: str, tmp_path: Path):
    (tmp_path / f"out{ENDINGS[form]}").write_text("years of work")
    with pytest.raises(RunError, match="exists already"):
        exported(tiny(), form, tmp_path)
    assert (tmp_path / f"out{ENDINGS[form]}").read_text() == "years of work"


def test_names_that_mean_nothing(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"must end in \.onnx"):
        export_model(tiny(), "onnx", tmp_path / "out.pt2")
    with pytest.raises(SettingsError, match="did you mean 'onnx'"):
        export_model(tiny(), "onx", tmp_path / "out.onnx")


def test_a_file_that_is_no_exported_generator_is_refused(tmp_path: Path):
    adapter = tmp_path / "adapter.safetensors"
    save_adapter(trained(tiny_source(), "adafm")[1], adapter)
    with pytest.raises(CheckpointError, match="not an exported generator"):
        load_generator(adapter)
    path = exported(tiny(), "safetensors", tmp_path)
    changed = {name: tensor + 1 for name, tensor in load_tensors(path).items()}
    save_tensors(path, changed, note=load_note(path))
    with pytest.raises(CheckpointError, match="sha256 differs"):
        load_generator(path)
