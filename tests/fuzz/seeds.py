"""Valid files of every kind, made once and small: what the harness damages."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from feature_networks import save_brightness
from foreign_networks import (
    as_saved,
    dcgan_discriminator,
    dcgan_generator,
    rosinality_discriminator,
    rosinality_generator,
)
from graftgan import (
    Budget,
    Comparison,
    DataSettings,
    Experiment,
    PlanSearch,
    ScoringSettings,
    TrainingSettings,
    export_model,
    open_source,
    run,
    run_comparison,
    run_search,
)
from graftgan.checkpoints import SourceCard, save_source
from graftgan.core.network_types import tensors_of
from graftgan.experiments.scored_pictures import packed
from graftgan.metrics.settings import ExtractorSettings
from graftgan.pictures.curation import CurationSettings, curate
from official_pickles import Stored, stored, write_official
from tiny_networks import draw_pictures, tiny_architecture, tiny_pair, tiny_pictures

PICTURE_FORMATS = {
    "png": "PNG", "jpeg": "JPEG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seeds:
    """Folders of valid files below one root.

    Attributes:
        root: Holds a folder for each kind, and the pictures and source that runs refer to.
    """

    root: Path

    def folder(self, kind: str) -> Path:
        """The template that cases of ``kind`` begin with."""
        return self.root / kind

    def bytes_of(self, kind: str, name: str) -> bytes:
        """One file of that template."""
        return (self.folder(kind) / name).read_bytes()

    def names(self, kind: str) -> list[str]:
        """All files of that template, relative and sorted."""
        folder = self.folder(kind)
        found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return sorted(found)


def make_seeds(root: Path, kinds: list[str]) -> None:
    """Write the templates of ``kinds`` into the empty folder ``root``."""
    seeds = Seeds(root)
    draw_pictures(root / "shared" / "pictures", count=10, hue=1)
    save_brightness(root / "shared")
    architecture = tiny_architecture()
    card = SourceCard(name="tiny", architecture=architecture)
    save_source(root / "shared" / "source", tiny_pair(architecture), card)
    for kind in kinds:
        _MAKERS[kind](seeds, seeds.folder(kind))
        _remove_what_nothing_reads(seeds.folder(kind))


def _remove_what_nothing_reads(folder: Path) -> None:
    """Remove pages and TensorBoard's files: each case begins with a copy of the folder."""
    for path in (*folder.rglob("*.html"), *folder.rglob("events.out.*")):
        path.unlink()


def official_networks() -> dict[str, Stored]:
    """Return a discriminator and an averaged generator as the official programs store them."""
    pair = tiny_pair(tiny_architecture("stylegan2", resolution=32))
    architecture = pair.architecture
    assert architecture.style is not None
    common: dict[str, Any] = {
        "c_dim": 0,
        "img_resolution": architecture.resolution,
        "img_channels": architecture.channels,
        "channel_base": architecture.width * architecture.resolution,
        "channel_max": architecture.style.most_channels,
    }
    sizes = {"z_dim": architecture.latent_size, "w_dim": architecture.style.style_size}
    epilogue = {"mbstd_group_size": architecture.style.minibatch_group or None}
    return {
        "D": stored(
            tensors_of(pair.discriminator), "Discriminator", **common, epilogue_kwargs=epilogue
        ),
        "G_ema": stored(tensors_of(pair.generator), **common, **sizes),
    }


def _official(_: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_official(folder / "official.pkl", official_networks())
    small = {"w": torch.arange(6.0).reshape(2, 3)}
    write_official(folder / "small.pkl", {"G_ema": stored(small, z_dim=4), "D": stored(small)})
    write_official(folder / "old.pkl", {"G_ema": stored(small, z_dim=4)}, protocol=2)


def _torch_files(folder: Path, *, zipped: bool) -> None:
    folder.mkdir(parents=True)
    contents: dict[str, Any] = {
        "rosinality.pt": {
            "g_ema": rosinality_generator(16),
            "d": rosinality_discriminator(16),
            "iter": 3,
        },
        "generator.pth": as_saved(dcgan_generator(8, (16, 8, 4), 3)),
        "discriminator.pth": as_saved(dcgan_discriminator((4, 8, 16), 3)),
    }
    for name, content in contents.items():
        torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)


def _source(seeds: Seeds, folder: Path) -> None:
    architecture = tiny_architecture()
    card = SourceCard(name="tiny", architecture=architecture, data="squares", licence="CC0 1.0")
    save_source(folder / "source", tiny_pair(architecture), card)


