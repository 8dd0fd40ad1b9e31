"""Turn a folder of raw pictures into a clean set to train on.

Filters look at every picture, on all cores; curation.html shows what each of them found, which
pictures it rejects, and the effect of other thresholds. overrides.toml, which you write, wins over
every filter. Run the same command again to continue after a stop, or with other flags to decide
anew: no picture is read twice.

examples:
  graftgan curate raw/ clean/
  graftgan curate raw/ clean/ --keep-only face --off text          portraits
  graftgan curate raw/ clean/ --threshold blurred=4 small=511 --crop --side 512
  graftgan curate raw/ clean/ --advise                             what costs most, what to relax

"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from graftgan.cli.terminal import console, parse_flags, table_of, with_bars
from graftgan.core.errors import SettingsError
from graftgan.core.provenance import licences_in_words
from graftgan.pictures import curation

# Each flag may be repeated, with one word or more each time.
Names = Annotated[tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="NAME ...")]


@dataclass(frozen=True)
class Curate:
    """The raw pictures, the clean set and the filters."""

    raw: Annotated[Path, Positional, arg(metavar="RAW")]
    """A folder, zip or npz of pictures."""
    out: Annotated[Path, Positional, arg(metavar="OUT")]
    """The folder of the clean set."""
    reject: Names = ()
    """Filters that reject the pictures in which they find something."""
    keep_only: Names = ()
    """Filters that reject the pictures in which they find nothing."""
    off: Names = ()
    """Filters to switch off."""
    threshold: Names = ()
    """NAME=NUMBER: another threshold of a filter."""
    crop: bool = False
    """Cut every kept picture to the square around what stands out, or around the face where only
    faces are kept."""
    side: int | None = None
    """With --crop: shrink larger squares to so many pixels."""
    face_detector: Path | None = None
    """A file of the face detector YuNet (ONNX), instead of dlib's."""
    processes: int | None = None
    """Processes on this machine; by default as many as there are cores and work for."""
    cluster: str | None = None
    """The address of a dask scheduler, such as tcp://head:8786; its workers see the same files."""
    thorough: bool = False
    """Run slow filters also on pictures that fast ones reject, for complete histograms."""
    advise: bool = False
    """List the filters that cost the most pictures, and what would bring them back."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    description = f"{__doc__}{_filters_in_words()}"
    options = parse_flags(Curate, arguments, prog="graftgan curate", description=description)
    if options.side is not None and not options.crop:
        raise SettingsError("--side is the size of squares; add --crop, or leave it out")
    settings = curation.CurationSettings(
        rules=curation.rules_of(
            reject=chain(*options.reject),
            keep_only=chain(*options.keep_only),
            off=chain(*options.off),
            thresholds=chain(*options.threshold),
        ),
        crop=curation.Crop(side=options.side) if options.crop else None,
        tools=curation.Tools(face_detector=options.face_detector),
        processes=options.processes,
        cluster=options.cluster,
        thorough=options.thorough,
    )
    command = f"graftgan curate {shlex.join(arguments)}"
    try:
        with with_bars() as progress:
            found = curation.curate(
                options.raw, options.out, settings, command=command, progress=progress
            )
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on: {command}")
        raise
    advice = curation.advice_on(found.verdicts, found.rules)
    console.print(f"{advice.kept:,} of {advice.raw:,} pictures kept; {found.read:,} read now")
    rows = zip(curation.cost_rows(advice), advice.costs, strict=True)
    console.print(table_of(curation.COST_HEADINGS, [row for row, cost in rows if cost.looked_at]))
    for sentence in (*advice.warnings, *(advice.sentences if options.advise else ())):
        console.print(f"note: {sentence}")
    if found.origins:
        kept = [found.origins[v.name] for v in found.verdicts if v.kept and v.name in found.origins]
        console.print(f"licences: {licences_in_words(kept)}")
    console.print(f"look at {found.page}; overrule in {found.folder / curation.OVERRIDES}")
    if advice.kept:
        console.print(f"then: graftgan transfer {shlex.quote(str(found.folder))}")
    return 0


def _filters_in_words() -> str:
    """Return the list of filters for the help."""
    width = max(map(len, curation.FILTERS))
    lines = [
        f"  {name:<{width}}  {one.found}: {'≥' if one.side == 'at_least' else '≤'} "
        f"{one.threshold:g} {one.score}{'; off' if one.mode == 'off' else ''}"
        for name, one in curation.FILTERS.items()
    ]
    return "\n".join(["filters, by which pictures are rejected:", *lines])
