"""``graftgan export``."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from graftgan.checkpoints import SourceCard
from graftgan.cli.arguments import parse_flags
from graftgan.cli.model_arguments import open_model
from graftgan.cli.screen import console
from graftgan.core.registry import NamesDoc
from graftgan.core.untrusted import shown
from graftgan.experiments.run_folder import RunFolder
from graftgan.models.export import (
    COUNT,
    FORMS,
    Export,
    export_model,
    form_named,
    images_in_words,
    latents_in_words,
    ready_form,
    repository_name,
)
from graftgan.models.sources import find_source

DESCRIPTION = """Write a model in a form that others read, checked against the network itself.

forms:
  safetensors    the generator's weights in one file, with all that builds it again in its header
  onnx           a program for ONNX Runtime and others. Needs `pip install onnx onnxscript
                 onnxruntime`
  torch-export   a program for PyTorch without graftgan (.pt2)
  hub            a source folder with a page, as the Hugging Face Hub shows it; nothing is uploaded

What was written is read back and draws eight pictures, one by one and together. Only if they are
those of the network does the file get its name.

examples:
  graftgan export runs/my_pictures --to onnx                 my_pictures.onnx
  graftgan export avatars-64 --to torch-export --out small/avatars.pt2
  graftgan export avatars-64 --adapter runs/a:0.5 --to safetensors
  graftgan export runs/my_pictures --to hub --licence "CC BY 4.0"    hub/my_pictures
"""


@dataclass(frozen=True)
class ExportOptions:
    """What to write, and how."""

    model: tyro.conf.Positional[str]
    """A run folder, a source's name, or a source folder."""
    to: Annotated[str, NamesDoc("The form: {}.", FORMS)]
    out: Path | None = None
    """The new file or folder; without it, the model's name here, or in hub/."""
    iteration: int | None = None
    """The checkpoint of a run; without it, the newest."""
    adapter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A run folder or adapter file made on the model, such as runs/a or runs/a:0.5; may be given
    several times."""
    licence: str | None = None
    """The licence of the weights, for the card; without it, what the model's card says."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    prog = "graftgan export"
    options = parse_flags(ExportOptions, arguments, prog=prog, description=DESCRIPTION)
    destination = options.out or _usual_place(options)
    ready_form(options.to, destination)  # before what takes long
    model = open_model(options.model, iteration=options.iteration, adapters=options.adapter)
    if options.licence is not None:
        model = replace(model, card=replace(model.card, licence=options.licence))
    run = RunFolder(find_source(options.model))
    is_run = run.experiment_file.is_file() and not options.adapter
    export = export_model(model, options.to, destination, run=run.path if is_run else None)
    _say(export, model.card)
    return 0


def _usual_place(options: ExportOptions) -> Path:
    name = Path(options.model).resolve().name
    ending = form_named(options.to).ending
    return Path(f"{name}{ending}") if ending else Path("hub") / name


def _say(export: Export, card: SourceCard) -> None:
    console.print(f"{export.path}: {_bytes_in(export.path) / 1e6:.2f} MB")
    console.print(f"latents: {latents_in_words(card.architecture)}")
    console.print(f"images: {images_in_words(card.architecture)}")
    console.print(
        f"checked: {COUNT} pictures, one by one and together, differ from the network's by "
        f"{export.difference:.2g} at most ({export.tolerance:g} is allowed)"
    )
    console.print(f"licence: {shown(card.licence, 400)}")
    if export.path.is_dir():
        name, folder = repository_name(export.path.name), shlex.quote(str(export.path))
        console.print(f"to the Hub: hf upload YOUR_NAME/{name} {folder}")


def _bytes_in(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
