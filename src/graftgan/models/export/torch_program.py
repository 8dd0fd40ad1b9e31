"""The form ``torch_export``: a program of torch.export, which runs without graftgan.

:func:`traced` also is what the form ``onnx`` is made from.
"""

import io
import json
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from graftgan.core.errors import CheckpointError
from graftgan.core.network_types import Generator
from graftgan.core.tensors import Images, Latents
from graftgan.models.export.form import (
    FORMS,
    Form,
    Outgoing,
    checked_latents,
    largest_difference,
    note_of,
)
from graftgan.networks import BACKBONES

NOTE_NAME = "graftgan.json"
BATCH = {0: Dim("batch")}  # how the first axis of latents is called, and that it may be of any size


class Drawn(nn.Module):
    """A generator with the cut that pictures of an unbounded one get when they are drawn."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self._cuts = not BACKBONES[generator.architecture.backbone].bounded

    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to float32 images (b, c, h, w) in [-1, 1]."""
        images = self.generator(latents).float()
        return images.clamp(-1.0, 1.0) if self._cuts else images


def traced(outgoing: Outgoing) -> ExportedProgram:
    """Return the generator as a program for batches of any size.

    Raises:
        CheckpointError: The network does something that torch.export cannot follow.
    """
    example = checked_latents(outgoing.card.architecture)[:2]  # of one it might make a constant
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # between the parts of torch, nothing for a person
            program = torch.export.export(
                Drawn(outgoing.generator), (example,), dynamic_shapes=(BATCH,)
            )
    except Exception as error:  # what it meets in a network has no common base
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"torch.export cannot follow the generator of {outgoing.card.architecture.backbone} "
            f"({type(error).__name__}: {reason}); take the form safetensors or hub"
        ) from None
    program.example_inputs = None  # else they are stored too, as the one pickle in the file
    return program


def _write(path: Path, outgoing: Outgoing) -> None:
    content = io.BytesIO()
    note = {NOTE_NAME: json.dumps(note_of(outgoing), ensure_ascii=False)}
    torch.export.save(traced(outgoing), content, extra_files=note)
    path.write_bytes(content.getvalue())


def _difference(path: Path, outgoing: Outgoing) -> float:
    with path.open("rb") as content, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `traced`
        again = torch.export.load(content).module()
    return largest_difference(
        Drawn(outgoing.generator), again, checked_latents(outgoing.card.architecture)
    )


FORMS.register("torch_export")(
    Form(ending=".pt2", tolerance=1e-5, write=_write, difference=_difference, is_program=True)
)
