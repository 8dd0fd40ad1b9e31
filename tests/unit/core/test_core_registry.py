"""Registries, errors, and the maps between pictures and images."""

import pytest
import torch

from graftgan.core import errors
from graftgan.core.errors import GraftganError, SettingsError, UnknownName
from graftgan.core.network_types import to_images, to_pictures
from graftgan.core.registry import NamesDoc, Registry, suggest


def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    registry.register("red")(1)
    registry.register("dark_blue")(2)
    return registry


def test_a_registry_reads_as_a_mapping():
    registry = colours()
    assert dict(registry) == {"red": 1, "dark_blue": 2}
    assert "red" in registry
    assert "green" not in registry
    assert registry.get("green") is None
    assert len(registry) == 2
    thing = object()
    assert Registry("thing").register("x")(thing) is thing, "it serves as a decorator"


def test_an_unknown_name_helps():
    with pytest.raises(UnknownName) as caught:
        colours()["rde"]
    assert str(caught.value) == "no colour named 'rde'; did you mean 'red'?"
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, SettingsError)
    with pytest.raises(UnknownName, match="choose one of: dark_blue, red"):
        colours()["quite another"]
    assert suggest("dark_blu", ["dark_blue", "light_blue"]).startswith("did you mean 'dark_blue'")


def test_hostile_and_many_names_make_a_short_line():
    many = ["width", *(f"{n:03}" for n in range(400))]
    said = suggest("wzzzzzzzz", many)
    assert said.startswith("the nearest of 401 are width, ")
    assert len(said) < 50
    for said in (
        suggest("nothing alike", ["\x1b[2J", "x" * 5_000]),
        suggest("x" * 5_000, ["\x1b[2J", "x" * 5_000]),
        suggest("x" * 90, ["x" * 91 + "\x1b"]),
    ):
        assert said.isprintable()
        assert len(said) < 400
    with pytest.raises(UnknownName, match=r"no colour named '\\x1b\[2J'; choose"):
        colours()["\x1b[2J"]


@pytest.mark.parametrize("name", ["red", "Red", "dark blue", "dark-blue", "", "1st"])
def test_taken_and_odd_names_are_refused(name: str):
    registry = colours()
    with pytest.raises(SettingsError):
        registry.register(name)(3)
    assert dict(registry) == {"red": 1, "dark_blue": 2}


def test_every_error_is_a_graftgan_error():
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(found) >= 9
    assert all(issubclass(e, GraftganError) for e in found)


@pytest.mark.parametrize("kind", [GraftganError, SettingsError, UnknownName])
def test_an_error_is_one_line_whatever_it_quotes(kind: type[GraftganError]):
    assert str(kind("  a 'b'  c: two\n\tlines")) == "a 'b'  c: two lines"
    assert str(kind("\x1b[2J\u202e \ud800 é\u200d")) == "\\x1b[2J\\u202e \\ud800 é\u200d"
    assert str(kind("x" * 10_000)) == "x" * 1_999 + "…"
    assert str(kind("x" * 2_000)) == "x" * 2_000
    assert str(kind("")) == str(kind()) == ""


def test_pictures_and_images_are_each_others_inverse():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = to_images(every)
    assert images.dtype == torch.float32
    assert images.min() == -1
    assert images.max() == 1
    assert images[0, 0, 3, 3].item() == pytest.approx((51 - 127.5) / 127.5)
    assert torch.equal(to_pictures(images), every)
    assert torch.equal(every, torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16))


def test_pictures_round_to_the_nearest_and_clamp():
    values = torch.tensor([-3.0, -1.0, -1 + 0.9 / 255, -1 + 1.1 / 255, 0.999, 1.0, 7.0])
    before = values.clone()
    assert to_pictures(values).tolist() == [0, 0, 0, 1, 255, 255, 255]
    assert torch.equal(values, before)
    assert to_pictures(torch.tensor([0.5], dtype=torch.bfloat16)).tolist() == [191]


def test_help_lists_what_is_registered_when_it_is_shown():
    registry = colours()
    said = NamesDoc("The colour: {}; or another.", registry)
    assert said.documentation == "The colour: red or dark_blue; or another."
    registry.register("green")(3)
    assert said.documentation == "The colour: red, dark_blue or green; or another."
