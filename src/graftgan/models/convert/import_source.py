"""Write the networks of another program's file as a source folder."""

from pathlib import Path

import torch

from graftgan.checkpoints import SourceCard, is_torch_file, match, require_finite, save_source
from graftgan.core.errors import Progress, SettingsError, silent
from graftgan.core.files import file_sha256, refuse_existing, refuse_unwritable_names
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

    The file is a pickle of StyleGAN2-ADA or StyleGAN3 with ``G_ema`` and ``D``, or a file of
    ``torch.save`` in one of the ``LAYOUTS``; its content decides, not its suffix. No code in it is
    run. The networks are built from the stored settings, and every tensor must fit. The source has
    the folder's name. ``discriminator`` is a separate file of the discriminator, if there is one;
    ``licence`` is that of the weights, by default what is known of it. ``progress`` is called with
    (step, steps done, steps in all).

    Raises RunError: the destination exists; SettingsError: a discriminator is given beside a
    pickle, which holds its own, or no backbone makes pictures of that size; CheckpointError: a file
    cannot be used, for the reason in the message.
    """
    refuse_unwritable_names(destination)
    refuse_existing(destination)
    progress("reading", 0, 3)
    found = _found_in(file, discriminator)
    files = [file] if discriminator is None else [file, discriminator]
    progress("checking", 1, 3)
    pair = _filled_pair(found, files)
    progress("writing", 2, 3)
    origin = ", and ".join(f"{each.name}, sha256 {file_sha256(each)}" for each in files)
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
            f"{file} is not a file of torch.save; a StyleGAN pickle holds its own discriminator, "
            "so leave --discriminator out"
        )
    return pair_of_official(file)


def _filled_pair(found: Found, files: list[Path]) -> NetworkPair:
    """Return the networks with the stored tensors."""
    places = {"generator": files[0], "discriminator": files[-1]}
    with torch.device("meta"):  # a file could ask for networks that do not fit into memory
        pair = blank_pair(found.architecture)
    for role, network in pair.items():
        match(network, found.tensors[role]).require_complete(what=f"the {role} in {places[role]}")
    pair = blank_pair(found.architecture)
    for role, network in pair.items():  # large networks are never in memory twice
        kinds = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        tensors = found.tensors.pop(role)
        fitting = {name: tensors[name].to(kinds[name]) for name in kinds}
        require_finite(fitting, what=f"the {role} in {places[role]}")
        network.load_state_dict(fitting, assign=True)
    return pair
