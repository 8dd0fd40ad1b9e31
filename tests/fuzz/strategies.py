"""Strategies of hostile files for each kind, from its valid ones."""

import io
import json
import os
import pickletools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from hypothesis import strategies as st

from graftgan.core.errors import GraftganError
from graftgan.core.settings import read_toml
from graftgan.studies.comparison import comparison_fingerprint as settings_fingerprint
from official_pickles import EasyDict, write_official

from . import binaries, instructions, seals
from .cases import Files
from .documents import json_files, jsonl_files, toml_files
from .outcomes import EXPECTED
from .seeds import Seeds, official_networks


def of_files(
    *names: str,
) -> Callable[[Seeds, str], st.SearchStrategy[Files]]:
    """Return a strategy that damages one of the files ``names`` by the end of its name."""

    def strategy(seeds: Seeds, kind: str) -> st.SearchStrategy[Files]:
        return st.one_of(
            *(
                _TEXTS[PurePosixPath(name).suffix](seeds.bytes_of(kind, name)).map(
                    lambda content, name=name: {name: content}
                )
                for name in names
            )
        )

    return strategy


_TEXTS: Mapping[str, Callable[[bytes], st.SearchStrategy[bytes]]] = {
    ".json": json_files,
    ".jsonl": jsonl_files,
    ".toml": toml_files,
    ".safetensors": binaries.safetensors_files,
}
_SETTINGS: tuple[tuple[str, str, Any], ...] = (
    ("G_ema", "mapping_kwargs", {"lr_multiplier": 0.1}),
    ("G_ema", "mapping_kwargs", {"activation": "relu"}),
    ("G_ema", "mapping_kwargs", {"normalize_z": False}),
    ("G_ema", "synthesis_kwargs", {"use_noise": False}),
    ("G_ema", "synthesis_kwargs", {"resample_filter": [1, 1]}),
    ("G_ema", "synthesis_kwargs", {"activation": "relu"}),
    ("G_ema", "synthesis_kwargs", {"output_scale": 2.0}),
    ("G_ema", "an_unknown_setting", 7),
    ("D", "an_unknown_setting", 7),
    ("D", "block_kwargs", {"activation": "relu"}),
    ("D", "epilogue_kwargs", {"activation": "relu"}),
)
"""By which an official network computes something else: (network, setting, value)."""


def official_files(seeds: Seeds) -> st.SearchStrategy[Files]:
    valid = tuple(seeds.bytes_of("official", n) for n in ("official.pkl", "small.pkl", "old.pkl"))
    streams = instructions.streams(valid).map(lambda stream: {"file.pkl": stream})
    settings = st.sampled_from(_SETTINGS)
    return st.one_of(streams, streams, streams, settings.map(partial(_other_settings, seeds)))


def _other_settings(seeds: Seeds, drawn: tuple[str, str, Any]) -> Files:
    """Return an official file whose networks would compute something else."""
    role, name, value = drawn
    networks = official_networks()
    settings = networks[role].meta["state"]["_init_kwargs"]
    before = settings.get(name)
    settings[name] = EasyDict({**(before or {}), **value}) if isinstance(value, dict) else value
    path = write_official(seeds.root / f"other-{os.getpid()}.pkl", networks)
    content = path.read_bytes()
    path.unlink()
    told = json.dumps({"setting": f"{role}.{name} = {value}"}).encode()
    return {"file.pkl": content, EXPECTED: told}


def torch_files(seeds: Seeds, kind: str) -> st.SearchStrategy[Files]:
    found: list[st.SearchStrategy[Files]] = []
    for name in TORCH_NAMES:
        content = seeds.bytes_of(kind, name)
        if kind == "torch_zip":
            strategy = _other_pickle(content) | binaries.zip_records(content)
        else:
            strategy = _other_legacy(content)
        found.append(strategy.map(lambda file, name=name: {name: file}))
    return st.one_of(*found)


TORCH_NAMES = ("rosinality.pt", "generator.pth", "discriminator.pth")


