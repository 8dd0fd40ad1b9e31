"""The public calls that read each kind of file, with what has to hold afterwards."""

import json
import os
import pkgutil
import platform
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path, PurePosixPath

import torch

import graftgan
from graftgan import (
    AdapterBank,
    DataSettings,
    generate,
    import_source,
    list_sources,
    load_adapter,
    load_image_set,
    load_run,
    open_source,
    random_latents,
    write_run_report,
)
from graftgan.checkpoints import SourceModel
from graftgan.core.errors import GraftganError
from graftgan.experiments.convergence import convergence_of
from graftgan.experiments.scored_pictures import read_scored
from graftgan.models.adapters.listing import list_adapters
from graftgan.pictures import ImageSet
from graftgan.pictures.curation import CurationSettings, curate
from graftgan.pictures.members import PICTURE_SUFFIXES, can_read_heif
from graftgan.training import Training

from .commands import Step
from .outcomes import EXPECTED, NOT_TRAINED, NotTrainedError, WrongError


def prepare_process() -> None:
    """Let every training end before its first iteration, here and in forked processes.

    Every module is loaded: Hypothesis draws from the constants in what is loaded, and the same case
    has to come whichever kinds are asked for.
    """
    for module in pkgutil.walk_packages(graftgan.__path__, "graftgan."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    # What is loaded late, by others: under a case's limits that would crash or look like code.
    can_read_heif()
    for name in (
        "torch._dynamo",
        "distributed",
        "tensorboard.summary.writer.record_writer",
        "rapidocr.inference_engine.onnxruntime",
    ):
        with suppress(ImportError):
            import_module(name)
    platform.processor()

    def stop(_: Training) -> None:
        raise NotTrainedError(NOT_TRAINED)

    Training.run = stop  # type: ignore[method-assign]


def _import(
    name: str, folder: Path, *, second: str | None = None, into: str = "made"
) -> SourceModel:
    """Import a file, and open what it became."""
    discriminator = None if second is None else folder / second
    import_source(folder / name, folder / into, discriminator=discriminator)
    return open_source(str(folder / into))


def _import_official(folder: Path) -> None:
    made = _import("file.pkl", folder)
    expected = folder / EXPECTED
    if not expected.exists():
        return
    told = json.loads(expected.read_text())
    if made.card.architecture == open_source(str(_plain_source(folder))).card.architecture:
        text = f"{told['setting']}: taken for the networks without it, and not refused"
        raise WrongError("a setting changes nothing", text)


def _plain_source(folder: Path) -> Path:
    import_source(folder / "official.pkl", folder / "plain")
    return folder / "plain"


OFFICIAL_STEPS: Mapping[str, Step] = {"import_source": _import_official}
TORCH_STEPS: Mapping[str, Step] = {
    "import_source": lambda folder: _import("rosinality.pt", folder),
    "import_source of two": lambda folder: _import(
        "generator.pth", folder, second="discriminator.pth", into="second"
    ),
}


def _open_source(folder: Path) -> None:
    source = open_source(str(folder / "source"))
    latents = random_latents(2, source.card.architecture.latent_size, seed=0)
    generate(source.pair.generator, latents)


def _list_sources(folder: Path) -> None:
    os.environ["GRAFTGAN_SOURCES"] = str(folder)
    for _, card in list_sources():
        if isinstance(card, GraftganError):
            raise card


SOURCE_STEPS: Mapping[str, Step] = {"open_source": _open_source, "list_sources": _list_sources}


def put_on(folder: Path) -> None:
    bank = AdapterBank(open_source(str(folder / "source")))
    bank.add("one", folder / "adapter.safetensors")
    bank.generator({"one": 1.0})


def list_all_adapters(folder: Path) -> None:
    for found in list_adapters([folder]).values():
        if isinstance(found, GraftganError):
            raise found


def written_page(write: Callable[[Path], Path], folder: Path) -> None:
    """Write a page, and look whether texts from files became a part of it that a browser runs."""
    page = write(folder).read_text(encoding="utf-8")
    if "<script>alert(1)" in page or "<img onerror=" in page:
        raise WrongError("a page runs what a file says")


def _resume(folder: Path) -> None:
    with suppress(NotTrainedError):
        graftgan.resume(folder, device="cpu")


RUN_STEPS: Mapping[str, Step] = {
    "load_run": lambda folder: load_run(folder / "run"),
    "write_run_report": lambda folder: written_page(write_run_report, folder / "run"),
    "convergence_of": lambda folder: convergence_of(folder / "run", threshold=0.5),
    "open_source": lambda folder: open_source(str(folder / "run")),
    "load_adapter": lambda folder: load_adapter(folder / "run"),
    "resume": lambda folder: _resume(folder / "run"),
}


def curate_folder(folder: Path) -> None:
    curate(folder / "raw", folder / "clean", CurationSettings(processes=1))


def load_set(path: Path) -> ImageSet:
    return load_image_set(path, DataSettings(minimum_side=4), resolution=16, seed=0)


def load_zip(folder: Path) -> None:
    """Load a zip, and look whether every picture in it was used or named."""
    found = load_set(folder / "set.zip")
    with zipfile.ZipFile(folder / "set.zip") as archive:
        answers = [_is_picture(archive, entry) for entry in archive.infolist()]
    least, most = answers.count(True), len(answers) - answers.count(False)
    told = len(found.records) + len(found.skipped)
    if not least <= told <= most:
        what = "pictures vanished" if told < least else "other files count as pictures"
        expected = f"{least} to {most}" if least < most else str(least)
        raise WrongError(what, f"{expected} pictures in the zip, {told} used or said to be skipped")


def _is_picture(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool | None:
    """Return whether a member is called a picture or begins like one; all here are PNGs.

    None: it is not called one and damaged, and how much of it can be read is the reader's affair.
    """
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if entry.filename.endswith("/") or any(_is_hidden(part) for part in path.parts):
        return False
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        return archive.read(entry).startswith(b"\x89PNG")
    except Exception:
        return None


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def read_kept(folder: Path) -> None:
    """Read pictures that were scored, and look whether an ordinary reader sees the same ones."""
    kept = read_scored(folder / "000001.zip").pictures
    found = load_image_set(folder / "000001.zip", DataSettings(), resolution=16, seed=0)
    if not torch.equal(kept, found.pictures):
        raise WrongError("kept pictures are not those in the zip")


def curate_set(name: str) -> Step:
    return lambda folder: curate(folder / name, folder / "clean", CurationSettings(processes=1))
