"""Write the networks of another program's file as a source folder."""

import hashlib
from pathlib import Path

import torch

from graftgan.checkpoints import SourceCard, is_torch_file, match, require_finite, save_source
from graftgan.core.errors import Progress, RunError, SettingsError, silent
from graftgan.core.files import refuse_unwritable_names
from graftgan.core.network_types import NetworkPair
from graftgan.models.convert.layouts import Found, pair_of_state_dicts
from graftgan.models.convert.official_networks import pair_of_official
from graftgan.networks.backbone import blank_pair


def import_source(
    file: Path,
    destination: Path,
    *,
    discriminator: Path | None = None,
    licence: str | None = None,
    progress: Progress = silent,
) -> SourceCard:
    """Write the generator and the discriminator of another program's file as a source folder.

    The file is a pickle of StyleGAN2-ADA or StyleGAN3 with ``G_ema`` and ``D``, or what torch saved
    in one of the ``LAYOUTS``; its content says which, not its ending. Nothing in it is run. The
    networks are built from what is stored, and every tensor has to find its place in them. The
    folder's name is the source's. ``discriminator`` is the file of the discriminator, where it has
    one of its own; ``licence`` is of the weights, without it what is known of it. ``progress`` is
    called with (what is done, done, in all).

    Raises RunError: there is something at the destination; SettingsError: a pickle holds its
    discriminator, and one was given, or no backbone makes pictures of that size; CheckpointError: a
    file cannot be used; the message says why.
    """
    refuse_unwritable_names(destination)
    if destination.exists():
        raise RunError(f"{destination} exists already; choose another name or remove it first")
    progress("reading", 0, 3)
    found = _found_in(file, discriminator)
    files = [file] if discriminator is None else [file, discriminator]
    progress("checking", 1, 3)
    pair = _filled_pair(found, files)
    progress("writing", 2, 3)
    origin = ", and ".join(f"{each.name}, sha256 {_sha256_of(each)}" for each in files)
    card = SourceCard(
        name=destination.name,
        architecture=found.architecture,
        licence=found.licence if licence is None else licence,
        objective="gan",
        command="graftgan import " + " --discriminator ".join(each.name for each in files),
        notes=f"From {origin}: {found.remark}",
    )
    card = save_source(destination, pair, card)
    progress("writing", 3, 3)
    return card


def _found_in(file: Path, discriminator: Path | None) -> Found:
    if is_torch_file(file):
        return pair_of_state_dicts(file, discriminator)
    if discriminator is not None:
        raise SettingsError(
            f"{file} is no file of torch.save; a StyleGAN pickle holds its own discriminator, so "
            "leave --discriminator out"
        )
    return pair_of_official(file)


def _filled_pair(found: Found, files: list[Path]) -> NetworkPair:
    """Return the networks with the tensors that were read in the place of their own."""
    places = {"generator": files[0], "discriminator": files[-1]}
    with torch.device("meta"):  # a file could ask for networks that fit in no memory
        pair = blank_pair(found.architecture)
    for role, network in pair.items():
        match(network, found.tensors[role]).require_complete(what=f"the {role} in {places[role]}")
    pair = blank_pair(found.architecture)
    for role, network in pair.items():  # large networks are not held twice
        kinds = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        tensors = found.tensors.pop(role)
        fitting = {name: tensors[name].to(kinds[name]) for name in kinds}
        require_finite(fitting, what=f"the {role} in {places[role]}")
        network.load_state_dict(fitting, assign=True)
    return pair


def _sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
