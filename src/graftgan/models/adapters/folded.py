"""Adapters into sources of their own: one folded, or several mixed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from graftgan.checkpoints import SourceCard, SourceModel, save_source
from graftgan.core.errors import RunError, SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.models.adapters.adapter import AdapterNote
from graftgan.models.adapters.bank import AdapterBank, Weights, open_bank
from graftgan.models.sources import batch_statistics_of


def fold_adapter(
    path: Path, destination: Path, *, source: str | None = None, half: bool = False
) -> SourceCard:
    """Write base plus adapter as a source folder of its own.

    Args:
        path: The adapter file, or its run folder.
        destination: The new source folder.
        source: The base's name or folder, where it is not what it was when the adapter was made.
        half: Store 16-bit floating point, half the size.

    Raises:
        RunError: ``destination`` exists.
        CheckpointError: The adapter is damaged, or the base is another one.
        SourceError: The base is not found.
    """
    return mix_adapters({path: 1.0}, destination, source=source, half=half)


def mix_adapters(
    weights: Mapping[Path, float],
    destination: Path,
    *,
    source: str | None = None,
    half: bool = False,
) -> SourceCard:
    """Write base + the sum of weight x (adapted - base) as a source folder of its own.

    Args:
        weights: The weight of each adapter file or run folder.
        destination: The new source folder.
        source: The base's name or folder, where it is not what it was when they were made.
        half: Store 16-bit floating point, half the size.

    Raises:
        RunError: ``destination`` exists.
        CheckpointError: An adapter is damaged, or they belong to different bases.
        SettingsError: There is no adapter, or a weight is out of range.
        SourceError: The base is not found.
    """
    if destination.exists():
        raise RunError(f"{destination} exists already; choose another name or remove it first")
    if not weights:
        raise SettingsError("a mix needs at least one adapter")
    bank = open_bank(list(weights), base=source)
    mixed = mixed_model(bank, {str(path): weight for path, weight in weights.items()})
    card = replace(mixed.card, name=destination.name)
    dtype = torch.float16 if half else torch.float32
    return save_source(destination, mixed.pair, card, dtype=dtype)


def mixed_model(bank: AdapterBank, weights: Weights) -> SourceModel:
    """Return the networks of a mix with a card that says what it is made of.

    The card has the base's name, and no fingerprints yet.

    Args:
        bank: The base with its adapters.
        weights: How much of which adapter, at least of one.

    Raises:
        UnknownName: No adapter has that name.
        SettingsError: A weight is out of range.
    """
    pair, base = bank.pair(weights), bank.base.card
    return SourceModel(_card(base.name, pair, base, bank.notes, weights), pair)


def _card(
    name: str,
    pair: NetworkPair,
    base: SourceCard,
    notes: Mapping[str, AdapterNote],
    weights: Weights,
) -> SourceCard:
    parts = [(notes[adapter], weight) for adapter, weight in weights.items()]
    trained = [note for note, _ in parts]
    return SourceCard(
        name=name,
        architecture=pair.architecture,
        data=f"{_each(n.pictures for n in trained)}, grafted on {base.name} ({base.data})",
        licence=f"that of {base.name} ({base.licence}) and of the pictures",
        objective=_each(note.objective for note in trained),
        iterations=max(note.iteration for note in trained),
        images_seen=sum(note.images_seen for note in trained),
        batch_statistics=batch_statistics_of(pair),
        notes="; ".join(_in_words(note, weight) for note, weight in parts),
    )


def _in_words(note: AdapterNote, weight: float) -> str:
    plan = f"plan {note.plan}"
    return plan if weight == 1 else f"{weight:g} of {note.pictures} ({plan})"


def _each(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))
