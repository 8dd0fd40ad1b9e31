"""The form ``hub``: a source folder with a page and a picture, as the Hugging Face Hub shows them.

Nothing here reaches the network.
"""

from pathlib import Path

from graftgan.checkpoints import save_source
from graftgan.core.files import write_text
from graftgan.experiments.run_record import read_run
from graftgan.models.export.form import FORMS, Form, Outgoing, checked_latents, largest_difference
from graftgan.models.export.model_card import model_card
from graftgan.models.sources import open_source
from graftgan.networks.normalisation_statistics import evaluation_mode
from graftgan.networks.sampling import generate, grid_latents
from graftgan.reports import picture_grid, save_png

_SIDE = 6  # pictures along a side of the grid


def _write(path: Path, outgoing: Outgoing) -> None:
    save_source(path, outgoing.pair, outgoing.card)
    latents = grid_latents(outgoing.card.architecture, columns=_SIDE, rows=_SIDE, seed=0)
    pictures = generate(outgoing.generator, latents)
    save_png(picture_grid(pictures, columns=_SIDE), path / "samples.png")
    record = None if outgoing.run is None else read_run(outgoing.run)
    write_text(path / "README.md", model_card(outgoing, record))


def _difference(path: Path, outgoing: Outgoing) -> float:
    again = open_source(str(path)).pair
    for _, network in again.items():
        evaluation_mode(network)
    latents = checked_latents(outgoing.card.architecture)
    images = outgoing.generator(latents)
    return max(
        largest_difference(outgoing.generator, again.generator, latents),
        largest_difference(outgoing.pair.discriminator, again.discriminator, images),
    )


FORMS.register("hub")(Form(ending="", tolerance=0.0, write=_write, difference=_difference))
