"""Which pictures are trained on and which are held out; one picture is never on both sides."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftgan.core.randomness import Randomness
from graftgan.core.tensors import PictureBytes
from graftgan.pictures.settings import DataSettings

Split = Literal["training", "held_out", "unused"]


@dataclass(frozen=True, slots=True, eq=False)
class SetSplit:
    """The sorted indices of the pictures to train on and of those held out, int64."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]

    def names(self, count: int) -> tuple[Split, ...]:
        """Return where each of ``count`` pictures is."""
        splits: list[Split] = ["unused"] * count
        for index in self.training:
            splits[index] = "training"
        for index in self.held_out:
            splits[index] = "held_out"
        return tuple(splits)


def split(contents: Sequence[str], settings: DataSettings, seed: int) -> SetSplit:
    """Choose the pictures to use and those to hold out.

    Pictures of one content are held out together or not at all. ``limit`` takes different ones
    before it takes one twice. Where no two are alike, both are plain draws.

    Args:
        contents: What tells each picture from others; equal for equal pictures and near-doubles.
        settings: How many to use and to hold out.
        seed: Of the choice.
    """
    randomness = Randomness(seed)
    drawn = torch.randperm(len(contents), generator=randomness.generator("data/limit"))
    used = sorted(_different_first(drawn.tolist(), contents)[: settings.limit])
    # At least one on each side, as far as there are two different pictures to share out.
    wanted = max(1, round(settings.held_out * len(used))) if settings.held_out else 0
    kept = min(wanted, len(used) - 1)
    order = torch.randperm(len(used), generator=randomness.generator("data/held_out"))
    held_out = _held_out([used[place] for place in order.tolist()], contents, kept)
    training = [index for index in used if index not in held_out]
    return SetSplit(np.array(training, np.int64), np.array(sorted(held_out), np.int64))


def split_again(names: Sequence[str], known: Mapping[str, str]) -> SetSplit | None:
    """Return the parts that are ``known`` by name; None where they are not of just these names."""
    if set(known) != set(names):
        return None
    sides = [known[name] for name in names]
    training, held_out = (
        np.array([i for i, side in enumerate(sides) if side == wanted], np.int64)
        for wanted in ("training", "held_out")
    )
    return SetSplit(training, held_out)


def joined(contents: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Return the contents with those of pairs, and so of whole chains of pairs, made equal."""
    first = {content: content for content in contents}

    def root(content: str) -> str:
        while first[content] != content:
            content = first[content]
        return content

    for later, earlier in pairs:
        first[root(contents[later])] = root(contents[earlier])
    return [root(content) for content in contents]


def contents_of(pictures: PictureBytes) -> list[str]:
    """Return what tells each picture from others; a picture and its mirror image are the same."""
    return [content_of(_sha256(picture), _sha256(picture.flip(2))) for picture in pictures.cpu()]


def content_of(pixels_sha256: str, mirrored_sha256: str) -> str:
    """Return what tells a picture from others, by the hashes of it and of its mirror image."""
    return min(pixels_sha256, mirrored_sha256)


def first_of_each(contents: Sequence[str]) -> list[int]:
    """Return the indices of the first picture of each content, in order."""
    first: dict[str, int] = {}
    for index, content in enumerate(contents):
        first.setdefault(content, index)
    return list(first.values())


def _different_first(drawn: list[int], contents: Sequence[str]) -> list[int]:
    """Return the indices with those of contents that came before at the end."""
    places = first_of_each([contents[index] for index in drawn])
    firsts = set(places)
    again = [index for place, index in enumerate(drawn) if place not in firsts]
    return [drawn[place] for place in places] + again


def _held_out(order: list[int], contents: Sequence[str], kept: int) -> set[int]:
    """Return about ``kept`` pictures, whole contents at a time, as they come in ``order``."""
    groups: dict[str, list[int]] = {}
    for index in order:
        groups.setdefault(contents[index], []).append(index)
    held_out: set[int] = set()
    for group in groups.values():
        if len(held_out) + len(group) <= kept:
            held_out.update(group)
    if kept and not held_out and len(groups) > 1:
        held_out.update(min(groups.values(), key=len))
    return held_out


def _sha256(picture: Tensor) -> str:
    return hashlib.sha256(picture.contiguous().numpy().tobytes()).hexdigest()