def _export(seeds: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    source = open_source(str(seeds.root / "shared" / "source"))
    export_model(source, "safetensors", folder / "generator.safetensors")


def experiment(seeds: Seeds, **changes: Any) -> Experiment:
    """An experiment of one or two iterations, scored by the mean of each channel."""
    shared = seeds.root / "shared"
    network = ExtractorSettings(
        extractor=str(shared / "brightness.pt"),
        extractor_side=8,
        extractor_pixels="minus_one_one",
    )
    return Experiment(
        pictures=shared / "pictures",
        source=str(shared / "source"),
        data=DataSettings(held_out=0.3),
        scoring=ScoringSettings(score_every=1, score_count=4, network=network),
        training=TrainingSettings(iterations=1, batch_size=4, log_every=1, checkpoint_every=1),
        **changes,
    )


def _run(seeds: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    run(experiment(seeds, plan="adafm"), folder / "run", device="cpu")


def _adapter(seeds: Seeds, folder: Path) -> None:
    run(experiment(seeds, plan="adafm"), seeds.root / "of_adapter", device="cpu")
    folder.mkdir(parents=True)
    shutil.copy(seeds.root / "of_adapter" / "adapter.safetensors", folder)
    shutil.copytree(seeds.root / "shared" / "source", folder / "source")


def _comparison(seeds: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    variants = {"adafm": {"plan": "adafm"}, "light": {"plan": "adafm", "augment": "light"}}
    comparison = Comparison(base=experiment(seeds), variants=variants)
    run_comparison(comparison, folder / "comparison", device="cpu")


def _search(seeds: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    search = PlanSearch(
        base=experiment(seeds, plan="D(2,0,2) G(0,0,*)"),
        networks="generator",
        strategy="gradual",
        budget=Budget(trials=2),
    )
    run_search(search, folder / "search", device="cpu")


def _curation(seeds: Seeds, folder: Path) -> None:
    draw_pictures(folder / "raw", count=4, hue=2)
    curate(folder / "raw", folder / "clean", CurationSettings())


def _npz(seeds: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 3), dtype=np.uint8)
    np.savez(folder / "plain.npz", arr_0=pictures)
    np.savez_compressed(folder / "packed.npz", images=pictures, other=np.arange(5.0))


def _zip(seeds: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    packings = {
        "stored": zipfile.ZIP_STORED,
        "deflated": zipfile.ZIP_DEFLATED,
        "bzip2": zipfile.ZIP_BZIP2,
        "lzma": zipfile.ZIP_LZMA,
    }
    for name, packing in packings.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w", packing) as archive:
            for number in range(3):
                picture = seeds.root / "shared" / "pictures" / f"{number:03d}.png"
                archive.write(picture, f"class{number % 2}/{number}.png")


def _scored(_: Seeds, folder: Path) -> None:
    folder.mkdir(parents=True)
    pictures = tiny_pictures(3, side=16)
    (folder / "000001.zip").write_bytes(packed(pictures, iteration=1, seed=0))


def _pictures(suffix: str) -> Callable[[Seeds, Path], None]:
    def make(_: Seeds, folder: Path) -> None:
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(1).integers(0, 255, (24, 20, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        options: dict[str, Any] = {}
        if suffix in {"gif", "webp", "tiff"}:
            options = {"save_all": True, "append_images": [image.rotate(90)]}
        (folder / "set").mkdir()
        image.save(folder / "set" / f"colour.{suffix}", PICTURE_FORMATS[suffix], **options)
        image.convert("L").save(folder / "set" / f"grey.{suffix}", PICTURE_FORMATS[suffix])

    return make


_MAKERS: dict[str, Callable[[Seeds, Path], None]] = {
    "official": _official,
    "torch_zip": lambda _, folder: _torch_files(folder, zipped=True),
    "torch_legacy": lambda _, folder: _torch_files(folder, zipped=False),
    "safetensors": _source,
    "cards": _source,
    "exports": _export,
    "adapters": _adapter,
    "runs": _run,
    "checkpoints": _run,
    "comparisons": _comparison,
    "searches": _search,
    "curations": _curation,
    "npz": _npz,
    "zip": _zip,
    "scored": _scored,
    **{suffix: _pictures(suffix) for suffix in PICTURE_FORMATS},
}
