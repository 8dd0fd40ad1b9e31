"""What a form of export is, and what every form is given and says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints import SourceCard
from graftgan.core.network_types import Architecture, Generator, NetworkPair
from graftgan.core.registry import Registry
from graftgan.core.tensors import Latents
from graftgan.networks.sampling import latents_for

COUNT = 8  # latents that a form is checked on, one by one and all at once
NOTE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A model as it leaves: modulations folded, in evaluation mode, without gradients.

    Attributes:
        card: Of the model, with the fingerprints of ``pair``.
        pair: Its networks.
        run: The run folder that the model is a checkpoint of; None: it is no run's.
    """

    card: SourceCard
    pair: NetworkPair
    run: Path | None = None

    @property
    def generator(self) -> Generator:
        """The generator."""
        return self.pair.generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form that a model can leave in.

    Attributes:
        ending: Of the file's name; empty: it is a folder.
        tolerance: Largest difference from the live network, in units where pictures span [-1, 1];
            0: every number is the same.
        write: Writes a model at a path, where nothing stands yet.
        difference: Reads back what stands at a path and returns how far it is from the model.
        packages: What has to be installed beside graftgan, by the names that pip knows.
        is_program: Whether it holds the computation itself, traced, and not only weights.
    """

    ending: str
    tolerance: float
    write: Callable[[Path, Outgoing], None]
    difference: Callable[[Path, Outgoing], float]
    packages: tuple[str, ...] = ()
    is_program: bool = False


FORMS: Registry[Form] = Registry("form of export")


def form_named(name: str) -> Form:
    """Return the form that a person calls ``name``, such as ``torch-export``.

    Raises:
        UnknownName: There is none.
    """
    return FORMS[name.replace("-", "_")]


def checked_latents(architecture: Architecture) -> Latents:
    """Return the fixed latents that a form is checked on, (8, z), or (8, z + k) with classes."""
    return latents_for(architecture, COUNT, seed=0)


@torch.no_grad()
def largest_difference(
    live: Callable[[Tensor], Tensor], again: Callable[[Tensor], Tensor], inputs: Tensor
) -> float:
    """Return how far ``again`` ever is from ``live`` on ``inputs`` (n, ...), alone and together.

    Not-a-number where either gives one.
    """
    batches = [*inputs.split(1), inputs]
    found = torch.stack([(live(batch) - again(batch)).abs().max() for batch in batches])
    return float(found.max())  # a maximum keeps not-a-number


def note_of(outgoing: Outgoing) -> dict[str, Any]:
    """Return what a file says about itself, as plain data: its card, its input and its output."""
    architecture = outgoing.card.architecture
    return {
        "kind": "generator",
        "format": NOTE_FORMAT,
        "latents": latents_in_words(architecture),
        "images": images_in_words(architecture),
        "card": outgoing.card.as_dict(),
    }


def latents_in_words(architecture: Architecture) -> str:
    """Return what a generator takes."""
    size, classes = architecture.latent_size, architecture.classes
    if not classes:
        return f"float32 (batch, {size}), numbers from N(0, 1)"
    return (
        f"float32 (batch, {size + len(classes)}): {size} numbers from N(0, 1), then the weights of "
        f"the {len(classes)} classes ({', '.join(classes)}), 1 for the picture's own and 0 for the "
        "others, or shares that add up to 1"
    )


def images_in_words(architecture: Architecture) -> str:
    """Return what a generator gives."""
    side = architecture.resolution
    return f"float32 (batch, {architecture.channels}, {side}, {side}) in [-1, 1]"
