"""Write a model in a format for other programs, checked against the network itself.

forms:
  safetensors    the generator's weights in one file, with all that builds it again in its header
  onnx           a program for ONNX Runtime and others. Needs `pip install onnx onnxscript
                 onnxruntime`
  torch-export   a program for PyTorch without graftgan (.pt2)
  hub            a source folder with a page, as the Hugging Face Hub shows it; nothing is uploaded

The file is read back and draws eight pictures, one by one and together. It gets its name only if
they equal those of the network.

examples:
  graftgan export runs/my_pictures --to onnx                 my_pictures.onnx
  graftgan export avatars-64 --to torch-export --out small/avatars.pt2
  graftgan export avatars-64 --adapter runs/a:0.5 --to safetensors
  graftgan export runs/my_pictures --to hub --licence "CC BY 4.0"    hub/my_pictures
"""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from graftgan.cli.model_arguments import Version
from graftgan.cli.terminal import Model, console, verb
from graftgan.core.errors import shown
from graftgan.core.registry import NamesDoc
from graftgan.experiments.run_folder import RunFolder
from graftgan.models.export.form import (
    COUNT,
    FORMS,
    export_model,
    form_named,
    images_in_words,
    latents_in_words,
    ready_form,
)
from graftgan.models.export.hub_folder import repository_name
from graftgan.models.sources import find_source


@verb
def main(
    model: Model,
    version: Version,
    to: Annotated[str, NamesDoc("The form: {}.", FORMS)],
    out: Path | None = None,
    licence: str | None = None,
) -> None:
    """Export a model.

    Args:
        out: The new file or folder; without it, the model's name here, or in hub/.
        licence: The licence of the weights, for the card; without it, what the model's card says.
    """
    name, ending = Path(model).resolve().name, form_named(to).ending
    destination = out or (Path(f"{name}{ending}") if ending else Path("hub") / name)
    ready_form(to, destination)  # before what takes long
    opened = version.open_model(model)
    if licence is not None:
        opened = replace(opened, card=replace(opened.card, licence=licence))
    run = RunFolder(find_source(model))
    is_run = run.experiment_file.is_file() and not version.adapter
    written = export_model(opened, to, destination, run=run.path if is_run else None)
    path, architecture = written.path, opened.card.architecture
    files = path.rglob("*") if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files if file.is_file())
    console.print(f"{path}: {size / 1e6:.2f} MB")
    console.print(f"latents: {latents_in_words(architecture)}")
    console.print(f"images: {images_in_words(architecture)}")
    console.print(
        f"checked: {COUNT} pictures, one by one and together, differ from the network's by "
        f"{written.difference:.2g} at most ({written.tolerance:g} is allowed)"
    )
    console.print(f"licence: {shown(opened.card.licence, 400)}")
    if path.is_dir():
        name, folder = repository_name(path.name), shlex.quote(str(path))
        console.print(f"to the Hub: hf upload YOUR_NAME/{name} {folder}")
