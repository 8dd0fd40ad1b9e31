"""Every kind of file that graftgan reads: what is damaged in it, and the public calls that read it."""

import io
import json
import os
import pickletools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from hypothesis import strategies as st
from official_pickles import EasyDict, write_official

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
    resume_comparison,
    resume_search,
    write_run_report,
)
from graftgan.adapters import list_adapters
from graftgan.checkpoints import SourceModel, fingerprint
from graftgan.curation import CurationSettings, curate
from graftgan.data import ImageSet, load_picture
from graftgan.data.collect import PICTURE_SUFFIXES
from graftgan.errors import GraftganError
from graftgan.reports import convergence_of, write_comparison_report, write_search_report
from graftgan.settings import read_toml
from graftgan.training import Training

from . import binaries, instructions
from .cases import Files, Kind
from .commands import Step
from .documents import json_files, jsonl_files, toml_files
from .seeds import PICTURE_FORMATS, Seeds, official_networks
from .outcomes import NOT_TRAINED, NotTrainedError, WrongError

_CPU = {"device": "cpu"}


def forbid_training() -> None:
    """Let every training end before its first iteration, in this process and its children."""

    def stop(_: Training) -> None:
        raise NotTrainedError(NOT_TRAINED)

    Training.run = stop  # type: ignore[method-assign]


