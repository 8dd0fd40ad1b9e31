"""The forms that are one file: ``torch_export``, ``onnx`` and ``safetensors``.

The first two are programs that run without graftgan, ONNX also without torch. The third holds the
generator's weights, with its card in the header.
"""

import importlib
import io
import json
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

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
from graftgan.core.network_types import Generator, Images, Latents, tensors_of
from graftgan.models.export.form import (
    FORMS,
    NOTE_FORMAT,
    Form,
    Outgoing,
    images_in_words,
    largest_difference,
    latents_in_words,
    note_of,
)
from graftgan.models.sources import restore_batch_statistics
from graftgan.networks.backbone import BACKBONES, blank_pair, build_pair
from graftgan.networks.blocks import evaluation_mode

NOTE_NAME = "graftgan.json"  # within a program of torch.export
NOTE_KEY = "graftgan"  # of ONNX
INPUT, OUTPUT = "latents", "images"
BATCH = {0: Dim("batch")}  # the first axis of latents, of any size


class Drawn(nn.Module):
    """A generator whose images are clamped to [-1, 1] if its backbone is unbounded."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self._clamps = not BACKBONES[generator.architecture.backbone].bounded

    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to float32 images (b, c, h, w) in [-1, 1]."""
        images = self.generator(latents).float()
        return images.clamp(-1.0, 1.0) if self._clamps else images


def traced(outgoing: Outgoing) -> ExportedProgram:
    """Return the generator as a program for batches of any size; CheckpointError if that fails."""
    example = outgoing.latents[:2]  # a batch of one might be traced as a constant
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's internals
            program = torch.export.export(
                Drawn(outgoing.generator), (example,), dynamic_shapes=(BATCH,)
            )
    except Exception as error:  # torch's errors have no common base
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"torch.export cannot follow the generator of {outgoing.card.architecture.backbone} "
            f"({type(error).__name__}: {reason}); take the form safetensors or hub"
        ) from None
    program.example_inputs = None  # else they are stored too, as the only pickle in the file
    return program


def _write_program(path: Path, outgoing: Outgoing) -> None:
    content = io.BytesIO()
    note = {NOTE_NAME: json.dumps(note_of(outgoing), ensure_ascii=False)}
    torch.export.save(traced(outgoing), content, extra_files=note)
    path.write_bytes(content.getvalue())


def _difference_of_program(path: Path, outgoing: Outgoing) -> float:
    with path.open("rb") as content, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `traced`
        again = torch.export.load(content).module()
    return largest_difference(Drawn(outgoing.generator), again, outgoing.latents)


def _write_onnx(path: Path, outgoing: Outgoing) -> None:
    exported, architecture = _as_onnx(outgoing), outgoing.card.architecture
    exported.model.doc_string = (
        f"{outgoing.card.name}: a generator of pictures. {INPUT}: {latents_in_words(architecture)}."
        f" {OUTPUT}: {images_in_words(architecture)}. Licence: {outgoing.card.licence}."
    )
    exported.model.metadata_props[NOTE_KEY] = json.dumps(note_of(outgoing), ensure_ascii=False)
    exported.save(path, external_data=False)


def _as_onnx(outgoing: Outgoing) -> Any:
    program = traced(outgoing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's internals
            return torch.onnx.export(
                program,
                dynamo=True,
                dynamic_shapes=(BATCH,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the errors of torch and onnxscript have no common base
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"the generator of {outgoing.card.architecture.backbone} cannot be written as ONNX "
            f"({type(error).__name__}: {reason}); take the form torch-export, safetensors or hub"
        ) from None


def _difference_of_onnx(path: Path, outgoing: Outgoing) -> float:
    runtime = cast("Any", importlib.import_module("onnxruntime"))

    def again(latents: Latents) -> Images:
        (images,) = session.run([OUTPUT], {INPUT: latents.numpy()})
        return torch.from_numpy(images)

    try:
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return largest_difference(Drawn(outgoing.generator), again, outgoing.latents)
    except Exception as error:  # the package's own exceptions have no common base
        raise CheckpointError(
            f"ONNX Runtime cannot run what was written of {outgoing.card.name} ({error}); nothing "
            "was kept. Try another version of onnxruntime, or another form"
        ) from None


def load_generator(path: Path) -> Generator:
    """Load the generator of an exported safetensors file, in evaluation mode.

    Raises CheckpointError: the file is missing, damaged or not an exported generator; SourceError:
    its card is unusable.
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
    with torch.device("meta"):  # a card could ask for a network that does not fit into memory
        match(build_pair(card.architecture).generator, tensors).require_complete(what=str(path))
    pair = blank_pair(card.architecture)
    copy_matching(pair.generator, tensors).require_complete(what=str(path))
    restore_batch_statistics(SourceModel(card, pair))
    evaluation_mode(pair.generator)
    return pair.generator


def _write_weights(path: Path, outgoing: Outgoing) -> None:
    save_tensors(path, tensors_of(outgoing.generator), note=note_of(outgoing))


def _difference_of_weights(path: Path, outgoing: Outgoing) -> float:
    again = load_generator(path).requires_grad_(False)
    return largest_difference(outgoing.generator, again, outgoing.latents)


FORMS.register("torch_export")(
    Form(
        ending=".pt2",
        tolerance=1e-5,
        write=_write_program,
        difference=_difference_of_program,
        is_program=True,
    )
)
FORMS.register("onnx")(
    Form(
        ending=".onnx",
        tolerance=1e-4,
        write=_write_onnx,
        difference=_difference_of_onnx,
        packages=("onnx", "onnxscript", "onnxruntime"),
        is_program=True,
    )
)
FORMS.register("safetensors")(
    Form(
        ending=".safetensors",
        tolerance=0.0,
        write=_write_weights,
        difference=_difference_of_weights,
    )
)
