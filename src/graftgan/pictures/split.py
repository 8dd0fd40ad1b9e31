"""The settings of an image set, its split, and the order in which pictures are trained on.

A picture is never on both sides of the split, however often it is in the set.
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
from graftgan.core.settings import require_range, strict
from graftgan.pictures.members import sha256_of

SplitName = Literal["training", "held_out", "unused"]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """How a folder, zip or npz of pictures becomes an image set.

    Attributes:
        channels: 3 for colour, 1 for grey; default: as the source, or 3.
        limit: Use only this many pictures, chosen by the seed; default: all.
        labels: ``folders``: the folder of a picture is its class; default: no classes.
        held_out: Share of the pictures held out of training, from 0 to below 1, by the seed.
        minimum_side: Skip pictures with a side shorter than this, in pixels.
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
        require_range(self, "at least 1", "limit", "minimum_side")
        require_range(self, "in [0, 1)", "held_out")
        require_range(self, "finite and not negative", "memory_limit_mb")


@dataclass(frozen=True, slots=True, eq=False)
class SetSplit:
    """The sorted indices of the training and of the held-out pictures, int64."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]

    def names(self, count: int) -> tuple[SplitName, ...]:
        """Return the side of each of ``count`` pictures."""
        sides: dict[int, SplitName] = dict.fromkeys(self.training.tolist(), "training")
        sides |= dict.fromkeys(self.held_out.tolist(), "held_out")
        return tuple(sides.get(index, "unused") for index in range(count))


def split(contents: Sequence[str], settings: DataSettings, seed: int) -> SetSplit:
    """Choose the pictures to use and those to hold out, by ``seed``.

    ``contents`` are equal for equal pictures and near-doubles, which are held out together or not
    at all. ``limit`` takes different pictures before it takes one twice. If all pictures differ,
    both are plain draws.
    """
    randomness = Randomness(seed)
    order = torch.randperm(len(contents), generator=randomness.generator("data/limit"))
    drawn: list[int] = order.tolist()
    places = first_of_each([contents[index] for index in drawn])
    firsts = set(places)
    again = [index for place, index in enumerate(drawn) if place not in firsts]
    used = sorted([*(drawn[place] for place in places), *again][: settings.limit])
    # At least one on each side, if there are two different pictures.
    wanted = max(1, round(settings.held_out * len(used))) if settings.held_out else 0
    kept = min(wanted, len(used) - 1)
    order = torch.randperm(len(used), generator=randomness.generator("data/held_out"))
    held_out = _held_out([used[place] for place in order.tolist()], contents, kept)
    training = [index for index in used if index not in held_out]
    return SetSplit(np.array(training, np.int64), np.array(sorted(held_out), np.int64))


def split_again(names: Sequence[str], known: Mapping[str, str]) -> SetSplit | None:
    """Return the split that is ``known`` by name; None if it has other names than ``names``."""
    if set(known) != set(names):
        return None
    training, held_out = (
        np.array([i for i, name in enumerate(names) if known[name] == wanted], np.int64)
        for wanted in ("training", "held_out")
    )
    return SetSplit(training, held_out)


def joined(contents: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Return the contents with those of pairs, and of chains of pairs, made equal."""
    first = {content: content for content in contents}

    def root(content: str) -> str:
        while first[content] != content:
            content = first[content]
        return content

    for later, earlier in pairs:
        first[root(contents[later])] = root(contents[earlier])
    return [root(content) for content in contents]


def contents_of(pictures: PictureBytes) -> list[str]:
    """Return a hash of each picture that is the same for its mirror image."""
    planes = pictures.cpu()
    return [min(sha256_of(one.numpy()), sha256_of(one.flip(2).numpy())) for one in planes]


def first_of_each(contents: Sequence[str]) -> list[int]:
    """Return the indices of the first picture of each content, in order."""
    first: dict[str, int] = {}
    for index, content in enumerate(contents):
        first.setdefault(content, index)
    return list(first.values())


def _held_out(order: list[int], contents: Sequence[str], kept: int) -> set[int]:
    """Return about ``kept`` pictures in ``order``, all of one content or none."""
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

    Every picture comes exactly once per epoch over all processes, each of which takes its share of
    ``batch_size``. Batches depend on the arguments alone, so an exact resume saves nothing.

    Raises:
        SettingsError: A number is out of range or the batch does not divide.
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
        self._orders: dict[int, Tensor] = {}  # of the last batch's epochs, to save time

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