def _of_files(
    *names: str, by: Mapping[str, Callable[[bytes], st.SearchStrategy[bytes]]]
) -> Callable[[Seeds, str], st.SearchStrategy[Files]]:
    """Return a strategy that damages one of the files ``names`` by the end of its name."""

    def strategy(seeds: Seeds, kind: str) -> st.SearchStrategy[Files]:
        return st.one_of(
            *(
                by[PurePosixPath(name).suffix](seeds.bytes_of(kind, name)).map(
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


# Pickles of the official programs.


def _import(
    name: str, folder: Path, *, second: str | None = None, into: str = "made"
) -> SourceModel:
    """Import a file, and open what it became."""
    discriminator = None if second is None else folder / second
    import_source(folder / name, folder / into, discriminator=discriminator)
    return open_source(str(folder / into))


def _import_official(folder: Path) -> None:
    made = _import("file.pkl", folder)
    expected = folder / "not_the_same_as.json"
    if not expected.exists():
        return
    told = json.loads(expected.read_text())
    if made.card.architecture == open_source(str(_plain_source(folder))).card.architecture:
        raise WrongError(f"taken for the same networks, although {told['setting']} is other")


def _plain_source(folder: Path) -> Path:
    import_source(folder / "official.pkl", folder / "plain")
    return folder / "plain"


_OFFICIAL: Mapping[str, Step] = {"import_source": _import_official}
_SETTINGS: tuple[tuple[str, Any], ...] = (
    ("mapping_kwargs", {"lr_multiplier": 0.1}),
    ("mapping_kwargs", {"activation": "relu"}),
    ("mapping_kwargs", {"normalize_z": False}),
    ("synthesis_kwargs", {"use_noise": False}),
    ("synthesis_kwargs", {"resample_filter": [1, 1]}),
    ("synthesis_kwargs", {"activation": "relu"}),
    ("synthesis_kwargs", {"output_scale": 2.0}),
    ("synthesis_kwargs", {"conv_clamp": 1.5}),
    ("conv_clamp", 0.5),
    ("activation", "relu"),
    ("an_unknown_setting", 7),
    ("block_kwargs", {"activation": "relu"}),
    ("epilogue_kwargs", {"activation": "relu"}),
)


def _official(seeds: Seeds) -> st.SearchStrategy[Files]:
    valid = tuple(seeds.bytes_of("official", n) for n in ("official.pkl", "small.pkl", "old.pkl"))
    streams = instructions.streams(valid).map(lambda stream: {"file.pkl": stream})
    settings = st.tuples(st.sampled_from(("G_ema", "D")), st.sampled_from(_SETTINGS))
    return st.one_of(streams, streams, streams, settings.map(partial(_other_settings, seeds)))


def _other_settings(seeds: Seeds, drawn: tuple[str, tuple[str, Any]]) -> Files:
    """Return an official file whose networks would compute something else."""
    role, (name, value) = drawn
    if role == "D" and name == "synthesis_kwargs":
        role = "G_ema"
    networks = official_networks()
    settings = networks[role].meta["state"]["_init_kwargs"]
    before = settings.get(name)
    settings[name] = EasyDict({**(before or {}), **value}) if isinstance(value, dict) else value
    path = write_official(seeds.root / f"other-{os.getpid()}.pkl", networks)
    content = path.read_bytes()
    path.unlink()
    told = json.dumps({"setting": f"{role}.{name} = {value}"}).encode()
    return {"file.pkl": content, "not_the_same_as.json": told}


# Files of torch.save.


def _torch_files(seeds: Seeds, kind: str) -> st.SearchStrategy[Files]:
    found: list[st.SearchStrategy[Files]] = []
    for name in _TORCH_NAMES:
        content = seeds.bytes_of(kind, name)
        if kind == "torch_zip":
            strategy = _other_pickle(content) | binaries.zip_records(content)
        else:
            strategy = _other_legacy(content)
        found.append(strategy.map(lambda file, name=name: {name: file}))
    return st.one_of(*found)


_TORCH_NAMES = ("rosinality.pt", "generator.pth", "discriminator.pth")


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


_TORCH_STEPS: Mapping[str, Step] = {
    "import_source": lambda folder: _import("rosinality.pt", folder),
    "import_source of two": lambda folder: _import(
        "generator.pth", folder, second="discriminator.pth", into="second"
    ),
}


# Sources and adapters.


def _open_source(folder: Path) -> None:
    source = open_source(str(folder / "source"))
    latents = random_latents(2, source.card.architecture.latent_size, seed=0)
    generate(source.pair.generator, latents)


def _list_sources(folder: Path) -> None:
    os.environ["GRAFTGAN_SOURCES"] = str(folder)
    for _, card in list_sources():
        if isinstance(card, GraftganError):
            raise card


_SOURCE_STEPS: Mapping[str, Step] = {"open_source": _open_source, "list_sources": _list_sources}


def _source_weights(seeds: Seeds) -> st.SearchStrategy[Files]:
    """Strategy of damaged weights, half of them with a card that names their hash."""
    card = json.loads(seeds.bytes_of("safetensors", "source/card.json"))
    found: list[st.SearchStrategy[Files]] = []
    for role in ("generator", "discriminator"):
        name = f"source/{role}.safetensors"
        contents = binaries.safetensors_files(seeds.bytes_of("safetensors", name))
        found.append(contents.map(lambda content, name=name: {name: content}))
        found.append(
            contents.map(
                lambda content, name=name, role=role: {
                    name: content,
                    "source/card.json": _card_of(card, role, content),
                }
            )
        )
    return st.one_of(*found)


def _card_of(card: dict[str, Any], role: str, content: bytes) -> bytes:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        known = fingerprint(load(content))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, OverflowError):
        known = ""
    told = {**card, "fingerprints": {**card["fingerprints"], role: known}}
    return json.dumps(told).encode()


def _put_on(folder: Path) -> None:
    bank = AdapterBank(open_source(str(folder / "source")))
    bank.add("one", folder / "adapter.safetensors")
    bank.generator({"one": 1.0})


def _list_adapters(folder: Path) -> None:
    for found in list_adapters([folder]).values():
        if isinstance(found, GraftganError):
            raise found


# Run folders, comparisons, searches, curations.


def _resume(folder: Path) -> None:
    try:
        graftgan.resume(folder, **_CPU)
    except NotTrainedError:
        pass


def _run_folder(files: Sequence[str], prefix: str = "run/") -> Sequence[str]:
    return [prefix + name for name in files]


_RUN_TEXTS = (
    "card.json", "experiment.toml", "plan.json", "manifest.json", "log.jsonl", "metrics.jsonl",
)  # fmt: skip
_RUN_TENSORS = tuple(
    f"checkpoints/000001/{name}"
    for name in (
        "average.safetensors", "discriminator.safetensors", "generator.safetensors",
        "training.safetensors", "card.json",
    )
)  # fmt: skip
_RUN_STEPS: Mapping[str, Step] = {
    "load_run": lambda folder: load_run(folder / "run"),
    "write_run_report": lambda folder: write_run_report(folder / "run"),
    "convergence_of": lambda folder: convergence_of(folder / "run", threshold=0.5),
    "open_source": lambda folder: open_source(str(folder / "run")),
    "load_adapter": lambda folder: load_adapter(folder / "run"),
    "resume": lambda folder: _resume(folder / "run"),
}


def _interrupted(files: Files, seeds: Seeds) -> Files:
    """Return the files with a card that lets the run be gone on with."""
    if "run/card.json" in files:
        return files
    card = json.loads(seeds.bytes_of("runs", "run/card.json"))
    return {**files, "run/card.json": json.dumps({**card, "state": "interrupted"}).encode()}


def _runs(seeds: Seeds) -> st.SearchStrategy[Files]:
    files = _of_files(*_run_folder(_RUN_TEXTS), by=_TEXTS)(seeds, "runs")
    return st.one_of(files, files.map(partial(_interrupted, seeds=seeds)))


def _checkpoints(seeds: Seeds) -> st.SearchStrategy[Files]:
    files = _of_files(*_run_folder(_RUN_TENSORS), by=_TEXTS)(seeds, "checkpoints")
    return files.map(partial(_interrupted, seeds=seeds))


def _study(
    kind: str, settings: str, results: str, others: Sequence[str]
) -> Callable[[Seeds], st.SearchStrategy[Files]]:
    """Return a strategy for the folder of a comparison or search.

    Half of the damaged settings come with a hash that fits them.
    """

    def strategy(seeds: Seeds) -> st.SearchStrategy[Files]:
        said = json.loads(seeds.bytes_of(kind, results))

        def fitted(files: Files) -> Files:
            path = seeds.root / f"fitted-{os.getpid()}.toml"
            path.write_bytes(files[settings] or b"")
            try:
                plain = {k: v for k, v in read_toml(path).items() if k != "budget"}
                known = graftgan.search.comparison.fingerprint(plain)
            except (GraftganError, ValueError, TypeError, RecursionError):
                known = ""
            told = json.dumps({**said, "settings_sha256": known})
            return {**files, results: told.encode()}

        of_settings = _of_files(settings, by=_TEXTS)(seeds, kind)
        of_others = _of_files(results, *others, by=_TEXTS)(seeds, kind)
        return st.one_of(of_settings, of_settings.map(fitted), of_others, of_others, of_others)

    return strategy


def _text_targets(kind: str) -> Callable[[Seeds], Sequence[str]]:
    def targets(seeds: Seeds) -> Sequence[str]:
        return [name for name in seeds.names(kind) if PurePosixPath(name).suffix in _TEXTS]

    return targets


def _curate(folder: Path) -> None:
    curate(folder / "raw", folder / "clean", CurationSettings(processes=1))


# Pictures.


def _load_set(path: Path) -> ImageSet:
    return load_image_set(path, DataSettings(minimum_side=4), resolution=16, seed=0)


def _load_zip(folder: Path) -> None:
    """Load a zip, and look whether every picture in it was used or named."""
    found = _load_set(folder / "set.zip")
    with zipfile.ZipFile(folder / "set.zip") as archive:
        names = [entry.filename.replace("\\", "/") for entry in archive.infolist()]
    expected = sum(_is_picture(name) for name in names)
    told = len(found.records) + len(found.skipped)
    if told != expected:
        raise WrongError(f"{expected} pictures in the zip, {told} used or named as skipped")


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and not name.endswith("/") and path.suffix.lower() in PICTURE_SUFFIXES


def _pictures(suffix: str) -> Kind:
    def structured(seeds: Seeds) -> st.SearchStrategy[Files]:
        contents = binaries.PICTURES[suffix](seeds.bytes_of(suffix, f"set/colour.{suffix}"))
        files = contents.map(lambda content: {f"set/colour.{suffix}": content})
        if suffix != "png":
            return files
        large = st.sampled_from(((16, 0), (16, 0), (8, 2), (16, 2), (16, 6))).map(
            lambda form: {f"set/{n}.png": binaries.large_png(*form) for n in range(4)}
        )
        return st.one_of(*[files] * 60, large)

    return Kind(
        name=suffix,
        steps={
            "load_image_set": lambda folder: _load_set(folder / "set"),
            "load_picture": lambda folder: load_picture(
                folder / "set" / f"colour.{suffix}", resolution=16, channels=3
            ),
        },
        commands=(lambda folder: ["preview", str(folder / "set"), "--out", str(folder / "preview.png")],),
        targets=lambda _: (f"set/colour.{suffix}", f"set/grey.{suffix}"),
        structured=structured,
    )


def _curate_set(name: str) -> Step:
    return lambda folder: curate(
        folder / name, folder / "clean", CurationSettings(processes=1)
    )


_KINDS: tuple[Kind, ...] = (
    Kind(
        name="official",
        steps=_OFFICIAL,
        commands=(lambda f: ["import", str(f / "file.pkl"), "--out", str(f / "commanded")],),
        targets=lambda _: ("official.pkl", "small.pkl", "old.pkl"),
        subject="file.pkl",
        valid="official.pkl",
        structured=_official,
    ),
    *(
        Kind(
            name=name,
            steps=_TORCH_STEPS,
            commands=(
                lambda f: ["import", str(f / "rosinality.pt"), "--out", str(f / "commanded")],
                lambda f: ["import", str(f / "generator.pth"), "--discriminator",
                           str(f / "discriminator.pth"), "--out", str(f / "commanded_two")],
            ),
            targets=lambda _: _TORCH_NAMES,
            structured=partial(_torch_files, kind=name),
        )
        for name in ("torch_zip", "torch_legacy")
    ),
    Kind(
        name="safetensors",
        steps=_SOURCE_STEPS,
        commands=(lambda f: ["sources", "show", str(f / "source")],),
        targets=lambda _: ("source/generator.safetensors", "source/discriminator.safetensors"),
        structured=_source_weights,
    ),
    Kind(
        name="cards",
        steps=_SOURCE_STEPS,
        commands=(
            lambda f: ["sources", "show", str(f / "source")],
            lambda f: ["plan", "fine_tune", "--source", str(f / "source")],
        ),
        targets=lambda _: ("source/card.json",),
        structured=lambda seeds: _of_files("source/card.json", by=_TEXTS)(seeds, "cards"),
    ),
    Kind(
        name="adapters",
        steps={
            "load_adapter": lambda folder: load_adapter(folder / "adapter.safetensors"),
            "list_adapters": _list_adapters,
            "AdapterBank": _put_on,
        },
        commands=(lambda f: ["adapter", "list", str(f)],),
        targets=lambda _: ("adapter.safetensors",),
        structured=lambda seeds: _of_files("adapter.safetensors", by=_TEXTS)(seeds, "adapters"),
    ),
    Kind(
        name="runs",
        steps=_RUN_STEPS,
        commands=(
            lambda f: ["report", str(f / "run")],
            lambda f: ["converge", str(f / "run"), "--score", "0.5"],
            lambda f: ["transfer", "--resume", str(f / "run")],
            lambda f: ["transfer", str(f), "--config", str(f / "run" / "experiment.toml"),
                       "--dry-run"],
        ),
        targets=lambda _: _run_folder(_RUN_TEXTS),
        structured=_runs,
    ),
    Kind(
        name="checkpoints",
        steps=_RUN_STEPS,
        commands=(lambda f: ["transfer", "--resume", str(f / "run")],),
        targets=lambda _: _run_folder(_RUN_TENSORS),
        structured=_checkpoints,
    ),
    Kind(
        name="comparisons",
        steps={
            "write_comparison_report": lambda f: write_comparison_report(f / "comparison"),
            "resume_comparison": lambda f: resume_comparison(f / "comparison", **_CPU),
        },
        commands=(lambda f: ["compare", "--resume", str(f / "comparison")],),
        targets=_text_targets("comparisons"),
        structured=_study(
            "comparisons",
            "comparison/comparison.toml",
            "comparison/comparison.json",
            _run_folder(_RUN_TEXTS, "comparison/runs/adafm-0/"),
        ),
    ),
    Kind(
        name="searches",
        steps={
            "write_search_report": lambda f: write_search_report(f / "search"),
            "resume_search": lambda f: resume_search(f / "search", **_CPU),
        },
        commands=(lambda f: ["search", "--resume", str(f / "search")],),
        targets=_text_targets("searches"),
        structured=_study(
            "searches",
            "search/search.toml",
            "search/search.json",
            [
                *("search/trials/0000.json", "search/trials/0001.json"),
                *_run_folder(_RUN_TEXTS, "search/runs/0001/"),
            ],
        ),
    ),
    Kind(
        name="curations",
        steps={"curate": _curate},
        commands=(lambda f: ["curate", str(f / "raw"), str(f / "clean")],),
        targets=_text_targets("curations"),
        structured=lambda seeds: _of_files(
            "clean/.curation/made_by.json",
            "clean/.curation/readings.jsonl",
            "clean/decisions.jsonl",
            "clean/manifest.jsonl",
            "clean/overrides.toml",
            by=_TEXTS,
        )(seeds, "curations"),
    ),
    Kind(
        name="npz",
        steps={
            "load_image_set": lambda folder: _load_set(folder / "set.npz"),
            "curate": _curate_set("set.npz"),
        },
        commands=(
            lambda f: ["preview", str(f / "set.npz"), "--out", str(f / "preview.png")],
            lambda f: ["mix", f"{f / 'set.npz'}:0.5", f"{f / 'plain.npz'}:0.5", "--out",
                       str(f / "mix.zip")],
        ),
        targets=lambda _: ("plain.npz", "packed.npz"),
        subject="set.npz",
        valid="plain.npz",
        structured=lambda seeds: binaries.npz_files(seeds.bytes_of("npz", "plain.npz")).map(
            lambda content: {"set.npz": content}
        ),
    ),
    Kind(
        name="zip",
        steps={"load_image_set": _load_zip, "curate": _curate_set("set.zip")},
        commands=(
            lambda f: ["preview", str(f / "set.zip"), "--out", str(f / "preview.png")],
            lambda f: ["mix", f"{f / 'set.zip'}:0.5", f"{f / 'stored.zip'}:0.5", "--out",
                       str(f / "mix.zip")],
        ),
        targets=lambda _: ("stored.zip", "deflated.zip", "bzip2.zip", "lzma.zip"),
        subject="set.zip",
        valid="stored.zip",
        structured=lambda seeds: binaries.zip_files(seeds.bytes_of("zip", "deflated.zip")).map(
            lambda content: {"set.zip": content}
        ),
    ),
    *(_pictures(suffix) for suffix in PICTURE_FORMATS),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
"""By name."""
