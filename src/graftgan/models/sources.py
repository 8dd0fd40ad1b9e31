"""Finding and loading sources, and making new ones from runs."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from graftgan.checkpoints import (
    SourceCard,
    SourceModel,
    fingerprint,
    load_source,
    read_card,
    require_finite,
    save_source,
)
from graftgan.core.errors import SourceError, shown
from graftgan.core.files import is_there, refuse_existing
from graftgan.core.network_types import NetworkPair, tensors_of
from graftgan.core.provenance import NOT_STATED
from graftgan.core.registry import suggest
from graftgan.experiments.run_folder import RunFolder, TrainedRun, load_run
from graftgan.networks.backbone import blank_pair
from graftgan.networks.blocks import (
    batch_norms,
    layers_on_batch_statistics,
    use_batch_statistics,
)
from graftgan.transfer import fold

DEFAULT_SOURCE = "avatars-64"


def source_folders() -> dict[str, Path]:
    """Return every source on this machine by name: the bundled ones, then the user's own."""
    return {**_sources_in(Path(__file__).parent / "bundled"), **own_source_folders()}


def own_source_folders() -> dict[str, Path]:
    """Return the user's own sources by name, from $GRAFTGAN_SOURCES or ~/.graftgan/sources."""
    home = os.environ.get("GRAFTGAN_SOURCES", Path.home() / ".graftgan" / "sources")
    return _sources_in(Path(home))


def _sources_in(home: Path) -> dict[str, Path]:
    return {card.parent.name: card.parent for card in sorted(home.glob("*/card.json"))}


def find_source(name: str) -> Path:
    """Return the folder of a source or run, also of ``RUN@4000``; SourceError if there is none."""
    name, _ = _split_snapshot(name)
    known = source_folders()
    if name in known:
        return known[name]
    path = Path(name)
    if is_there(path) and (path / "card.json").is_file():
        return path
    raise SourceError(
        f"no source '{shown(name)}': it is neither a folder with a card.json nor a known name; "
        f"{suggest(name, known) if known else 'make one with `graftgan pretrain`'}"
    )


def settled_name(name: str) -> str:
    """Return a name of the source that is valid in any working directory."""
    if name in source_folders():
        return name
    _, iteration = _split_snapshot(name)
    at = "" if iteration is None else f"@{iteration}"
    return f"{find_source(name).resolve()}{at}"


def _split_snapshot(name: str) -> tuple[str, int | None]:
    """Split ``RUN@4000`` into the run's name and the iteration, if there is one."""
    run, at, iteration = name.rpartition("@")
    if not at or not iteration.isdecimal() or is_there(Path(name)):
        return name, None
    return run, int(iteration)


def open_source(name: str, *, iteration: int | None = None) -> SourceModel:
    """Load a source by name, by folder, or from a run folder.

    ``iteration`` chooses a checkpoint of a run, as ``RUN@4000`` does; by default the newest. Raises
    SourceError: there is no such source, or it is damaged; CheckpointError: the run has no usable
    checkpoint.
    """
    folder = find_source(name)
    if iteration is None:
        _, iteration = _split_snapshot(name)
    if RunFolder(folder).experiment_file.is_file():
        run = load_run(folder, iteration=iteration)
        pair = fold(run.pair)
        tensors = {role: tensors_of(network) for role, network in pair.items()}
        for role, named in tensors.items():
            require_finite(named, what=f"the {role} of {folder}")
        prints = {role: fingerprint(named) for role, named in tensors.items()}
        return SourceModel(replace(card_of_run(folder.name, run), fingerprints=prints), pair)
    if iteration is not None:
        raise SourceError(f"{name} is not a run, so it has no checkpoint {iteration}")
    source = load_source(folder, blank_pair)
    restore_batch_statistics(source)
    return source


def card_of_run(name: str, run: TrainedRun) -> SourceCard:
    """Return the card of a run's networks."""
    experiment = run.experiment
    return SourceCard(
        name=name,
        architecture=run.pair.architecture,
        data=experiment.pictures.name,
        licence=f"that of the pictures: {run.licences}" if run.licences else NOT_STATED,
        objective=experiment.resolved_objective,
        iterations=run.iteration,
        images_seen=run.images_seen,
        batch_statistics=batch_statistics_of(run.pair),
    )


def batch_statistics_of(pair: NetworkPair) -> dict[str, tuple[str, ...]]:
    """Return the layers, by role, that normalise with batch statistics."""
    return {
        role: layers
        for role, network in pair.items()
        if (layers := layers_on_batch_statistics(network.layers().items()))
    }


def restore_batch_statistics(source: SourceModel) -> None:
    """Let the card's layers use batch statistics again; SourceError: the networks lack one."""
    networks = dict(source.pair.items())
    for role, names in source.card.batch_statistics.items():
        layers = networks[role].layers() if role in networks else {}
        unknown = set(names) - set(layers)
        if unknown or not layers:
            raise SourceError(
                f"the card of {source.card.name} names layers that it does not have: "
                f"{role} {', '.join(sorted(unknown))}"
            )
        for norm in batch_norms(layers[name] for name in names):
            use_batch_statistics(norm)


def pack_run(
    run_path: Path,
    destination: Path,
    *,
    licence: str,
    data: str | None = None,
    command: str = "not stated",
    notes: str = "",
    iteration: int | None = None,
    half: bool = False,
) -> SourceCard:
    """Write the networks of a run as a source folder, with modulations folded.

    The source has the folder's name. Its card states the ``licence`` of the pictures and thus of
    the weights, the pictures in words (``data``), the ``command`` that reproduces it, and
    ``notes``. ``iteration`` is the checkpoint's, by default the newest; ``half`` stores 16-bit
    floating point. Raises RunError: ``destination`` exists, or ``run_path`` is not a run;
    CheckpointError: there is no such checkpoint.
    """
    refuse_existing(destination)
    run = load_run(run_path, iteration=iteration)
    card = card_of_run(destination.name, run)
    card = replace(card, licence=licence, data=data or card.data, command=command, notes=notes)
    dtype = torch.float16 if half else torch.float32
    return save_source(destination, fold(run.pair), card, dtype=dtype)


def list_sources() -> list[tuple[Path, SourceCard | SourceError]]:
    """Return every source on this machine with its card, or with what is wrong with it."""
    return [(folder, _card_or_error(folder)) for folder in source_folders().values()]


def _card_or_error(folder: Path) -> SourceCard | SourceError:
    try:
        return read_card(folder)
    except SourceError as error:
        return error
