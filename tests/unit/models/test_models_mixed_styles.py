"""Sheets of mixed styles, and the styles of a given picture."""

from pathlib import Path

import pytest
import torch

from graftgan.core.errors import ImageSetError, SettingsError
from graftgan.core.network_types import StyledGenerator
from graftgan.models.styles import ProjectionSettings, mixed_grid, project, styled_pictures
from graftgan.networks.sampling import generate, latents_for, latents_of_seeds
from graftgan.pictures import load_picture
from tiny_networks import draw_pictures, latents, tiny_architecture, tiny_pair

STYLED = ("stylegan2", "stylegan3t")


def trained(backbone: str, **changes: object) -> StyledGenerator:
    """Return a generator with the mean of its styles, and pictures that need no cut."""
    generator = tiny_pair(tiny_architecture(backbone, resolution=16, **changes)).generator
    assert isinstance(generator, StyledGenerator)
    with torch.no_grad():
        styles = generator.eval().styles(generator.architecture.with_labels(latents(500, 8)))
        generator.mean_style.copy_(styles[:, 0].mean(dim=0))
        scale = {"stylegan2": 0.2, "stylegan3t": 8.0}[backbone]
        for name, parameter in generator.named_parameters():
            if ".torgb." in name or ".L14_" in name:
                parameter.mul_(scale if "affine" not in name else 1.0)
        assert 0.2 < generator(generator.architecture.with_labels(latents(50, 8))).abs().max() < 1
    return generator


def by_seed(generator: StyledGenerator, seed: int) -> torch.Tensor:
    return generate(generator, latents_of_seeds(generator.architecture, [seed]))[0]


@pytest.mark.parametrize("backbone", STYLED)
def test_edges_are_the_pictures_themselves_and_the_rest_is_mixed(backbone: str):
    generator = trained(backbone)
    sheet = mixed_grid(generator, [1, 2], [3, 4, 5])
    assert sheet.shape == (3, 4, 3, 16, 16)
    assert (sheet[0, 0] == 255).all()
    for row, seed in ((1, 1), (2, 2)):
        assert torch.equal(sheet[row, 0], by_seed(generator, seed))
    for column, seed in ((1, 3), (2, 4), (3, 5)):
        assert torch.equal(sheet[0, column], by_seed(generator, seed))
    for place in ((1, 1), (2, 3)):
        assert not torch.equal(sheet[place], sheet[place[0], 0])
        assert not torch.equal(sheet[place], sheet[0, place[1]])


def test_the_layers_decide_what_comes_from_the_column():
    generator = trained("stylegan2")
    count = generator.styles(latents(1, 8)).shape[1]
    every = mixed_grid(generator, [1], [2], layers=range(count))
    assert torch.equal(every[1, 1], every[0, 1]), "all layers: the column's picture"
    coarse = mixed_grid(generator, [1], [2], layers=[0, 1])
    fine = mixed_grid(generator, [2], [1], layers=range(2, count))
    assert torch.equal(coarse[1, 1], fine[1, 1]), "the same mix, said the other way round"


def test_truncation_0_leaves_the_mean_picture_alone():
    generator = trained("stylegan2")
    sheet = mixed_grid(generator, [1, 2], [3], truncation=0.0)
    assert torch.equal(sheet[1, 0], sheet[2, 0])
    assert torch.equal(sheet[1, 1], sheet[0, 1])


@pytest.mark.parametrize("layers", [[-1], [99], []])
def test_layers_that_are_not_there_are_refused(layers: list[int]):
    with pytest.raises(SettingsError, match="has styles for layers 0 to"):
        mixed_grid(trained("stylegan2"), [1], [2], layers=layers)


def test_a_model_without_styles_is_refused():
    plain = tiny_pair().generator
    with pytest.raises(SettingsError, match="dcgan draws from latents alone"):
        mixed_grid(plain, [1], [2])
    with pytest.raises(SettingsError, match="dcgan draws from latents alone"):
        project(plain, torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_seeds_are_those_of_single_pictures():
    architecture = tiny_architecture()
    chosen = latents_of_seeds(architecture, [5, 9])
    for row, seed in zip(chosen, (5, 9), strict=True):
        assert torch.equal(row, latents_for(architecture, 1, seed=seed)[0])
    with pytest.raises(SettingsError, match="at least one seed"):
        latents_of_seeds(architecture, [])


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_picture_of_the_model_is_found_again(space: str):
    generator = trained("stylegan2")
    wanted = generate(generator, latents(2, 8, seed=3), truncation=0.5)
    settings = ProjectionSettings(steps=60, space=space, perceptual_weight=0.0)
    steps: list[tuple[int, int]] = []
    found = project(
        generator, wanted, settings, progress=lambda _, done, total: steps.append((done, total))
    )
    assert steps[-1] == (60, 60)
    assert found.styles.shape == (2, generator.styles(latents(1, 8)).shape[1], 8)
    assert (found.distances < 0.05 * found.mean_distances).all()
    assert torch.equal(found.drawn, styled_pictures(generator, found.styles))
    all_alike = torch.equal(found.styles, found.styles[:, :1].expand_as(found.styles))
    assert all_alike == (space == "w")
    again = project(generator, wanted, settings)
    assert torch.equal(again.styles, found.styles), "one seed, one result"


def test_the_eyes_of_a_network_take_part():
    generator = trained("stylegan2")
    wanted = generate(generator, latents(1, 8, seed=3))
    found = project(generator, wanted, ProjectionSettings(steps=20, pixel_weight=0.0))
    assert found.distances[0] < found.mean_distances[0]


def test_a_search_leaves_the_model_as_it_was():
    generator = trained("stylegan2").train()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    project(
        generator,
        torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        ProjectionSettings(steps=2, perceptual_weight=0.0),
    )
    assert generator.training
    assert all(torch.equal(t, before[name]) for name, t in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be"),
        ({"pixel_weight": -1.0}, "pixel_weight must be"),
        ({"pixel_weight": 0.0, "perceptual_weight": 0.0}, "must not both be 0"),
    ],
)
def test_impossible_searches_are_refused(changes: dict[str, float], says: str):
    with pytest.raises(SettingsError, match=says):
        ProjectionSettings(**changes)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(SettingsError, match=r"the model draws \(3, 16, 16\)"):
        project(trained("stylegan2"), torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_one_file_is_a_picture(tmp_path: Path):
    draw_pictures(tmp_path / "set", count=1, hue=0)
    picture = load_picture(tmp_path / "set" / "000.png", resolution=16, channels=3)
    assert picture.shape == (1, 3, 16, 16)
    assert picture[:, 0].float().mean() > picture[:, 1].float().mean()
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(ImageSetError, match=r"no\.png is not a usable picture"):
        load_picture(tmp_path / "no.png", resolution=16, channels=3)
