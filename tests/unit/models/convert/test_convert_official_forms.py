"""Official files of every form: pictures and scores are those of the published equations."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graftgan.checkpoints import load_source, save_source
from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import NetworkPair, class_weights
from graftgan.experiments.experiment import Experiment
from graftgan.models.adapters.adapter import save_adapter_of_run
from graftgan.models.adapters.bank import with_adapter
from graftgan.models.convert import import_source
from graftgan.models.export.form import export_model
from graftgan.models.export.single_files import load_generator
from graftgan.models.sources import open_source
from graftgan.networks.backbone import blank_pair
from graftgan.runs.run import resume, run
from graftgan.training import TrainingSettings
from official_networks import SIDE, Form, Official, W, Z, file_of, pictures, scores, without_clamps
from official_pickles import write_official
from tiny_networks import draw_pictures

NEAR = 1e-4  # relative to the largest


def drawn(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.std() > 0
    assert (found.double() - expected).abs().max() < NEAR * expected.abs().max()


def assert_computes(pair: NetworkPair, ours: Official, theirs: Official, form: Form) -> None:
    for _, network in pair.items():
        network.eval()
    draws, images = drawn(3, Z), drawn(8, 3, SIDE, SIDE)
    classes = [None, None]
    if form.classes:
        classes = [class_weights(torch.arange(n) % form.classes, form.classes) for n in (3, 8)]
    given = draws if classes[0] is None else torch.cat([draws, classes[0]], dim=1)
    with torch.no_grad():
        assert_near(pair.generator(given), pictures(ours, form, draws, classes[0]))
        critic = pair.discriminator.conditioned_on(classes[1])
        assert_near(critic(images), scores(theirs, form, images, classes[1]))


FORMS: dict[str, Form] = {
    "stylegan2-ada-pytorch in half precision": Form(clamp=2.0, critic_clamp=2.0, bias=2.0),
    "stylegan2-ada-pytorch --fp32": Form(bias=2.0),
    "a clamp in the generator alone": Form(clamp=1.5, bias=2.0),
    "a clamp in the discriminator alone": Form(critic_clamp=1.5, bias=2.0),
    "clamps of 256": Form(clamp=256, critic_clamp=256, bias=300.0),
    "stylegan3-t": Form(waves="t", clamp=256, critic_clamp=256, bias=300.0),
    "stylegan3-t --fp32": Form(waves="t", bias=300.0),
    "stylegan3-r": Form(waves="r", clamp=256, critic_clamp=256, bias=300.0),
    "stylegan3-r --fp32": Form(waves="r", bias=300.0),
    "stylegan3-t with another clamp": Form(waves="t", clamp=64.0, critic_clamp=128.0, bias=300.0),
    "cifar10": Form(residual=False, group=8, clamp=2.0, critic_clamp=2.0, bias=2.0),
    "the deviation within the batch": Form(group=None),
    "classes": Form(classes=3, clamp=2.0, critic_clamp=2.0, bias=2.0),
    "classes of stylegan3": Form(waves="t", classes=3, clamp=256, critic_clamp=256),
    "converted from TensorFlow, with classes": Form(classes=3, critic_layers=0, critic_rate=0.1),
    "converted, one layer": Form(classes=2, critic_layers=1, critic_rate=0.1, layers=4),
    "other rates": Form(classes=2, rate=0.1, critic_rate=1.0),
    "other rates of stylegan3": Form(waves="t", rate=0.05, clamp=256),
    "directions of another length": Form(classes=3, directions=10, critic_layers=3),
    "a deeper mapping": Form(layers=8),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_official_file_computes_what_the_papers_say(tmp_path: Path, name: str):
    form = FORMS[name]
    networks, ours, theirs = file_of(form)
    protocol = 3 if form.waves else 4
    file = write_official(tmp_path / "x.pkl", networks, protocol=protocol)
    card = import_source(file, tmp_path / "faces")
    source = open_source(str(tmp_path / "faces"))
    assert source.card.architecture == card.architecture
    assert_computes(source.pair, ours, theirs, form)


@pytest.mark.parametrize("waves", ["", "t"])
def test_the_clamps_of_these_files_bite(waves: str):
    clamped = Form(waves=waves, clamp=256, critic_clamp=256, bias=300.0)
    _, ours, theirs = file_of(clamped)
    free = replace(clamped, clamp=None, critic_clamp=None)
    draws, images = drawn(2, Z), drawn(8, 3, SIDE, SIDE)
    for expected, other in (
        (pictures(ours, clamped, draws), pictures(ours, free, draws)),
        (scores(theirs, clamped, images), scores(theirs, free, images)),
    ):
        assert (expected - other).abs().max() > 0.01 * expected.abs().max()


SAID: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[Any, Any]]] = {
    "nothing, stylegan2": ("", {}, {}, (None, None)),
    "nothing, stylegan3": ("t", {}, {}, (256, None)),
    "in a part": ("", {"synthesis_kwargs": {"conv_clamp": 2.0}}, {}, (2.0, None)),
    "beside": ("", {"conv_clamp": 2.0}, {"conv_clamp": 3.0}, (2.0, 3.0)),
    "none": ("t", {"conv_clamp": None}, {"conv_clamp": 4}, (None, 4)),
}


@pytest.mark.parametrize("case", SAID)
def test_where_layers_do_not_say_their_clamp_the_settings_do(tmp_path: Path, case: str):
    waves, generator, critic, (clamp, critic_clamp) = SAID[case]
    form = Form(waves=waves, clamp=clamp, critic_clamp=critic_clamp, bias=300.0 if waves else 2.0)
    _, ours, theirs = file_of(form)
    for net, more in ((ours, generator), (theirs, critic)):
        net.settings |= more
        net.kept = without_clamps(net.kept)
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "faces")
    assert_computes(open_source(str(tmp_path / "faces")).pair, ours, theirs, form)


def test_what_layers_keep_counts_before_the_settings(tmp_path: Path):
    form = Form(clamp=1.5, critic_clamp=None, rate=0.1, bias=2.0)
    _, ours, theirs = file_of(form)
    ours.settings |= {"conv_clamp": 256, "mapping_kwargs": {"lr_multiplier": 0.01}}
    theirs.settings |= {"conv_clamp": 256}
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "faces")
    assert_computes(open_source(str(tmp_path / "faces")).pair, ours, theirs, form)


@pytest.mark.parametrize("by_place", [True, False])
def test_sizes_without_their_names_are_what_was_given_by_place_or_kept(
    tmp_path: Path, by_place: bool
):
    form = Form(clamp=1.5, critic_clamp=1.5, bias=2.0)
    _, ours, theirs = file_of(form)
    for net in (ours, theirs):
        names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
        sizes = {name: net.settings.pop(name) for name in names if name in net.settings}
        net.kept[""] = {"_init_args": tuple(sizes.values())} if by_place else sizes
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "faces")
    assert_computes(open_source(str(tmp_path / "faces")).pair, ours, theirs, form)


@pytest.mark.parametrize("waves", ["", "t", "r"])
def test_layers_that_keep_nothing_are_those_of_their_weights(tmp_path: Path, waves: str):
    clamp = 256 if waves else None  # the usual one
    form = Form(waves=waves, clamp=clamp, bias=300.0 if waves else 0.3)
    _, ours, theirs = file_of(form)
    ours.kept, theirs.kept = {}, {}
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "faces")
    assert_computes(open_source(str(tmp_path / "faces")).pair, ours, theirs, form)


def test_where_convolutions_do_not_keep_their_clamp_they_were_built_with_it(tmp_path: Path):
    form = Form(clamp=1.5, critic_clamp=2.0, bias=2.0)
    _, ours, theirs = file_of(form)
    for kept in (*ours.kept.values(), *theirs.kept.values()):
        if "conv_clamp" in kept:
            kept["_init_kwargs"] = {"conv_clamp": kept.pop("conv_clamp")}
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "faces")
    assert_computes(open_source(str(tmp_path / "faces")).pair, ours, theirs, form)


def test_a_saved_source_computes_the_same_again(tmp_path: Path):
    form = Form(waves="t", clamp=None, classes=2, critic_layers=0, critic_clamp=2.0, rate=0.1)
    networks, ours, theirs = file_of(form)
    import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "a")
    first = open_source(str(tmp_path / "a"))
    save_source(tmp_path / "b", first.pair, first.card)
    assert_computes(load_source(tmp_path / "b", blank_pair).pair, ours, theirs, form)


ODD: dict[str, Form] = {
    "stylegan2": Form(clamp=2.0, critic_clamp=None, rate=0.1, bias=2.0),
    "stylegan3": Form(waves="t", clamp=None, critic_clamp=2.0, rate=0.1, bias=300.0),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_file_says_goes_through_transfer_resume_adapter_and_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    networks, ours, _ = file_of(ODD[name])
    card = import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "faces")
    asked = Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=8, hue=1),
        source=str(tmp_path / "faces"),
        plan="D(*,0,1) G(*,1,0)",
        training=TrainingSettings(iterations=1, batch_size=2, precision="float32"),
    )
    started = run(asked, tmp_path / "run", device="cpu")
    resume(started.path, iterations=2, device="cpu")
    model = open_source(str(started.path))
    assert model.card.architecture == card.architecture
    adapter = save_adapter_of_run(started.path, tmp_path / "adapter.safetensors")
    put_on = with_adapter(str(tmp_path / "faces"), [(adapter, 1.0)])
    export_model(model, "safetensors", tmp_path / "out.safetensors")
    draws = drawn(3, Z)
    trained = {name: t.detach() for name, t in model.pair.generator.state_dict().items()}
    names = {name: name.replace("frozen_", "") for name in ours.tensors}
    ours.tensors = {name: trained[names[name]] for name in names}
    expected = pictures(ours, ODD[name], draws)
    loaded = load_generator(tmp_path / "out.safetensors")
    with torch.no_grad():
        for drawing in (model.pair.generator, put_on.generator, loaded):
            assert_near(drawing.eval()(draws), expected)


def generator(**settings: Any) -> Callable[[Official, Official], None]:
    return lambda ours, theirs: ours.settings.update(settings)


def critic(**settings: Any) -> Callable[[Official, Official], None]:
    return lambda ours, theirs: theirs.settings.update(settings)


def layer(role: str, name: str, **kept: Any) -> Callable[[Official, Official], None]:
    def change(ours: Official, theirs: Official) -> None:
        net = ours if role == "generator" else theirs
        net.kept.setdefault(name, {}).update(kept)

    return change


def unsaid(name: str, setting: str, value: Any) -> Callable[[Official, Official], None]:
    """Have a layer of the generator keep nothing of a setting that it was built with."""

    def change(ours: Official, theirs: Official) -> None:
        del ours.kept[name][setting]
        ours.kept[name]["_init_kwargs"] = {setting: value}

    return change


def magnitude(value: float) -> Callable[[Official, Official], None]:
    def change(ours: Official, theirs: Official) -> None:
        name = "synthesis.L5_36_18.frozen_magnitude_ema"
        ours.tensors[name] = torch.tensor(value, dtype=torch.float64)

    return change


WRONG: list[tuple[str, Callable[[Official, Official], None], str]] = [
    ("", generator(activation="relu"), "generator has activation 'relu', where 'lrelu' is exp"),
    ("", generator(use_noise=False), "generator has use_noise False, where True is expected"),
    ("", generator(architecture="resnet"), "architecture 'resnet', where 'skip' is expected"),
    (
        "",
        generator(resample_filter=[1, 2, 1]),
        r"resample_filter \[1, 2, 1\], where \[1, 3, 3, 1\]",
    ),
    ("", generator(blur=3), "generator has blur 3, a setting that is not known"),
    ("", generator(mapping_kwargs={"activation": "elu"}), "mapping_kwargs has activation 'elu'"),
    (
        "",
        generator(mapping_kwargs={"num_layers": 5}),
        "mapping_kwargs has num_layers 5, where 2 is expected",
    ),
    ("", layer("generator", "mapping", num_layers=3), "mapping has num_layers 3, where 2"),
    ("", generator(mapping_kwargs={"norm": 1}), "mapping_kwargs has norm 1, a setting that is not"),
    ("", generator(synthesis_kwargs={"x": None}), "synthesis_kwargs has x None, a setting that"),
    ("", generator(mapping_kwargs=3), "mapping_kwargs 3, where settings are expected"),
    ("", generator(z_dim=-1), "z_dim is -1, where a number from 1"),
    ("", generator(c_dim=1 << 40), "c_dim is 1099511627776, where"),
    ("", generator(w_dim=float("nan")), "w_dim is nan, where a number"),
    ("", generator(img_resolution=None), "img_resolution is missing"),
    ("", generator(z_dim=1 << 20), "has z_dim 6, where 1048576 is expected; its generator.s layer"),
    ("t", generator(output_scale=1.0), "output_scale 1, where 0.25 is expected"),
    ("t", generator(first_cutoff=3), "first_cutoff 3, where 2 is expected"),
    ("t", generator(filter_size=8), "filter_size 8, where 6 is expected"),
    ("t", generator(use_radial_filters=True), "use_radial_filters True, where False is expected"),
    ("t", generator(margin_size=4), "margin_size 4, where 10 is expected"),
    ("t", generator(num_critical=0), "num_critical 0, where 2 is expected"),
    ("t", layer("generator", "synthesis", output_scale=0.5), "output_scale 0.5, where 0.25"),
    ("t", layer("generator", "synthesis.input", bandwidth=3.0), "bandwidth 3, where 2 is exp"),
    ("", critic(architecture="skip"), "architecture 'skip', where 'resnet' or 'orig' is expected"),
    ("", critic(epilogue_kwargs={"mbstd_num_channels": 2}), "mbstd_num_channels 2, where 1 is"),
    ("", layer("discriminator", "b4.mbstd", group_size="x"), "mbstd_group_size is 'x', where"),
    ("", critic(block_kwargs={"activation": "relu"}), "block_kwargs has activation 'relu'"),
    ("", critic(blocks=[]), r"discriminator has blocks \[\], a setting that is not known"),
    ("", layer("discriminator", "b4.mbstd", num_channels=0), "b4.mbstd has num_channels 0"),
    ("", layer("discriminator", "b16.conv0", activation="elu"), "b16.conv0 has activation 'elu'"),
    ("", layer("discriminator", "b16.conv0", act_gain=1.0), "b16.conv0 has act_gain 1, where 1.41"),
    ("", layer("discriminator", "b16.conv0", weight_gain=1.0), "b16.conv0 has weight_gain 1"),
    ("", layer("discriminator", "b4.fc", bias_gain=0.5), "b4.fc has bias_gain 0.5, where 1 is"),
    ("", layer("discriminator", "b4.conv", conv_clamp=7), "conv_clamp None in .*, 7 in b4.conv"),
    ("", layer("generator", "synthesis.b8.conv1", conv_clamp=-1.0), "conv_clamp None in .*, -1 in"),
    ("", layer("generator", "synthesis.b8.conv1", use_noise=False), "b8.conv1 has use_noise False"),
    ("", layer("generator", "mapping.fc1", bias_gain=0.5), "lr_multiplier 0.01 in .*, 0.5 in"),
    ("", layer("generator", "mapping.fc1", activation="linear"), "mapping.fc1 has activation 'li"),
    ("", layer("generator", "\x1b[2J", act_gain=7.0), r"layer \\x1b\[2J is not known"),
    # what layers keep without a word from those beside them
    ("", unsaid("synthesis.b8.conv1", "activation", "relu"), "b8.conv1 has activation 'relu', whe"),
    ("", unsaid("mapping.fc0", "activation", "relu"), "mapping.fc0 has activation 'relu', where"),
    ("", layer("generator", "mapping", _init_kwargs={"activation": "elu"}), "has activation 'elu'"),
    (
        "",
        layer("generator", "synthesis.b8", _init_kwargs={"resample_filter": [1, 2, 1]}),
        r"b8 has resample_filter \[1, 2, 1\], where \[1, 3, 3, 1\]",
    ),
    (
        "",
        layer("generator", "", _init_args=(Z, 0, W, 16, 3, {}, "relu")),
        "given 'relu' by its pla",
    ),
    (
        "",
        layer("generator", "synthesis.b8.conv1", _init_args=(24, 16, W, 8, 3, 1, True, "relu")),
        "b8.conv1 is given 'relu' by its place, and not by its name",
    ),
    ("", layer("discriminator", "b8.conv1", _init_args=(16, 24, 5)), "b8.conv1 has kernel_size 5"),
    *(
        ("", layer("discriminator", "b16.conv0", act_gain=value), f"b16.conv0 has act_gain {said}")
        for value, said in (("2", "'2'"), (None, "None"), (True, "True"))
    ),
    *(
        ("", layer("generator", "synthesis.b16.torgb", weight_gain=value), f"weight_gain {said}")
        for value, said in (("x", "'x'"), (None, "None"), (True, "True"), (1.0, "1, where 0.35"))
    ),
    ("", layer("generator", "synthesis.b16.conv0", up=1), "conv0 has up 1, where 2 is expected"),
    ("", layer("generator", "synthesis.b16.conv1", up=2), "conv1 has up 2, where 1 is expected"),
    ("", layer("generator", "synthesis.b16.conv1", padding=0), "padding 0, where 1 is expected"),
    ("", layer("generator", "synthesis.b8", num_conv=1), "b8 has num_conv 1, where 2 is expected"),
    ("", layer("generator", "synthesis.b8", is_last=True), "is_last True, where False is expected"),
    (
        "",
        layer("generator", "synthesis.b16.conv1", noise_mode="random"),
        "noise_mode 'random', a s",
    ),
    ("", layer("generator", "mapping", normalize_z=False), "normalize_z False, a setting that is"),
    ("", layer("generator", "", truncation_psi=0.5), "truncation_psi 0.5, a setting that is not"),
    (
        "",
        layer("generator", "synthesis.b8.conv1", _forward_hooks={1: 2}),
        "_forward_hooks of the k",
    ),
    ("", layer("discriminator", "b16.conv1", down=1), "b16.conv1 has down 1, where 2 is expected"),
    ("", layer("discriminator", "b16.conv0", padding=3), "padding 3, where 1 is expected"),
    ("", layer("discriminator", "b16.skip", conv_clamp=7), "skip has conv_clamp 7, where None is"),
    ("", layer("discriminator", "b16.skip", bias=True), "skip has bias True, where False or None"),
    ("", layer("discriminator", "b4.dropout", p=0.5), "layer b4.dropout is not known"),
    ("", critic(block_kwargs={"conv_clamp": 1.0}), "block_kwargs has conv_clamp 1, where None is"),
    ("", generator(lr_multiplier=0.5), "generator has lr_multiplier 0.5, a setting that is not kn"),
    ("", layer("discriminator", "b4.fc", conv_clamp=None), "b4.fc has conv_clamp None, a setting"),
    ("", critic(img_channels=6), "discriminator has img_channels 6, where 3 is expected"),
    ("", critic(img_resolution=32), "discriminator has img_resolution 32, where 16 is expected"),
    ("", generator(mapping_kwargs={"layer_features": 16}), "layer_features 16, where None or 8 is"),
    *(
        ("t", layer("generator", "synthesis.L5_36_18", **{name: value}), f"L5_36_18 has {name} ")
        for name, value in {
            **{"up_factor": 3, "up_taps": 18, "down_factor": 4, "down_taps": 24},
            **{"padding": [0, 0, 0, 0], "is_torgb": True, "is_critically_sampled": True},
            **{"in_sampling_rate": 3, "out_sampling_rate": 3, "tmp_sampling_rate": 7},
            **{"in_half_width": 9.0, "out_half_width": 9.0, "in_cutoff": 7.0, "out_cutoff": 7.0},
            **{"down_radial": True, "conv_kernel": 1, "in_size": 7, "out_size": np.array([3, 3])},
            **{"lrelu_upsampling": 4, "filter_size": 8, "use_radial_filters": True, "gain": 2.0},
        }.items()
    ),
    ("t", layer("generator", "synthesis.L14_16_3", conv_kernel=3), "conv_kernel 3, where 1 is exp"),
    ("t", layer("generator", "synthesis.input", sampling_rate=5.0), "sampling_rate 5, where 16 is"),
    ("t", layer("generator", "synthesis.input", size=np.array([20, 20])), r"has size \[20, 20\]"),
    ("t", layer("generator", "synthesis", layer_names=["L0_36_24"]), "synthesis has layer_names"),
    *(
        ("t", magnitude(value), r"L5_36_18.magnitude_ema \[.*\], where a finite positive")
        for value in (0.0, -1.0, float("nan"), float("inf"), 1e-300)
    ),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_not_understood_is_named_with_its_value(tmp_path: Path, number: int):
    waves, change, says = WRONG[number]
    _, ours, theirs = file_of(Form(waves=waves))
    change(ours, theirs)
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    file = write_official(tmp_path / "x.pkl", networks)
    with pytest.raises(CheckpointError, match=says) as refusal:
        import_source(file, tmp_path / "x")
    assert str(refusal.value).isprintable()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (("SuperresGenerator", "Discriminator"), "generator is of the class 'SuperresGenerator'"),
        (("Discriminator", "Generator"), "its generator is of the class 'Discriminator', where"),
        (("Generator", "DualDiscriminator"), "its discriminator is of the class 'DualDiscrim"),
    ],
)
def test_networks_of_another_class_are_refused(tmp_path: Path, places: Any, says: str):
    _, ours, theirs = file_of(Form())
    networks = {"D": theirs.stored(places[1]), "G_ema": ours.stored(places[0])}
    with pytest.raises(CheckpointError, match=says):
        import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "x")


def test_layers_of_another_class_are_refused(tmp_path: Path):
    networks, _, _ = file_of(Form())
    networks["G_ema"].meta["state"]["_modules"]["mapping"].meta["class_name"] = "Mapper"
    with pytest.raises(CheckpointError, match="mapping is of the class 'Mapper', where 'MappingNe"):
        import_source(write_official(tmp_path / "x.pkl", networks), tmp_path / "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path, value: float, role: str):
    _, ours, theirs = file_of(Form())
    net, name = (ours, "mapping.fc1.weight") if role == "generator" else (theirs, "b4.out.bias")
    net.tensors[name].view(-1)[0] = value
    networks = {"D": theirs.stored("Discriminator"), "G_ema": ours.stored("Generator")}
    file = write_official(tmp_path / "x.pkl", networks)
    with pytest.raises(CheckpointError, match=rf"the {role} in .*x\.pkl holds NaN .* in {name}"):
        import_source(file, tmp_path / "x")
    assert not (tmp_path / "x").exists()
