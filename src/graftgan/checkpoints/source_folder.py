"""A source: a pre-trained pair with its card, as a folder of safetensors and JSON."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints.finite import require_finite
from graftgan.checkpoints.receipt import copy_matching, match
from graftgan.checkpoints.tensor_file import as_stored, fingerprint, load_tensors, save_tensors
from graftgan.core.errors import CheckpointError, SettingsError, SourceError
from graftgan.core.files import read_json, write_json, written_whole
from graftgan.core.network_types import Architecture, NetworkPair, tensors_of
from graftgan.core.settings import parse, strict

FORMAT = 1
ROLES = ("discriminator", "generator")
Build = Callable[[Architecture], NetworkPair]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCard:
    """What a person must know of a source before using it.

    Attributes:
        name: Short name.
        architecture: The networks, as data.
        data: The pictures it was trained on, in words.
        licence: Licence of pictures and weights.
        objective: The adversarial loss of its training.
        iterations: Generator steps.
        images_seen: Real pictures shown to the discriminator.
        command: What makes it again.
        fingerprints: sha256 of each network's tensors, by role, as stored.
        batch_statistics: The layers, by role, that normalise with the batch's statistics, because
            their running ones do not fit.
        notes: Anything else, such as scores or where the idea comes from.
    """

    name: str
    architecture: Architecture
    data: str = "not stated"
    licence: str = "not stated"
    objective: str = "not stated"
    iterations: int = 0
    images_seen: int = 0
    command: str = "not stated"
    fingerprints: Mapping[str, str] = field(default_factory=dict[str, str])
    batch_statistics: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]]
    )
    notes: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"format": FORMAT, "kind": "source", **asdict(self)}

    @classmethod
    def from_dict(cls, data: Any, *, where: Path) -> "SourceCard":
        """Build the card from JSON data.

        Raises:
            SourceError: The data is of another kind or a newer format.
        """
        known = isinstance(data, dict) and data.get("kind") == "source"
        if not known or data.get("format") != FORMAT:
            raise SourceError(
                f"{where} is not a source card of format {FORMAT}; make the source again "
                "with `graftgan sources pack` or update graftgan"
            )
        plain = {key: value for key, value in data.items() if key not in {"format", "kind"}}
        try:
            return parse(cls, plain, where=str(where))
        except SettingsError as error:
            raise SourceError(f"unusable card {error}") from None


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A loaded source."""

    card: SourceCard
    pair: NetworkPair


def save_source(
    folder: Path, pair: NetworkPair, card: SourceCard, *, dtype: torch.dtype = torch.float32
) -> SourceCard:
    """Write a source folder, whole; return the card with the fingerprints of what was stored."""
    stored = {role: as_stored(tensors_of(network), dtype) for role, network in pair.items()}
    card = replace(card, fingerprints={role: fingerprint(t) for role, t in stored.items()})
    with written_whole(folder) as partial:
        partial.mkdir()
        for role, tensors in stored.items():
            save_tensors(partial / f"{role}.safetensors", tensors, note={"source": card.name})
        write_json(partial / "card.json", card.as_dict())
    return card


def read_card(folder: Path) -> SourceCard:
    """Read the card of the source in ``folder``.

    Raises:
        SourceError: There is no source, or its card is unusable.
    """
    path = folder / "card.json"
    return SourceCard.from_dict(read_json(path, error=SourceError), where=path)


def load_source(folder: Path, build: Build) -> SourceModel:
    """Load the source in ``folder`` into networks from ``build``, in float32.

    Raises:
        SourceError: The card is unusable, or the weights are not those the card names.
        CheckpointError: The weights are damaged or do not fit the architecture.
    """
    card = read_card(folder)
    stored = {role: _tensors_of_role(folder, card, role) for role in ROLES}
    with torch.device("meta"):  # a card could ask for networks that fit in no memory
        pair = build(card.architecture)
    _require_all(folder, pair, stored)
    pair = build(card.architecture)
    for role, network in pair.items():
        copy_matching(network, stored[role])
    return SourceModel(card, pair)


def _tensors_of_role(folder: Path, card: SourceCard, role: str) -> dict[str, Tensor]:
    tensors = load_tensors(folder / f"{role}.safetensors")
    if fingerprint(tensors) != card.fingerprints.get(role):
        raise SourceError(
            f"{folder / role}.safetensors is not the file its card describes (sha256 differs); "
            "fetch or make the source again"
        )
    return tensors


def _require_all(
    folder: Path, pair: NetworkPair, stored: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Accept only tensors that fit the networks and are numbers."""
    for role, network in pair.items():
        what = f"{folder.name}/{role}"
        try:
            match(network, stored[role]).require_complete(what=what)
            require_finite(stored[role], what=what)
        except CheckpointError as error:
            raise SourceError(str(error)) from None
