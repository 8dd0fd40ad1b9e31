"""Several adapters on one base: applied on demand, mixed, or folded into a source."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from graftgan.checkpoints import SourceCard, SourceModel, save_source
from graftgan.core.errors import SettingsError, SourceError, UnknownName
from graftgan.core.files import refuse_existing
from graftgan.core.network_types import Generator, Latents, NetworkPair, PictureBytes
from graftgan.core.registry import suggest
from graftgan.models.adapters.adapter import Adapter, AdapterNote, load_adapter, put_on
from graftgan.models.sources import batch_statistics_of, open_source
from graftgan.networks.sampling import generate
from graftgan.transfer import mix_networks

Weights = Mapping[str, float]  # by the adapter's name
_LARGEST_WEIGHT = 100  # far beyond any use; tensors overflow at much larger weights
_ROUNDING = 1e-9  # 0.01 + 0.29 + 0.7 is not 1 in floating point; the base's weight is then 0


class AdapterBank:
    """A base in memory with adapters by name, which can be switched without reading from disk.

    Mixed networks are base + the sum of weight x (adapted - base) over the folded tensors, so that
    adapters of different plans can be mixed; see :func:`graftgan.transfer.mix_networks` for running
    statistics. Tensors that an adapter does not change share the base's memory.

        bank = AdapterBank("avatars-64")
        bank.add("thumbs", Path("runs/thumbs"))
        bank.add("lorelei", Path("runs/lorelei"))
        generator = bank.generator("thumbs")
        between = bank.generator({"thumbs": 0.5, "lorelei": 0.5})
    """

    def __init__(self, base: str | SourceModel) -> None:
        """Load the base from a source's name or folder or a run folder, if it is not loaded yet.

        Raises SourceError: there is no such source, or it is damaged.
        """
        self.base = open_source(base) if isinstance(base, str) else base
        self.notes: dict[str, AdapterNote] = {}
        self._pairs: dict[str, NetworkPair] = {}

    def add(self, name: str, adapter: Adapter | Path) -> None:
        """Add an adapter, from memory, its file or its run folder, as ``name``.

        Raises SettingsError: the name is taken; CheckpointError: the adapter is damaged or belongs
        to another base.
        """
        if name in self.notes:
            raise SettingsError(f"'{name}' is in the bank already; name each adapter once")
        loaded = load_adapter(adapter) if isinstance(adapter, Path) else adapter
        pair = put_on(loaded, copy.deepcopy(self.base.pair), self.base.card.fingerprints, what=name)
        _share_unchanged(pair, self.base.pair)
        self._pairs[name], self.notes[name] = pair, loaded.note

    def pair(self, weights: str | Weights) -> NetworkPair:
        """Return new networks of one adapter, or of a mix; an empty mix is the base.

        Raises UnknownName: no adapter has that name; SettingsError: a weight is out of range.
        """
        critics = [(pair.discriminator, weight) for pair, weight in self._parts(weights)]
        return NetworkPair(self.generator(weights), mix_networks(critics))

    def generator(self, weights: str | Weights) -> Generator:
        """Return only the generator of :meth:`pair`, which raises the same errors."""
        return mix_networks([(pair.generator, weight) for pair, weight in self._parts(weights)])

    def _parts(self, weights: str | Weights) -> list[tuple[NetworkPair, float]]:
        """Return the networks of a mix with their weights; the base's makes the sum 1."""
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
    """Return new networks of a source with weighted adapters.

    ``[(a, 1.0)]`` is the target of ``a``, which is an adapter, its file or its run folder. The
    weight of the source makes the sum 1. Raises SourceError: there is no such source;
    CheckpointError: an adapter is damaged or belongs to another base; SettingsError: a weight is
    out of range.
    """
    bank = AdapterBank(source)
    weights: dict[str, float] = {}
    for number, (adapter, weight) in enumerate(adapters, start=1):
        name = str(adapter) if isinstance(adapter, Path) else f"adapter {number}"
        bank.add(name, adapter)
        weights[name] = weight
    return bank.pair(weights)


