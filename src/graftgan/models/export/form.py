"""What a form of export is, and a model written in one, if it draws what the live network does."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints import SourceCard, SourceModel, fingerprint
from graftgan.core.errors import CheckpointError, RunError, SettingsError
from graftgan.core.files import refuse_unwritable_names, written_whole
from graftgan.core.network_types import Architecture, Generator, Latents, NetworkPair, tensors_of
from graftgan.core.registry import Registry
from graftgan.models.sources import batch_statistics_of
from graftgan.networks.blocks import evaluation_mode, layers_on_batch_statistics
from graftgan.networks.sampling import latents_for
from graftgan.transfer import fold

COUNT = 8  # latents that a form is checked on, one by one and all at once
NOTE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A model as it leaves: modulations folded, in evaluation mode, without gradients."""

    card: SourceCard  # with the fingerprints of ``pair``
    pair: NetworkPair
    run: Path | None = None  # the folder of the run that the model is a checkpoint of

    @property
    def generator(self) -> Generator:
        """The generator."""
        return self.pair.generator

    @property
    def latents(self) -> Latents:
        """The fixed latents that a form is checked on, (8, z), or (8, z + k) with classes."""
        return latents_for(self.card.architecture, COUNT, seed=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form that a model can leave in."""

    ending: str  # of the file's name; empty: it is a folder
    # Largest difference from the live network, in units where pictures span [-1, 1].
    tolerance: float
    write: Callable[[Path, Outgoing], None]  # a model at a path, where nothing stands yet
    difference: Callable[[Path, Outgoing], float]  # of what stands at a path, read back
    packages: tuple[str, ...] = ()  # to be installed beside graftgan, as pip calls them
    is_program: bool = False  # it holds the computation itself, traced, and not only weights


FORMS: Registry[Form] = Registry("form of export")


def form_named(name: str) -> Form:
    """Return the form that a person calls ``name``, such as ``torch-export``, or UnknownName."""
    return FORMS[name.replace("-", "_")]


@torch.no_grad()
def largest_difference(
    live: Callable[[Tensor], Tensor], again: Callable[[Tensor], Tensor], inputs: Tensor
) -> float:
    """Return how far ``again`` ever is from ``live`` on ``inputs`` (n, ...), alone and together."""
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


@dataclass(frozen=True, slots=True)
class Export:
    """What was written, and how it compares with the live network."""

    path: Path  # the file or folder
    difference: float  # the largest of any pixel, in units where pictures span [-1, 1]
    tolerance: float  # what it may be at most


def export_model(
    model: SourceModel, form: str, destination: Path, *, run: Path | None = None
) -> Export:
    """Write ``model`` in a form, checked against the live network before it has its name.

    The model itself stays. ``form`` is ``safetensors``, ``onnx``, ``torch-export`` or ``hub``,
    ``destination`` the new file or folder, ``run`` the folder of the run that the model is a
    checkpoint of, for what its page can tell.

    Raises SettingsError: there is no such form, a package is missing, the destination has another
    ending, or the form cannot hold such a generator; RunError: there is something at the
    destination, or it cannot be written; CheckpointError: what was written differs from the
    network; nothing is left of it.
    """
    kind = ready_form(form, destination)
    outgoing = _outgoing(model, destination.name.removesuffix(kind.ending), run)
    layers = layers_on_batch_statistics(outgoing.generator.layers().items())
    if kind.is_program and layers:  # no function of single latents: it would draw other pictures
        raise SettingsError(
            f"the form {form} cannot hold {outgoing.card.name}: {', '.join(layers)} of its "
            "generator normalise with the statistics of the batch, so that a picture depends on "
            "those drawn with it; take the form safetensors or hub, or transfer again with "
            "--frozen-statistics source"
        )
    with written_whole(destination) as partial:
        kind.write(partial, outgoing)
        difference = kind.difference(partial, outgoing)
        if not difference <= kind.tolerance:  # not-a-number compares with nothing
            raise CheckpointError(
                f"{destination} would not be the network: the largest difference of a pixel is "
                f"{difference:.2g}, and {kind.tolerance:g} is allowed; nothing was kept. Try "
                f"another version of {' and '.join(kind.packages) or 'torch'}, or another form"
            )
    return Export(destination, difference, kind.tolerance)


def ready_form(form: str, destination: Path) -> Form:
    """Return the form ``form``, after looking whether it can be written to ``destination``.

    Raises SettingsError: there is no such form, a package is missing, or the ending is another;
    RunError: there is something at the destination.
    """
    kind = form_named(form)
    if kind.ending and destination.suffix != kind.ending:
        raise SettingsError(
            f"'{destination}' is no name for the form {form}: it must end in {kind.ending}"
        )
    refuse_unwritable_names(destination)
    if destination.exists():
        raise RunError(f"{destination} exists already; choose another --out or remove it first")
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
