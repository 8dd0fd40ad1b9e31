"""Every kind of file that graftgan reads: what is damaged in it, and who reads it."""

from collections.abc import Mapping
from functools import partial

from hypothesis import strategies as st

from graftgan import load_adapter, load_generator, resume_comparison, resume_search
from graftgan.pictures import load_picture
from graftgan.studies.comparison_page import write_comparison_report
from graftgan.studies.search_page import write_search_report

from . import binaries
from .cases import Files, Kind
from .seeds import PICTURE_FORMATS, Seeds
from .steps import (
    OFFICIAL_STEPS,
    RUN_STEPS,
    SOURCE_STEPS,
    TORCH_STEPS,
    curate_folder,
    curate_set,
    list_all_adapters,
    load_set,
    load_zip,
    put_on,
    read_kept,
    written_page,
)
from .strategies import (
    RUN_TENSORS,
    RUN_TEXTS,
    TORCH_NAMES,
    adapters,
    checkpoints,
    in_run,
    of_files,
    official_files,
    runs,
    scored_zips,
    source_weights,
    study,
    text_targets,
    torch_files,
)


def _pictures(suffix: str) -> Kind:
    def structured(seeds: Seeds) -> st.SearchStrategy[Files]:
        contents = binaries.PICTURES[suffix](seeds.bytes_of(suffix, f"set/colour.{suffix}"))
        files = contents.map(lambda content: {f"set/colour.{suffix}": content})
        if suffix != "png":
            return files
        large = st.sampled_from(((16, 0), (16, 0), (8, 2), (16, 2), (16, 6))).map(
            lambda form: {f"set/{n}.png": binaries.large_png(*form) for n in range(2)}
        )
        return st.one_of(*[files] * 60, large)

    return Kind(
        name=suffix,
        steps={
            "load_image_set": lambda folder: load_set(folder / "set"),
            "load_picture": lambda folder: load_picture(
                folder / "set" / f"colour.{suffix}", resolution=16, channels=3
            ),
        },
        commands=(
            lambda folder: ["preview", str(folder / "set"), "--out", str(folder / "preview.png")],
        ),
        targets=lambda _: (f"set/colour.{suffix}", f"set/grey.{suffix}"),
        structured=structured,
    )


_KINDS: tuple[Kind, ...] = (
    Kind(
        name="official",
        steps=OFFICIAL_STEPS,
        commands=(lambda f: ["import", str(f / "file.pkl"), "--out", str(f / "commanded")],),
        targets=lambda _: ("official.pkl", "small.pkl", "old.pkl"),
        subject="file.pkl",
        valid="official.pkl",
        structured=official_files,
    ),
    *(
        Kind(
            name=name,
            steps=TORCH_STEPS,
            commands=(
                lambda f: ["import", str(f / "rosinality.pt"), "--out", str(f / "commanded")],
                lambda f: ["import", str(f / "generator.pth"), "--discriminator",
                           str(f / "discriminator.pth"), "--out", str(f / "commanded_two")],
            ),
            targets=lambda _: TORCH_NAMES,
            structured=partial(torch_files, kind=name),
        )
        for name in ("torch_zip", "torch_legacy")
    ),
    Kind(
        name="safetensors",
        steps=SOURCE_STEPS,
        commands=(lambda f: ["sources", "show", str(f / "source")],),
        targets=lambda _: ("source/generator.safetensors", "source/discriminator.safetensors"),
        structured=source_weights,
    ),
    Kind(
        name="cards",
        steps=SOURCE_STEPS,
        commands=(
            lambda f: ["sources", "show", str(f / "source")],
            lambda f: ["plan", "fine_tune", "--source", str(f / "source")],
        ),
        targets=lambda _: ("source/card.json",),
        structured=lambda seeds: of_files("source/card.json")(seeds, "cards"),
    ),
    Kind(
        name="exports",
        steps={"load_generator": lambda folder: load_generator(folder / "generator.safetensors")},
        targets=lambda _: ("generator.safetensors",),
        structured=lambda seeds: of_files("generator.safetensors")(seeds, "exports"),
    ),
    Kind(
        name="adapters",
        steps={
            "load_adapter": lambda folder: load_adapter(folder / "adapter.safetensors"),
            "list_adapters": list_all_adapters,
            "AdapterBank": put_on,
        },
        commands=(lambda f: ["adapter", "list", str(f)],),
        targets=lambda _: ("adapter.safetensors",),
        structured=adapters,
    ),
    Kind(
        name="runs",
        steps=RUN_STEPS,
        commands=(
            lambda f: ["report", str(f / "run")],
            lambda f: ["converge", str(f / "run"), "--score", "0.5"],
            lambda f: ["transfer", "--resume", str(f / "run")],
            lambda f: ["transfer", "--config", str(f / "run" / "experiment.toml"), "--dry-run"],
        ),
        targets=lambda _: in_run(RUN_TEXTS),
        structured=runs,
    ),
    Kind(
        name="checkpoints",
        steps=RUN_STEPS,
        commands=(lambda f: ["transfer", "--resume", str(f / "run")],),
        targets=lambda _: in_run(RUN_TENSORS),
        structured=checkpoints,
    ),
    Kind(
        name="comparisons",
        steps={
            "write_comparison_report": lambda f: written_page(
                write_comparison_report, f / "comparison"
            ),
            "resume_comparison": lambda f: resume_comparison(f / "comparison", device="cpu"),
        },
        commands=(lambda f: ["compare", "--resume", str(f / "comparison")],),
        targets=text_targets("comparisons"),
        structured=study(
            "comparisons",
            "comparison/comparison.toml",
            "comparison/comparison.json",
            [],
            "comparison/runs/adafm-0",
        ),
    ),
    Kind(
        name="searches",
        steps={
            "write_search_report": lambda f: written_page(write_search_report, f / "search"),
            "resume_search": lambda f: resume_search(f / "search", device="cpu"),
        },
        commands=(lambda f: ["search", "--resume", str(f / "search")],),
        targets=text_targets("searches"),
        structured=study(
            "searches",
            "search/search.toml",
            "search/search.json",
            ["search/trials/0000.json", "search/trials/0001.json"],
            "search/runs/0001",
        ),
    ),
    Kind(
        name="curations",
        steps={"curate": curate_folder},
        commands=(lambda f: ["curate", str(f / "raw"), str(f / "clean")],),
        targets=text_targets("curations"),
        structured=lambda seeds: of_files(
            "clean/.curation/made_by.json",
            "clean/.curation/readings.jsonl",
            "clean/decisions.jsonl",
            "clean/manifest.jsonl",
            "clean/overrides.toml",
        )(seeds, "curations"),
    ),
    Kind(
        name="npz",
        steps={
            "load_image_set": lambda folder: load_set(folder / "set.npz"),
            "curate": curate_set("set.npz"),
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
        steps={"load_image_set": load_zip, "curate": curate_set("set.zip")},
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
    Kind(
        name="scored",
        steps={"read_scored": read_kept},
        targets=lambda _: ("000001.zip",),
        structured=scored_zips,
    ),
    *(_pictures(suffix) for suffix in PICTURE_FORMATS),
)  # fmt: skip
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
"""By name."""