def open_bank(adapters: Sequence[Path], *, base: str | None = None) -> AdapterBank:
    """Return a bank of adapter files or run folders, named by their paths, on their base.

    ``base`` is its name or folder, by default as when the first adapter was made. Raises
    SourceError: the base is not found; CheckpointError: an adapter is damaged, or they belong to
    different bases; SettingsError: an adapter is given twice.
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
    """Let tensors of ``pair`` that equal the base's share its memory."""
    for (_, network), (_, like) in zip(pair.items(), base.items(), strict=True):
        originals = like.state_dict()
        for name, tensor in network.state_dict(keep_vars=True).items():
            if name in originals and torch.equal(tensor, originals[name]):
                tensor.data = originals[name]


def fold_adapter(
    path: Path, destination: Path, *, source: str | None = None, half: bool = False
) -> SourceCard:
    """Write base plus adapter as a new source folder: ``mix_adapters`` of this adapter alone."""
    return mix_adapters({path: 1.0}, destination, source=source, half=half)


def mix_adapters(
    weights: Mapping[Path, float],
    destination: Path,
    *,
    source: str | None = None,
    half: bool = False,
) -> SourceCard:
    """Write base + the sum of weight x (adapted - base) as a new source folder.

    ``weights`` are by adapter file or run folder; ``source`` is the base's name or folder, by
    default as when the first adapter was made; ``half`` stores 16-bit floating point. Raises
    RunError: ``destination`` exists; CheckpointError: an adapter is damaged, or they belong to
    different bases; SettingsError: there is no adapter, or a weight is out of range; SourceError:
    the base is not found.
    """
    refuse_existing(destination)
    if not weights:
        raise SettingsError("a mix needs at least one adapter")
    bank = open_bank(list(weights), base=source)
    mixed = mixed_model(bank, {str(path): weight for path, weight in weights.items()})
    card = replace(mixed.card, name=destination.name)
    dtype = torch.float16 if half else torch.float32
    return save_source(destination, mixed.pair, card, dtype=dtype)


def mixed_model(bank: AdapterBank, weights: Weights) -> SourceModel:
    """Return the networks of a mix of at least one adapter, with a card that describes it.

    The card has the base's name and no fingerprints. Raises UnknownName: no adapter has that name;
    SettingsError: a weight is out of range.
    """
    pair, base = bank.pair(weights), bank.base.card
    notes = [bank.notes[adapter] for adapter in weights]
    card = SourceCard(
        name=base.name,
        architecture=pair.architecture,
        data=f"{_each(n.pictures for n in notes)}, grafted on {base.name} ({base.data})",
        licence=f"that of {base.name} ({base.licence}) and of the pictures",
        objective=_each(note.objective for note in notes),
        iterations=max(note.iteration for note in notes),
        images_seen=sum(note.images_seen for note in notes),
        batch_statistics=batch_statistics_of(pair),
        notes="; ".join(
            f"plan {note.plan}"
            if weight == 1
            else f"{weight:g} of {note.pictures} (plan {note.plan})"
            for note, weight in zip(notes, weights.values(), strict=True)
        ),
    )
    return SourceModel(card, pair)


def _each(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def slide(
    bank: AdapterBank,
    start: Weights,
    end: Weights,
    *,
    positions: Sequence[float],
    latents: Latents,
    truncation: float = 1.0,
) -> PictureBytes:
    """Return the pictures of ``latents`` (n, z) at each position, as (position, n, c, h, w).

    Position 0 is ``start``, with ``{}`` for the source, and 1 is ``end``; others interpolate or
    extrapolate. With ``truncation`` below 1 pictures are closer to the average one. Raises
    UnknownName: the bank lacks an adapter of ``start`` or ``end``; SettingsError: a weight is out
    of range.
    """
    generators = (bank.generator(between(start, end, position)) for position in positions)
    return torch.stack([generate(g, latents, truncation=truncation) for g in generators])


def between(start: Weights, end: Weights, position: float) -> dict[str, float]:
    """Return the weights at ``position`` on the line through ``start`` (0) and ``end`` (1)."""
    names = dict.fromkeys((*start, *end))
    return {
        name: (1 - position) * start.get(name, 0.0) + position * end.get(name, 0.0)
        for name in names
    }