def _other_pickle(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of torch's zips with another ``data.pkl`` in them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in members if name.endswith("/data.pkl"))

    def rebuilt(stream: bytes, packing: int) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", packing) as archive:
            for member, data in members.items():
                archive.writestr(member, stream if member == name else data)
        return file.getvalue()

    packings = st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    return st.builds(rebuilt, instructions.streams((members[name],)), packings)


def _parts_of_legacy(content: bytes) -> list[int]:
    """Return where the pickles of a file from before torch's zip end."""
    file, ends = io.BytesIO(content), list[int]()
    for _ in range(5):
        for _ in pickletools.genops(file):
            pass
        ends.append(file.tell())
    return ends


def _other_legacy(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of such files with another one of their five pickles."""
    ends = [0, *_parts_of_legacy(content)]

    def replaced(place: int) -> st.SearchStrategy[bytes]:
        begin, end = ends[place], ends[place + 1]
        return instructions.streams((content[begin:end],)).map(
            lambda stream: content[:begin] + stream + content[end:]
        )

    return st.sampled_from((2, 3, 3, 3, 4)).flatmap(replaced)


def source_weights(seeds: Seeds) -> st.SearchStrategy[Files]:
    """Strategy of damaged weights, half of them with a card that names their hash."""
    files = of_files("source/generator.safetensors", "source/discriminator.safetensors")
    damaged = files(seeds, "safetensors")
    return damaged | damaged.map(partial(seals.sealed_source, seeds=seeds, kind="safetensors"))


def adapters(seeds: Seeds) -> st.SearchStrategy[Files]:
    """Strategy of damaged adapters, most of them with a checksum that fits."""
    damaged = of_files("adapter.safetensors")(seeds, "adapters")
    sealed = damaged.map(
        lambda files: {
            name: seals.sealed_adapter(content or b"") for name, content in files.items()
        }
    )
    return st.one_of(damaged, sealed, sealed)


def scored_zips(seeds: Seeds) -> st.SearchStrategy[Files]:
    """Strategy of kept pictures in a damaged zip, or under another card, which is sealed."""
    content = seeds.bytes_of("scored", "000001.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def under(card: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in {**members, "card.json": seals.resealed(card)}.items():
                archive.writestr(name, data)
        return file.getvalue()

    cards = json_files(members["card.json"]).map(under)
    return st.one_of(cards, cards, binaries.zip_records(content)).map(lambda f: {"000001.zip": f})


def in_run(files: Sequence[str], prefix: str = "run/") -> Sequence[str]:
    return [prefix + name for name in files]


RUN_TEXTS = (
    "card.json", "experiment.toml", "plan.json", "manifest.json", "log.jsonl", "metrics.jsonl",
)  # fmt: skip
RUN_TENSORS = tuple(
    f"checkpoints/000001/{name}"
    for name in (
        "average.safetensors", "discriminator.safetensors", "generator.safetensors",
        "training.safetensors", "card.json",
    )
)  # fmt: skip


def runs(seeds: Seeds) -> st.SearchStrategy[Files]:
    """Strategy of damaged runs, most of them with seals that fit and ready to be resumed."""
    files = of_files(*in_run(RUN_TEXTS))(seeds, "runs")
    sealed = files.map(partial(seals.sealed_run, seeds=seeds, kind="runs"))
    return st.one_of(files, sealed, sealed)


def checkpoints(seeds: Seeds) -> st.SearchStrategy[Files]:
    """Strategy of damaged checkpoints; the checksums of most fit."""
    files = of_files(*in_run(RUN_TENSORS))(seeds, "checkpoints")
    sealed = files.map(partial(seals.sealed_run, seeds=seeds, kind="checkpoints"))
    return st.one_of(files, sealed, sealed, sealed)


def study(
    kind: str, settings: str, results: str, others: Sequence[str], run: str
) -> Callable[[Seeds], st.SearchStrategy[Files]]:
    """Return a strategy for the folder of a comparison or search.

    Half of the damaged settings come with a hash that fits them, and half of the damaged files of
    ``run``, one of its runs, with a card that does.
    """

    def strategy(seeds: Seeds) -> st.SearchStrategy[Files]:
        said = json.loads(seeds.bytes_of(kind, results))

        def fitted(files: Files) -> Files:
            path = seeds.root / f"fitted-{os.getpid()}.toml"
            path.write_bytes(files[settings] or b"")
            try:
                plain = {k: v for k, v in read_toml(path).items() if k != "budget"}
                known = settings_fingerprint(plain)
            except (GraftganError, ValueError, TypeError, RecursionError):
                known = ""
            told = json.dumps({**said, "settings_sha256": known})
            return {**files, results: told.encode()}

        of_settings = of_files(settings)(seeds, kind)
        of_others = of_files(results, *others)(seeds, kind)
        of_run = of_files(*in_run(RUN_TEXTS, f"{run}/"))(seeds, kind)
        sealed = of_run.map(partial(seals.sealed_run, seeds=seeds, kind=kind, run=run))
        return st.one_of(of_settings, of_settings.map(fitted), of_others, of_run, sealed)

    return strategy


def text_targets(kind: str) -> Callable[[Seeds], Sequence[str]]:
    def targets(seeds: Seeds) -> Sequence[str]:
        return [name for name in seeds.names(kind) if PurePosixPath(name).suffix in _TEXTS]

    return targets
