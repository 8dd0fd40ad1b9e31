"""Files of torch in other programs' layouts become sources that compute the same."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from foreign_networks import (
    STYLE,
    as_saved,
    dcgan_discriminator,
    dcgan_generator,
    multiplied,
    rosinality_discriminator,
    rosinality_generator,
    rosinality_pictures,
    rosinality_scores,
    rosinality_styles,
)
from graftgan.core.errors import CheckpointError, RunError, SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.models.convert import import_source
from graftgan.models.sources import open_source


def pair_in(folder: Path) -> NetworkPair:
    pair = open_source(str(folder)).pair
    for _, network in pair.items():
        network.eval()
    return pair


def saved(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def drawn(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def training_file(side: int = 16) -> dict[str, Any]:
    """Return what a training of rosinality/stylegan2-pytorch saves."""
    generator = rosinality_generator(side)
    return {
        "g": rosinality_generator(side, seed=4),
        "d": rosinality_discriminator(side),
        "g_ema": generator,
        "g_optim": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.002, "params": [0]}]},
        "args": argparse.Namespace(size=side, path="pictures", wandb=False),
        "ada_aug_p": 0.1,
    }


@pytest.mark.parametrize("side", [16, 32])
def test_rosinality_draws_and_scores_the_same(tmp_path: Path, side: int):
    content = training_file(side)
    card = import_source(saved(tmp_path / "550000.pt", content), tmp_path / "faces")
    assert (card.architecture.resolution, card.architecture.latent_size) == (side, STYLE)
    pair = pair_in(tmp_path / "faces")
    latents, images = drawn(3, STYLE), drawn(4, 3, side, side)
    with torch.no_grad():
        pictures, scores = pair.generator(latents), pair.discriminator(images)
    expected = rosinality_pictures(content["g_ema"], latents)
    assert expected.std() > 0.5
    torch.testing.assert_close(pictures.double(), expected, rtol=1e-4, atol=1e-4)
    expected = rosinality_scores(content["d"], images)
    assert expected.std() > 0.01
    torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-4)


def test_the_mean_style_is_the_files_or_that_of_many_draws(tmp_path: Path):
    content = training_file()
    card = import_source(saved(tmp_path / "a.pt", content), tmp_path / "a")
    assert "that of 4096 draws was taken" in card.notes
    mean = pair_in(tmp_path / "a").generator.state_dict()["mapping.w_avg"].double()
    expected = rosinality_styles(content["g_ema"], drawn(4096, STYLE, seed=0)).mean(dim=0)
    torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-4)
    known = drawn(STYLE)
    import_source(saved(tmp_path / "b.pt", {**content, "latent_avg": known}), tmp_path / "b")
    mean = pair_in(tmp_path / "b").generator.state_dict()["mapping.w_avg"]
    assert torch.equal(mean, known)


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("multiplier", [1, 2, 4])
def test_rosinality_with_any_multiplier_of_channels(tmp_path: Path, side: int, multiplier: int):
    widths = multiplied(side, multiplier)
    content = {
        "g_ema": rosinality_generator(side, widths=widths),
        "d": rosinality_discriminator(side, widths=widths),
    }
    card = import_source(saved(tmp_path / "x.pt", content), tmp_path / "faces")
    style = card.architecture.style
    assert style is not None
    assert style.feature_maps == (tuple(widths.values()) if multiplier == 4 else ())
    pair = pair_in(tmp_path / "faces")
    assert pair.architecture == card.architecture
    latents, images = drawn(1, STYLE), drawn(2, 3, side, side)
    with torch.no_grad():
        pictures, scores = pair.generator(latents), pair.discriminator(images)
    expected = rosinality_pictures(content["g_ema"], latents)
    torch.testing.assert_close(pictures.double(), expected, rtol=1e-4, atol=1e-4)
    expected = rosinality_scores(content["d"], images)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-4)


def test_rosinality_without_kept_noise_draws_it(tmp_path: Path):
    content = training_file()
    for name in list(content["g_ema"]):
        if name.startswith("noises."):
            content["g_ema"].pop(name)
    card = import_source(saved(tmp_path / "x.pt", content), tmp_path / "faces")
    assert "It keeps no noise; some was drawn." in card.notes
    pair, latents = pair_in(tmp_path / "faces"), drawn(3, STYLE)
    with torch.no_grad():
        pictures = pair.generator(latents)
    kept = pair.generator.state_dict()
    for number, name in enumerate(("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1")):
        noise = kept[f"synthesis.{name}.noise_const"]
        assert 0.7 < float(noise.std()) < 1.3
        content["g_ema"][f"noises.noise_{number}"] = noise[None, None]
    expected = rosinality_pictures(content["g_ema"], latents)
    torch.testing.assert_close(pictures.double(), expected, rtol=1e-4, atol=1e-4)


def prefixed(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


WRAPPERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "networks": lambda g, d: {"netG": g, "netD": d},
    "networks beside other things": lambda g, d: {"netG": g, "netD": d, "epoch": 3, "opt": {}},
    "networks in a state dict": lambda g, d: {"state_dict": {"G": g, "D": d}, "epoch": 3},
    "a state dict in each": lambda g, d: {"netG": {"state_dict": g}, "netD": {"state_dict": d}},
    "compiled": lambda g, d: {"netG": prefixed(g, "_orig_mod."), "netD": prefixed(d, "_orig_mod.")},
    "compiled, parallel": lambda g, d: {
        "netG": prefixed(g, "module._orig_mod."),
        "netD": prefixed(d, "_orig_mod.module."),
    },
    "joined": lambda g, d: {"state_dict": {**prefixed(g, "netG."), **prefixed(d, "netD.")}},
    "joined, compiled": lambda g, d: {
        **prefixed(g, "generator._orig_mod."),
        **prefixed(d, "discriminator._orig_mod."),
    },
    "an average beside": lambda g, d: {
        "netG": {name: tensor + 1 for name, tensor in g.items()},
        "netG_ema": g,
        "netD": d,
    },
}


@pytest.mark.parametrize("rate", [0.001, 0.1, 1.0])
def test_another_rate_of_the_mapping_is_refused(tmp_path: Path, rate: float):
    """Their programs write 0.01 into the code, and no rate into the file."""
    generator = {
        name: tensor * 0.01 / rate if name.startswith("style.") else tensor
        for name, tensor in rosinality_generator(16).items()
    }
    content = {"g_ema": generator, "d": rosinality_discriminator(16)}
    with pytest.raises(CheckpointError, match=r"deviation of \S+, where about 100"):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("program", ["dcgan", "rosinality"])
def test_what_others_put_around_networks_is_taken_off(tmp_path: Path, wrapper: str, program: str):
    if program == "dcgan":
        nets = dcgan_generator(5, [8, 4, 2], 1), dcgan_discriminator([2, 4, 8], 1)
        generator, critic = (as_saved(net) for net in nets)
    else:
        generator, critic = rosinality_generator(16), rosinality_discriminator(16)
    file = saved(tmp_path / "x.pt", WRAPPERS[wrapper](generator, critic))
    import_source(file, tmp_path / "wrapped")
    if program == "dcgan":
        plain = [saved(tmp_path / "g.pth", generator), saved(tmp_path / "d.pth", critic)]
        import_source(plain[0], tmp_path / "plain", discriminator=plain[1])
    else:
        import_source(
            saved(tmp_path / "y.pt", {"g_ema": generator, "d": critic}), tmp_path / "plain"
        )
    for role in ("generator", "discriminator"):
        first, second = (
            dict(getattr(pair_in(tmp_path / name), role).state_dict())
            for name in ("wrapped", "plain")
        )
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("wrap", ["", "_orig_mod.", "module."])
def test_a_generator_in_a_file_of_its_own_may_be_wrapped(tmp_path: Path, wrap: str):
    generator = as_saved(dcgan_generator(5, [8, 4, 2], 1))
    critic = as_saved(dcgan_discriminator([2, 4, 8], 1))
    files = [
        saved(tmp_path / "g.pth", {"state_dict": prefixed(generator, wrap)}),
        saved(tmp_path / "d.pth", {"state_dict": prefixed(critic, wrap)}),
    ]
    card = import_source(files[0], tmp_path / "x", discriminator=files[1])
    assert card.architecture.resolution == 32


def test_two_generators_of_which_none_is_the_average_are_refused(tmp_path: Path):
    generator = as_saved(dcgan_generator(5, [8, 4, 2], 1))
    critic = as_saved(dcgan_discriminator([2, 4, 8], 1))
    content = {"netG_A": generator, "netG_B": dict(generator), "netD": critic}
    with pytest.raises(CheckpointError, match="more than one generator: netG_A, netG_B; save"):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path, value: float):
    content = training_file()
    content["g_ema"]["convs.0.activate.bias"][1] = value
    with pytest.raises(
        CheckpointError, match=r"NaN or infinity in synthesis\.b8\.conv0\.bias \(1 of"
    ):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_names_of_a_file_cannot_act_on_a_terminal(tmp_path: Path):
    name = "\x1b[2J" + "x" * 3000
    for content in ({name: torch.zeros(1)}, training_file()):
        content.setdefault("g_ema", {})[name] = torch.zeros(1)
        with pytest.raises(CheckpointError) as refusal:
            import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")
        assert r"\x1b[2Jxx" in str(refusal.value)
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 800


def test_names_that_promise_a_huge_network_cost_nothing(tmp_path: Path):
    content = training_file()
    for number in range(2000):
        content["g_ema"][f"to_rgbs.{number}.bias"] = torch.zeros(1)
        content["g_ema"][f"convs.{2 * number}.conv.weight"] = torch.zeros(1, 1, 1, 1, 1)
    with pytest.raises(SettingsError, match="resolution must be from 1 to 8192"):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")
    content = training_file()
    content["g_ema"]["style.1.weight"] = torch.zeros(1, 100_000)
    with pytest.raises(CheckpointError, match="lengths of at most 8192"):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")


@pytest.mark.parametrize(("side", "depth"), [(64, 4), (32, 3), (128, 5)])
@pytest.mark.parametrize("prefix", ["main.", "module.main."])
def test_the_example_dcgan_draws_and_scores_the_same(
    tmp_path: Path, side: int, depth: int, prefix: str
):
    maps = [4 * min(2**level, 8) for level in range(depth)]
    generator, critic = dcgan_generator(7, maps[::-1], 3), dcgan_discriminator(maps, 3)
    card = import_source(
        saved(tmp_path / "netG.pth", as_saved(generator, prefix=prefix)),
        tmp_path / "bedrooms",
        discriminator=saved(tmp_path / "netD.pth", as_saved(critic, prefix=prefix)),
    )
    assert card.command == "graftgan import netG.pth --discriminator netD.pth"
    assert card.licence == "that of the file, which does not say"
    assert card.notes.count("sha256") == 2
    assert (card.architecture.resolution, card.architecture.width) == (side, 4)
    pair = pair_in(tmp_path / "bedrooms")
    latents, images = drawn(3, 7), drawn(3, 3, side, side)
    with torch.no_grad():
        expected = generator(latents[:, :, None, None])
        assert expected.std() > 0.1
        torch.testing.assert_close(pair.generator(latents), expected, rtol=1e-5, atol=1e-5)
        expected = critic(images).flatten()
        assert expected.std() > 0.1
        torch.testing.assert_close(pair.discriminator(images), expected, rtol=1e-5, atol=1e-5)


def dcgan_files(folder: Path, *, channels: int = 1, width: int = 2, **how: Any) -> list[Path]:
    maps = [width, 2 * width, 4 * width]
    generator = as_saved(dcgan_generator(5, [8, 4, 2], channels))
    critic = as_saved(dcgan_discriminator(maps, channels))
    return [
        saved(folder / "netG.pth", generator, **how),
        saved(folder / "netD.pth", critic, **how),
    ]


def test_files_from_before_the_zip_format_and_the_counts_of_batches(tmp_path: Path):
    files = dcgan_files(tmp_path, _use_new_zipfile_serialization=False)
    for file in files:
        tensors = torch.load(file, weights_only=True)
        kept = {name: t for name, t in tensors.items() if "num_batches" not in name}
        saved(file, kept, _use_new_zipfile_serialization=False)
    card = import_source(files[0], tmp_path / "digits", discriminator=files[1])
    assert card.architecture.channels == 1
    counts = pair_in(tmp_path / "digits").generator.state_dict()
    assert counts["blocks.layer1.norm.num_batches_tracked"] == 0


def test_the_ending_of_a_name_says_nothing(tmp_path: Path):
    file = saved(tmp_path / "faces.pkl", training_file())
    assert import_source(file, tmp_path / "faces").architecture.backbone == "stylegan2"


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["g_ema"].pop(name)


def with_value(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["g_ema"].update({name: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("convs.1.conv.weight"), r"synthesis\.b8\.conv1\.weight is missing"),
        (without("convs.0.conv.weight"), r"cannot be used: convs\.0\.conv\.weight is missing"),
        (without("noises.noise_2"), r"synthesis\.b8\.conv1\.noise_const is missing"),
        (with_value("more.weight", torch.zeros(2)), r"more\.weight of the file has no place"),
        (with_value("mapping.w_avg", torch.zeros(STYLE)), "w_avg of the file has no place"),
        (with_value("conv1.activate.bias", torch.zeros(5)), r"\(5,\) in the file, \(12,\)"),
        (with_value("conv1.conv.weight", torch.zeros(2, 2)), r"is of shape \(2, 2\), where 5"),
        (with_value("conv1.conv.weight", torch.zeros(2, 12, 12, 3, 3)), r"\(2, 12, 12, 3, 3\)"),
        (with_value("conv1.noise.weight", torch.zeros(0)), r"\(0,\) in the file, \(\) expected"),
        (with_value("input.input", "text"), r"no ordinary tensors: input\.input"),
        (with_value("input.input", torch.zeros(1).expand(10**12)), "no ordinary tensor"),
        (with_value("input.input", torch.zeros(2, 2).to_sparse()), "no ordinary tensor"),
        (with_value("input.input", torch.zeros(2, 2, dtype=torch.complex64)), "no ordinary"),
        (with_value("input.input", torch.zeros(2, 2, device="meta")), "no ordinary tensor"),
        (lambda content: content.update(d=3), "holds no discriminator"),
        (lambda content: content.pop("d"), "give the file that holds it with --discriminator"),
        (lambda content: content.pop("g_ema"), "name the file of the generator first"),
        (lambda content: content.update(latent_avg="mean"), "no ordinary tensors: latent_avg"),
        (lambda content: content.update(d=rosinality_discriminator(32)), "does not fit the net"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
):
    content = training_file()
    change(content)
    with pytest.raises(CheckpointError, match=says):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_size_that_no_backbone_has_is_refused(tmp_path: Path):
    content = training_file()
    for name in list(content["g_ema"]):
        if name.startswith(("convs", "to_rgbs")):
            content["g_ema"].pop(name)
    with pytest.raises(SettingsError, match="not 4 px"):
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")


def test_the_two_files_of_a_dcgan_are_told_apart(tmp_path: Path):
    generator, critic = dcgan_files(tmp_path)
    with pytest.raises(CheckpointError, match=r"netD\.pth .* holds no generator"):
        import_source(critic, tmp_path / "x", discriminator=generator)
    with pytest.raises(CheckpointError, match=r"netG\.pth .* holds no discriminator"):
        import_source(generator, tmp_path / "x", discriminator=generator)
    with pytest.raises(CheckpointError, match=r"netG\.pth .* holds no discriminator"):
        import_source(generator, tmp_path / "x")


def test_generator_and_discriminator_of_other_widths_or_programs_are_refused(tmp_path: Path):
    generator, critic = dcgan_files(tmp_path, width=3)
    with pytest.raises(CheckpointError, match="is 2 channels wide and the discriminator 3"):
        import_source(generator, tmp_path / "x", discriminator=critic)
    other = saved(tmp_path / "d.pt", {"d": rosinality_discriminator(16)})
    with pytest.raises(CheckpointError, match="the discriminator it was trained with"):
        import_source(generator, tmp_path / "x", discriminator=other)


def test_a_dcgan_whose_last_kernel_is_flat_is_refused(tmp_path: Path):
    generator, critic = dcgan_files(tmp_path)
    tensors = torch.load(critic, weights_only=True)
    tensors["main.8.weight"] = tensors["main.8.weight"].flatten()
    with pytest.raises(CheckpointError, match=r"main\.8\.weight is of shape"):
        import_source(generator, tmp_path / "x", discriminator=saved(critic, tensors))


@pytest.mark.parametrize("wrapped", [True, False])
def test_files_of_lucidrains_are_recognised_and_refused(tmp_path: Path, wrapped: bool):
    names = ["S.net.0.weight", "G.initial_block", "D.to_logit.bias", "SE.net.0.weight", "GE.x"]
    tensors = {name: torch.zeros(2) for name in names}
    content = {"GAN": tensors, "version": "1.8.9"} if wrapped else tensors
    with pytest.raises(CheckpointError, match="only share a name with StyleGAN2") as refusal:
        import_source(saved(tmp_path / "model_10.pt", content), tmp_path / "x")
    assert "Take a file of rosinality" in str(refusal.value)


def test_an_unknown_layout_is_refused_with_its_names_and_what_is_known(tmp_path: Path):
    content = {f"encoder.{number}.weight": torch.zeros(2) for number in range(9)}
    with pytest.raises(CheckpointError) as refusal:
        import_source(saved(tmp_path / "x.pt", content), tmp_path / "x")
    message = str(refusal.value)
    assert "encoder.0.weight" in message
    assert "encoder.6.weight" not in message
    assert "PyTorch's example dcgan, rosinality/stylegan2-pytorch, and pickles" in message
    assert "lucidrains" not in message


def test_a_pickle_takes_no_second_file(tmp_path: Path):
    generator, _ = dcgan_files(tmp_path)
    pickle = tmp_path / "x.pkl"
    pickle.write_bytes(b"\x80\x04.")
    with pytest.raises(SettingsError, match="leave --discriminator out"):
        import_source(pickle, tmp_path / "x", discriminator=generator)


def test_nothing_is_written_over(tmp_path: Path):
    with pytest.raises(RunError, match="exists already"):
        import_source(tmp_path / "x.pt", tmp_path)
