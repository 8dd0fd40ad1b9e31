"""Flags of other programs, in our words."""

import pytest

from graftgan.cli.transfer import in_our_words
from graftgan.core.errors import SettingsError
from graftgan.transfer import parse_plan, resolve
from tiny_networks import tiny_architecture, tiny_pair


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["--gamma=10"], ["--r1-gamma", "10"]),
        (["--gamma", "10"], ["--r1-gamma", "10"]),
        (["--batch=8", "--seed=3"], ["--batch-size", "8", "--seed=3"]),
        (["--mirror=1"], ["--flip"]),
        (["--mirror", "True"], ["--flip"]),
        (["--mirror=0"], ["--no-flip"]),
        (["--aug=ada", "--target=0.7"], ["--augment", "ada", "--adaptive-target", "0.7"]),
        (["--aug", "noaug"], ["--augment", "none"]),
        (["--aug=fixed", "--p=0.3"], ["--augment", "bgc", "--probability", "0.3"]),
        (["--freezed=10"], ["--plan", "D(3,0,*) G(0,0,*)"]),
        (["--kimg=5", "pictures", "gamma"], ["--kimg=5", "pictures", "gamma"]),
    ],
)
def test_each_has_its_words(theirs: list[str], ours: list[str]):
    assert in_our_words(theirs) == ours


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        ("--mirror=maybe", "--mirror takes 1 or 0, got 'maybe'"),
        ("--mirror", "--mirror takes 1 or 0"),
        ("--aug=strong", "--aug takes ada, fixed, noaug, got 'strong'"),
        ("--freezed=5", "whole blocks freeze: 0, 4, 7, 10"),
        ("--freezed=-1", "got '-1'"),
    ],
)
def test_a_value_that_is_none_of_theirs_is_said(theirs: str, says: str):
    with pytest.raises(SettingsError, match=says):
        in_our_words([theirs])


@pytest.mark.parametrize("count", [0, 4, 7])
def test_freezed_freezes_as_many_convolutions(count: int):
    pair = tiny_pair(tiny_architecture("stylegan2", resolution=32))
    plan = parse_plan(in_our_words([f"--freezed={count}"])[1])
    decisions = resolve(plan, pair)
    frozen = [name for name, action in decisions["discriminator"].items() if action == "freeze"]
    stored = [
        name
        for layer in frozen
        for name, _ in pair.discriminator.layers()[layer].named_parameters()
        if name.endswith("weight")
    ]
    assert len(stored) == count
    assert set(decisions["generator"].values()) == {"fine_tune"}
