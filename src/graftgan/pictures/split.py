"""What a person can set about their pictures, and which of them are trained on, and when.

One picture is never on both sides of the split, however often it is in the set.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import PictureBytes
from graftgan.core.randomness import Randomness
from graftgan.core.settings import strict
from graftgan.pictures.members import sha256_of

Split = Literal["training", "held_out", "unused"]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """How a folder, zip or npz of pictures becomes an image set.

    Attributes:
        channels: 3 for colour, 1 for grey; without it the source's, or 3.
        limit: Use only this many pictures, chosen by the seed; all of them if not set.
        labels: ``folders``: the folder of a picture is its class; without it there are no classes.
        held_out: Share of the pictures kept out of training, from 0 to below 1, by the seed.
        minimum_side: Skip pictures with a side of fewer pixels than this.
        memory_limit_mb: A set that needs more memory than this is mapped from the cache on disk.
    """

    channels: int | None = None
    limit: int | None = None
    labels: Literal["folders"] | None = None
    held_out: float = 0.0
    minimum_side: int = 16
    memory_limit_mb: int = 2048

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise SettingsError(f"channels must be 1 (grey) or 3 (colour), got {self.channels}")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit must be at least 1, got {self.limit}")
        if not 0 <= self.held_out < 1:
            raise SettingsError(f"held_out must be from 0 to below 1, got {self.held_out}")
        if self.minimum_side < 1:
            raise SettingsError(f"minimum_side must be at least 1, got {self.minimum_side}")
        if self.memory_limit_mb < 0:
            raise SettingsError(f"memory_limit_mb must not be negative, got {self.memory_limit_mb}")


@dataclass(frozen=True, slots=True, eq=False)
class SetSplit:
    """The sorted indices of the pictures to train on and of those held out, int64."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]

    def names(self, count: int) -> tuple[Split, ...]:
        """Return where each of ``count`` pictures is."""
        sides: dict[int, Split] = dict.fromkeys(self.training.tolist(), "training")
        sides |= dict.fromkeys(self.held_out.tolist(), "held_out")
        return tuple(sides.get(index, "unused") for index in range(count))


def split(contents: Sequence[str], settings: DataSettings, seed: int) -> SetSplit:
    """Choose the pictures to use and those to hold out, by ``seed``.

    ``contents`` tell the pictures apart: equal for equal pictures and near-doubles, which are held
    out together or not at all. ``limit`` takes different ones before it takes one twice. Where no
    two are alike, both are plain draws.
    """
    randomness = Randomness(seed)
    order = torch.randperm(len(contents), generator=randomness.generator("data/limit"))
    drawn: list[int] = order.tolist()
    places = first_of_each([contents[index] for index in drawn])
    firsts = set(places)
    again = [index for place, index in enumerate(drawn) if place not in firsts]
    used = sorted([*(drawn[place] for place in places), *again][: settings.limit])
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
    training, held_out = (
        np.array([i for i, name in enumerate(names) if known[name] == wanted], np.int64)
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
    planes = pictures.cpu()
    return [min(sha256_of(one.numpy()), sha256_of(one.flip(2).numpy())) for one in planes]


def first_of_each(contents: Sequence[str]) -> list[int]:
    """Return the indices of the first picture of each content, in order."""
    first: dict[str, int] = {}
    for index, content in enumerate(contents):
        first.setdefault(content, index)
    return list(first.values())


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


class EndlessSampler:
    """Endless shuffled epochs cut into full batches; a batch may span epochs.

    Every picture comes exactly once per epoch over all processes together: each takes its share of
    ``batch_size``. The answer depends on the arguments alone, so an exact resume has nothing to
    save. SettingsError is raised where a number is out of range or the batch does not divide.
    """

    def __init__(
        self, count: int, batch_size: int, *, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        if count < 1 or batch_size < 1:
            raise SettingsError(
                f"sampling needs at least 1 picture and a batch size of at least 1, "
                f"got {count} pictures and a batch size of {batch_size}"
            )
        if processes < 1 or not 0 <= rank < processes:
            raise SettingsError(f"there is no process {rank} among {processes} processes")
        if batch_size % processes:
            raise SettingsError(
                f"a batch of {batch_size} does not divide evenly among {processes} processes; "
                f"use a multiple of {processes}"
            )
        self.count = count
        self.share = batch_size // processes
        self._batch_size = batch_size
        self._offset = rank * self.share
        self._randomness = Randomness(seed)
        self._orders: dict[int, Tensor] = {}  # of the last batch's epochs, kept to save time

    def indices(self, batch: int) -> Tensor:
        """Return this process's pictures of batch number ``batch``, int64 (share,)."""
        if batch < 0:
            raise SettingsError(f"batches count from 0, got {batch}")
        start = batch * self._batch_size + self._offset
        epochs = range(start // self.count, (start + self.share - 1) // self.count + 1)
        self._orders = {epoch: self._order(epoch) for epoch in epochs}
        first = start - epochs[0] * self.count
        return torch.cat(list(self._orders.values()))[first : first + self.share]

    def _order(self, epoch: int) -> Tensor:
        if epoch in self._orders:
            return self._orders[epoch]
        rng = self._randomness.generator("data/order", epoch)
        return torch.randperm(self.count, generator=rng)
