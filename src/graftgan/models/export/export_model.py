"""Write a model in a form, and let it stand only if it draws what the live network draws."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

from graftgan.checkpoints import SourceModel, fingerprint
from graftgan.core.errors import CheckpointError, RunError, SettingsError
from graftgan.core.files import refuse_unwritable_names, written_whole
from graftgan.core.network_types import tensors_of
from graftgan.models.export.form import Form, Outgoing, form_named
from graftgan.models.sources import batch_statistics_of
from graftgan.networks.normalisation_statistics import evaluation_mode, layers_on_batch_statistics
from graftgan.transfer import fold


@dataclass(frozen=True, slots=True)
class Export:
    """What was written, and how it compares with the live network.

    Attributes:
        path: The file or folder.
        difference: The largest of any pixel, in units where pictures span [-1, 1].
        tolerance: What it may be at most.
    """

    path: Path
    difference: float
    tolerance: float


def export_model(
    model: SourceModel, form: str, destination: Path, *, run: Path | None = None
) -> Export:
    """Write ``model`` in a form, checked against the live network before it has its name.

    Args:
        model: The networks and their card; modulations are folded, the model itself stays.
        form: ``safetensors``, ``onnx``, ``torch-export`` or ``hub``.
        destination: The new file or folder.
        run: The run folder that the model is a checkpoint of, for what its page can tell.

    Raises:
        SettingsError: There is no such form, a package is missing, the destination has another
            ending, or the form cannot hold such a generator.
        RunError: There is something at the destination, or it cannot be written.
        CheckpointError: What was written differs from the network; nothing is left of it.
    """
    kind = ready_form(form, destination)
    outgoing = _outgoing(model, destination.name.removesuffix(kind.ending), run)
    if kind.is_program:
        _refuse_batch_statistics(outgoing, form)
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

    Raises:
        SettingsError: There is no such form, a package is missing, or the ending is another.
        RunError: There is something at the destination.
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


def _refuse_batch_statistics(outgoing: Outgoing, form: str) -> None:
    """Refuse a generator that no function of single latents is: it would draw other pictures.

    Raises:
        SettingsError: It is one.
    """
    layers = layers_on_batch_statistics(outgoing.generator.layers().items())
    if layers:
        raise SettingsError(
            f"the form {form} cannot hold {outgoing.card.name}: {', '.join(layers)} of its "
            "generator normalise with the statistics of the batch, so that a picture depends on "
            "those drawn with it; take the form safetensors or hub, or transfer again with "
            "--frozen-statistics source"
        )
