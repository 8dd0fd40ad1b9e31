"""The form ``safetensors``: one file with a generator's plain weights, its card in the header."""

from pathlib import Path

import torch

from graftgan.checkpoints import (
    SourceCard,
    SourceModel,
    copy_matching,
    fingerprint,
    load_note,
    load_tensors,
    match,
    save_tensors,
)
from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import Generator, tensors_of
from graftgan.models.export.form import (
    FORMS,
    NOTE_FORMAT,
    Form,
    Outgoing,
    checked_latents,
    largest_difference,
    note_of,
)
from graftgan.models.sources import restore_batch_statistics
from graftgan.networks import blank_pair, build_pair
from graftgan.networks.normalisation_statistics import evaluation_mode


def load_generator(path: Path) -> Generator:
    """Build the generator of an exported safetensors file again, in evaluation mode.

    Raises:
        CheckpointError: The file is missing or damaged, or no exported generator.
        SourceError: Its card is unusable.
    """
    note = load_note(path)
    if note.get("kind") != "generator" or note.get("format") != NOTE_FORMAT:
        raise CheckpointError(
            f"{path} is not an exported generator of format {NOTE_FORMAT}; "
            "`graftgan export MODEL --to safetensors` writes one"
        )
    card = SourceCard.from_dict(note.get("card"), where=path)
    tensors = load_tensors(path)
    if fingerprint(tensors) != card.fingerprints.get("generator"):
        raise CheckpointError(
            f"{path} does not hold the weights that its card describes (sha256 differs); "
            "export the model again"
        )
    with torch.device("meta"):  # a card could ask for a network that fits in no memory
        match(build_pair(card.architecture).generator, tensors).require_complete(what=str(path))
    pair = blank_pair(card.architecture)
    copy_matching(pair.generator, tensors).require_complete(what=str(path))
    restore_batch_statistics(SourceModel(card, pair))
    evaluation_mode(pair.generator)
    return pair.generator


def _write(path: Path, outgoing: Outgoing) -> None:
    save_tensors(path, tensors_of(outgoing.generator), note=note_of(outgoing))


def _difference(path: Path, outgoing: Outgoing) -> float:
    again = load_generator(path).requires_grad_(False)
    return largest_difference(
        outgoing.generator, again, checked_latents(outgoing.card.architecture)
    )


FORMS.register("safetensors")(
    Form(ending=".safetensors", tolerance=0.0, write=_write, difference=_difference)
)
