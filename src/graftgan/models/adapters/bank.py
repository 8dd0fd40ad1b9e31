"""One base and many domains: adapters that are put on when pictures are drawn."""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from graftgan.checkpoints import SourceModel
from graftgan.core.errors import SettingsError, SourceError, UnknownName
from graftgan.core.network_types import Generator, NetworkPair
from graftgan.core.registry import suggest
from graftgan.models.adapters.adapter import Adapter, AdapterNote, put_on
from graftgan.models.adapters.adapter_file import load_adapter
from graftgan.models.sources import open_source
from graftgan.transfer import mix_networks

Weights = Mapping[str, float]  # name of an adapter -> how much of it
_LARGEST_WEIGHT = 100  # far beyond any use; much further on numbers overflow
_ROUNDING = 1e-9  # 0.01 + 0.29 + 0.7 is not 1 in floating point; the base takes no part in it


class AdapterBank:
    """A base in memory with adapters by name; changing the domain reads nothing from the disk.

    With weights, networks are base + the sum of weight x (adapted - base) over the folded tensors,
    so adapters of different plans mix; see :func:`graftgan.transfer.mix_networks` for running
    statistics. What an adapter leaves as the base's is kept in memory once.

        bank = AdapterBank("avatars-64")
        bank.add("thumbs", Path("runs/thumbs"))
        bank.add("lorelei", Path("runs/lorelei"))
        generator = bank.generator("thumbs")
        between = bank.generator({"thumbs": 0.5, "lorelei": 0.5})
    """

    def __init__(self, base: str | SourceModel) -> None:
        """Load the base once.

        Args:
            base: A source's name or folder, a run folder, or a loaded source.

        Raises:
            SourceError: There is no such source, or it is damaged.
        """
        self.base = open_source(base) if isinstance(base, str) else base
        self.notes: dict[str, AdapterNote] = {}
        self._pairs: dict[str, NetworkPair] = {}

    def add(self, name: str, adapter: Adapter | Path) -> None:
        """Check an adapter against the base and keep it as ``name``.

        Args:
            name: What to call it.
            adapter: A loaded adapter, an adapter file or its run folder.

        Raises:
            SettingsError: The name is taken.
            CheckpointError: The adapter is damaged or belongs to another base.
        """
        if name in self.notes:
            raise SettingsError(f"'{name}' is in the bank already; name each adapter once")
        loaded = load_adapter(adapter) if isinstance(adapter, Path) else adapter
        pair = put_on(loaded, copy.deepcopy(self.base.pair), self.base.card.fingerprints, what=name)
        _share_unchanged(pair, self.base.pair)
        self._pairs[name], self.notes[name] = pair, loaded.note

    def pair(self, weights: str | Weights) -> NetworkPair:
        """Return new networks of one adapter, or of a mix; an empty mix is the base.

        Raises:
            UnknownName: No adapter has that name.
            SettingsError: A weight is out of range.
        """
        parts = self._parts(weights)
        return NetworkPair(
            generator=mix_networks([(pair.generator, weight) for pair, weight in parts]),
            discriminator=mix_networks([(pair.discriminator, weight) for pair, weight in parts]),
        )

    def generator(self, weights: str | Weights) -> Generator:
        """Return a new generator of one adapter, or of a mix; an empty mix is the base's.

        Raises:
            UnknownName: No adapter has that name.
            SettingsError: A weight is out of range.
        """
        return mix_networks([(pair.generator, weight) for pair, weight in self._parts(weights)])

    def _parts(self, weights: str | Weights) -> list[tuple[NetworkPair, float]]:
        """Return the networks that take part, with weights that sum to 1: the base has the rest."""
        chosen = {weights: 1.0} if isinstance(weights, str) else dict(weights)
        for name, weight in chosen.items():
            if name not in self._pairs:
                known = suggest(name, self._pairs) if self._pairs else "add it first"
                raise UnknownName(f"no adapter '{name}' in the bank; {known}")
            if not abs(weight) <= _LARGEST_WEIGHT:  # not-a-number compares with nothing
                raise SettingsError(
                    f"the weight of {name} must lie between -{_LARGEST_WEIGHT} and "
                    f"{_LARGEST_WEIGHT}, got {weight}"
                )
        rest = 1.0 - math.fsum(chosen.values())
        parts = [(self._pairs[name], weight) for name, weight in chosen.items()]
        return [(self.base.pair, rest if abs(rest) > _ROUNDING else 0.0), *parts]


def with_adapter(
    source: str | SourceModel, adapters: Sequence[tuple[Adapter | Path, float]]
) -> NetworkPair:
    """Return a source's networks with adapters put on, each with its weight.

    Args:
        source: A source's name or folder, a run folder, or a loaded source, which stays as it is.
        adapters: Loaded adapters, adapter files or run folders. ``[(a, 1.0)]`` is the target of
            ``a``; where the weights sum to less than 1, the source has the rest.

    Raises:
        SourceError: There is no such source.
        CheckpointError: An adapter is damaged or belongs to another base.
        SettingsError: A weight is out of range.
    """
    bank = AdapterBank(source)
    weights: dict[str, float] = {}
    for number, (adapter, weight) in enumerate(adapters, start=1):
        name = str(adapter) if isinstance(adapter, Path) else f"adapter {number}"
        bank.add(name, adapter)
        weights[name] = weight
    return bank.pair(weights)


def open_bank(adapters: Sequence[Path], *, base: str | None = None) -> AdapterBank:
    """Return a bank of adapter files, named by their paths, on the base of the first.

    Args:
        adapters: Adapter files or run folders.
        base: The base, where it is not what it was when the first adapter was made.

    Raises:
        SourceError: The base is not found.
        CheckpointError: An adapter is damaged, or they belong to different bases.
        SettingsError: An adapter is named twice.
    """
    loaded = [(str(path), load_adapter(path)) for path in adapters]
    try:
        bank = AdapterBank(base or loaded[0][1].note.base)
    except SourceError as error:
        where = f"; --source says where the base of {adapters[0]} lies" if base is None else ""
        raise SourceError(f"{error}{where}") from None
    for name, adapter in loaded:
        bank.add(name, adapter)
    return bank


def _share_unchanged(pair: NetworkPair, base: NetworkPair) -> None:
    """Let tensors of ``pair`` that equal the base's lie in the base's memory."""
    for (_, network), (_, like) in zip(pair.items(), base.items(), strict=True):
        originals = like.state_dict()
        for name, tensor in network.state_dict(keep_vars=True).items():
            if name in originals and torch.equal(tensor, originals[name]):
                tensor.data = originals[name]
