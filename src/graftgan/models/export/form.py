"""Forms of export, and writing a model in one if the result draws the same pictures."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints import SourceCard, SourceModel, fingerprint
from graftgan.core.errors import CheckpointError, SettingsError
from graftgan.core.files import refuse_existing, refuse_unwritable_names, written_whole
from graftgan.core.network_types import Architecture, Generator, Latents, NetworkPair, tensors_of
from graftgan.core.registry import Registry
from graftgan.models.sources import batch_statistics_of
from graftgan.networks.blocks import evaluation_mode, layers_on_batch_statistics
from graftgan.networks.sampling import latents_for
from graftgan.transfer import fold

COUNT = 8  # latents for the check of an export, one by one and all at once
NOTE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A model ready for export: modulations folded, in evaluation mode, without gradients."""

    card: SourceCard  # with the fingerprints of ``pair``
    pair: NetworkPair
    run: Path | None = None  # the folder of the model's run, if it is from one

    @property
    def generator(self) -> Generator:
        """The generator."""
        return self.pair.generator

    @property
    def latents(self) -> Latents:
        """The fixed latents for the check of an export, (8, z), or (8, z + k) with classes."""
        return latents_for(self.card.architecture, COUNT, seed=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form of export."""

    ending: str  # of the file's name; empty: it is a folder
    tolerance: float  # largest difference of images in [-1, 1] from the live network
    write: Callable[[Path, Outgoing], None]  # to a new path
    difference: Callable[[Path, Outgoing], float]  # of the export at a path, read back
    packages: tuple[str, ...] = ()  # further packages that it needs, by their names on PyPI
    is_program: bool = False  # whether it holds the traced computation and not only weights


FORMS: Registry[Form] = Registry("form of export")


def form_named(name: str) -> Form:
    """Return the form ``name``, such as ``torch-export``; UnknownName: there is none."""
    return FORMS[name.replace("-", "_")]


@torch.no_grad()
def largest_difference(
    live: Callable[[Tensor], Tensor], again: Callable[[Tensor], Tensor], inputs: Tensor
) -> float:
    """Return the largest difference on ``inputs`` (n, ...), one by one and all at once."""
    batches = [*inputs.split(1), inputs]
    found = torch.stack([(live(batch) - again(batch)).abs().max() for batch in batches])
    return float(found.max())  # not-a-number stays


def note_of(outgoing: Outgoing) -> dict[str, Any]:
    """Return the metadata of a file as plain data: its card, its input and its output."""
    architecture = outgoing.card.architecture
    return {
        "kind": "generator",
        "format": NOTE_FORMAT,
        "latents": latents_in_words(architecture),
        "images": images_in_words(architecture),
        "card": outgoing.card.as_dict(),
    }


def latents_in_words(architecture: Architecture) -> str:
    """Return a description of a generator's input."""
    size, classes = architecture.latent_size, architecture.classes
    if not classes:
        return f"float32 (batch, {size}), numbers from N(0, 1)"
    return (
        f"float32 (batch, {size + len(classes)}): {size} numbers from N(0, 1), then the weights of "
        f"the {len(classes)} classes ({', '.join(classes)}), 1 for the picture's own and 0 for the "
        "others, or shares that add up to 1"
    )


def images_in_words(architecture: Architecture) -> str:
    """Return a description of a generator's output."""
    side = architecture.resolution
    return f"float32 (batch, {architecture.channels}, {side}, {side}) in [-1, 1]"


@dataclass(frozen=True, slots=True)
class Export:
    """A file or folder that was written."""

    path: Path
    difference: float  # largest difference of images in [-1, 1] from the live network
    tolerance: float  # that was allowed


def export_model(
    model: SourceModel, form: str, destination: Path, *, run: Path | None = None
) -> Export:
    """Export ``model``, and check the result against the live network before it is kept.

    ``form`` is ``safetensors``, ``onnx``, ``torch-export`` or ``hub``, ``destination`` the new file
    or folder, ``run`` the folder of the model's run, for the page of ``hub``. Raises SettingsError:
    there is no such form, a package is missing, the destination has another ending, or the form
    does not support such a generator; RunError: the destination exists or cannot be written;
    CheckpointError: the result differs from the network and was deleted.
    """
    kind = ready_form(form, destination)
    outgoing = _outgoing(model, destination.name.removesuffix(kind.ending), run)
    layers = layers_on_batch_statistics(outgoing.generator.layers().items())
    if kind.is_program and layers:  # pictures depend on their batch
        raise SettingsError(
            f"the form {form} cannot hold {outgoing.card.name}: {', '.join(layers)} of its "
            "generator normalise with the statistics of the batch, so that a picture depends on "
            "those drawn with it; take the form safetensors or hub, or transfer again with "
            "--frozen-statistics source"
        )
    with written_whole(destination) as partial:
        kind.write(partial, outgoing)
        difference = kind.difference(partial, outgoing)
        if not difference <= kind.tolerance:  # also for not-a-number
            raise CheckpointError(
                f"{destination} would not be the network: the largest difference of a pixel is "
                f"{difference:.2g}, and {kind.tolerance:g} is allowed; nothing was kept. Try "
                f"another version of {' and '.join(kind.packages) or 'torch'}, or another form"
            )
    return Export(destination, difference, kind.tolerance)


def ready_form(form: str, destination: Path) -> Form:
    """Return the form ``form``, after checking that it can be written to ``destination``.

    Raises SettingsError: there is no such form, a package is missing, or the destination has
    another ending; RunError: the destination exists.
    """
    kind = form_named(form)
    if kind.ending and destination.suffix != kind.ending:
        raise SettingsError(
            f"'{destination}' is not a valid name for the form {form}: it must end in {kind.ending}"
        )
    refuse_unwritable_names(destination)
    refuse_existing(destination)
    missing = [package for package in kind.packages if not _is_installed(package)]
    if missing:
        raise SettingsError(
            f"the form {form} needs {' and '.join(missing)}, which is missing; "
            f"run 'pip install {' '.join(missing)}'"
        )
    return kind


def _is_installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def _outgoing(model: SourceModel, name: str, run: Path | None) -> Outgoing:
    pair = fold(model.pair)  # a copy in any case
    for _, network in pair.items():
        evaluation_mode(network)
        network.requires_grad_(False)
    prints = {role: fingerprint(tensors_of(network)) for role, network in pair.items()}
    follow = batch_statistics_of(pair)
    card = replace(model.card, name=name, fingerprints=prints, batch_statistics=follow)
    return Outgoing(card, pair, run)
