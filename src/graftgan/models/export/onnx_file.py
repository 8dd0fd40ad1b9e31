"""The form ``onnx``: one file that ONNX Runtime and others run, without torch."""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any, cast

import torch

from graftgan.core.errors import CheckpointError
from graftgan.core.tensors import Images, Latents
from graftgan.models.export.form import (
    FORMS,
    Form,
    Outgoing,
    checked_latents,
    images_in_words,
    largest_difference,
    latents_in_words,
    note_of,
)
from graftgan.models.export.torch_program import BATCH, Drawn, traced

INPUT, OUTPUT = "latents", "images"
NOTE_KEY = "graftgan"


def _write(path: Path, outgoing: Outgoing) -> None:
    exported, architecture = _translated(outgoing), outgoing.card.architecture
    exported.model.doc_string = (
        f"{outgoing.card.name}: a generator of pictures. {INPUT}: {latents_in_words(architecture)}."
        f" {OUTPUT}: {images_in_words(architecture)}. Licence: {outgoing.card.licence}."
    )
    note = json.dumps(note_of(outgoing), ensure_ascii=False)
    exported.model.metadata_props[NOTE_KEY] = note
    exported.save(path, external_data=False)


def _translated(outgoing: Outgoing) -> Any:
    """Return the exporter's program, with a batch of any size.

    Raises:
        CheckpointError: The network does something that torch.export or ONNX does not know.
    """
    program = traced(outgoing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # between the parts of the exporter
            return torch.onnx.export(
                program,
                dynamo=True,
                dynamic_shapes=(BATCH,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # those of torch and of onnxscript have no common base
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"the generator of {outgoing.card.architecture.backbone} cannot be written as ONNX "
            f"({type(error).__name__}: {reason}); take the form torch-export, safetensors or hub"
        ) from None


def _difference(path: Path, outgoing: Outgoing) -> float:
    runtime = cast("Any", importlib.import_module("onnxruntime"))

    def again(latents: Latents) -> Images:
        (images,) = session.run([OUTPUT], {INPUT: latents.numpy()})
        return torch.from_numpy(images)

    try:
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return largest_difference(
            Drawn(outgoing.generator), again, checked_latents(outgoing.card.architecture)
        )
    except Exception as error:  # the package's own exceptions have no common base
        raise CheckpointError(
            f"ONNX Runtime cannot run what was written of {outgoing.card.name} ({error}); nothing "
            "was kept. Try another version of onnxruntime, or another form"
        ) from None


FORMS.register("onnx")(
    Form(
        ending=".onnx",
        tolerance=1e-4,
        write=_write,
        difference=_difference,
        packages=("onnx", "onnxscript", "onnxruntime"),
        is_program=True,
    )
)
