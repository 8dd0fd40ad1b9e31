"""Folders of tensor files with a card: checkpoints of a training, and pre-trained sources."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints.tensor_file import (
    as_stored,
    checksum,
    copy_matching,
    fingerprint,
    load_tensors,
    match,
    require_finite,
    save_tensors,
)
from graftgan.core.errors import CheckpointError, SettingsError, SourceError, shown
from graftgan.core.files import (
    read_json,
    read_sealed,
    remove_partial,
    remove_whole,
    write_json,
    write_sealed,
    written_whole,
)
from graftgan.core.network_types import Architecture, NetworkPair, tensors_of
from graftgan.core.settings import parse, require_counts, strict

TensorFiles = Mapping[str, Mapping[str, Tensor]]

CARD = "card.json"
FORMAT = 1
Build = Callable[[Architecture], NetworkPair]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class StateCard:
    """The card of a checkpoint.

    Attributes:
        images_seen: Real pictures shown.
        seconds: Time in the training loop, over all sessions.
        terms: The last value of each loss term, for the log.
        varied: Whether the samples have varied; before that they cannot collapse.
        step: Number of the plan in force, of a schedule; 0 is the first.
        checksums: Of the tensors in each file, by its name without suffix.
    """

    iteration: int
    images_seen: int
    seconds: float
    terms: Mapping[str, float] = field(default_factory=dict[str, float])
    varied: bool = False
    step: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        require_counts(iteration=self.iteration, images_seen=self.images_seen)
        require_counts(seconds=self.seconds, step=self.step)


@dataclass(frozen=True, slots=True)
class SavedState:
    """A checkpoint: its tensors by file name, and its card."""

    files: TensorFiles
    card: StateCard


def save_state(folder: Path, files: TensorFiles, card: StateCard) -> None:
    """Write a checkpoint folder whole: a safetensors file for each of ``files``, and a card.

    The card gets the checksums of the files, which :func:`load_state` checks.
    """
    sums = {name: checksum(tensors) for name, tensors in files.items()}
    with written_whole(folder) as partial:
        partial.mkdir()
        for name, tensors in files.items():
            save_tensors(partial / f"{name}.safetensors", tensors)
        write_sealed(partial / CARD, asdict(replace(card, checksums=sums)))


def load_state(folder: Path) -> SavedState:
    """Read a checkpoint folder; raise CheckpointError if a file is not as it was written."""
    path, advice = folder / CARD, "the checkpoint cannot be used"
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint in {folder}")
    plain = read_sealed(path, error=CheckpointError, advice=advice)
    try:
        card = parse(StateCard, plain, where=str(path), error=CheckpointError)
    except CheckpointError as problem:
        raise CheckpointError(f"{problem}; {advice}") from None
    paths = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    if paths.keys() != card.checksums.keys():
        wrong = [f"{n}.safetensors is missing" for n in sorted(card.checksums.keys() - paths)]
        wrong += [f"{n}.safetensors was added" for n in sorted(paths.keys() - card.checksums)]
        raise CheckpointError(f"{folder} is damaged: {shown(', '.join(wrong), 200)}")
    files = {name: load_tensors(path) for name, path in paths.items()}
    for name, tensors in files.items():
        if checksum(tensors) != card.checksums[name]:
            raise CheckpointError(f"{paths[name]} is damaged: it is not as it was written")
    return SavedState(files, card)


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first."""
    found = [p for p in (run / "checkpoints").glob("[0-9]*") if p.name.isdecimal() and p.is_dir()]
    return sorted(found, key=lambda folder: int(folder.name))


def prune_checkpoints(
    run: Path, *, keep: int, best: int | None, every: int | None, regular: int = 1
) -> None:
    """Delete checkpoints of the folder ``run``, by their iterations alone.

    These stay: the newest, the last ``keep`` at multiples of ``regular`` (others come from an
    interruption or the end, or were once the best), that of iteration ``best``, and those at
    multiples of ``every``.
    """
    found = list_checkpoints(run)
    recent = [folder for folder in found if int(folder.name) % regular == 0][-keep:]
    for folder in found[:-1]:
        iteration = int(folder.name)
        stays = iteration == best or (every is not None and iteration % every == 0)
        if not stays and folder not in recent:
            remove_whole(folder)
    remove_partial(run / "checkpoints")


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCard:
    """The card of a source.

    Attributes:
        data: The pictures it was trained on, in words.
        licence: Of pictures and weights.
        objective: The adversarial loss of its training.
        iterations: Generator steps.
        images_seen: Real pictures shown to the discriminator.
        command: The command that reproduces it.
        fingerprints: sha256 of each network's stored tensors, by role.
        batch_statistics: The layers, by role, that normalise with the batch's statistics, because
            their running statistics do not fit.
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
    batch_statistics: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, Any])
    notes: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"format": FORMAT, "kind": "source", **asdict(self)}

    @classmethod
    def from_dict(cls, data: Any, *, where: Path) -> "SourceCard":
        """Build the card from JSON data; raise SourceError for another kind or format."""
        plain = dict(data) if isinstance(data, dict) else {}
        if (plain.pop("kind", None), plain.pop("format", None)) != ("source", FORMAT):
            raise SourceError(
                f"{where} is not a source card of format {FORMAT}; make the source again "
                "with `graftgan sources pack` or update graftgan"
            )
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
    """Write a source folder whole; return the card with the fingerprints of the stored tensors."""
    stored = {role: as_stored(tensors_of(network), dtype) for role, network in pair.items()}
    card = replace(card, fingerprints={role: fingerprint(t) for role, t in stored.items()})
    with written_whole(folder) as partial:
        partial.mkdir()
        for role, tensors in stored.items():
            save_tensors(partial / f"{role}.safetensors", tensors, note={"source": card.name})
        write_json(partial / CARD, card.as_dict())
    return card


def read_card(folder: Path) -> SourceCard:
    """Read the card of the source in ``folder``, or raise SourceError."""
    path = folder / CARD
    return SourceCard.from_dict(read_json(path, error=SourceError), where=path)


def load_source(folder: Path, build: Build) -> SourceModel:
    """Load the source in ``folder`` into networks from ``build``, in float32.

    Raises:
        SourceError: The card is unusable, or the weights are not those it names or do not fit.
        CheckpointError: A file of weights is damaged.
    """
    card, roles = read_card(folder), ("discriminator", "generator")
    stored = {role: load_tensors(folder / f"{role}.safetensors") for role in roles}
    for role, tensors in stored.items():
        if fingerprint(tensors) != card.fingerprints.get(role):
            raise SourceError(
                f"{folder / role}.safetensors is not the file its card describes (sha256 differs); "
                "fetch or make the source again"
            )
    with torch.device("meta"):  # first without memory: a damaged card may ask for huge networks
        pair = build(card.architecture)
    for role, network in pair.items():
        what = f"{folder.name}/{role}"
        try:
            match(network, stored[role]).require_complete(what=what)
            require_finite(stored[role], what=what)
        except CheckpointError as error:
            raise SourceError(str(error)) from None
    pair = build(card.architecture)
    for role, network in pair.items():
        copy_matching(network, stored[role])
    return SourceModel(card, pair)
