"""Write the clean set: the pictures that are kept, and where each of them comes from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from graftgan.core.errors import ImageSetError
from graftgan.core.files import write_jsonl, written_whole
from graftgan.core.provenance import Origin, write_manifest_lines
from graftgan.pictures import Unusable, decode_whole, file_of, reasons_for_failure
from graftgan.pictures.curation.decisions import Verdict

PICTURES = "pictures"
DECISIONS = "decisions.jsonl"
Read = Callable[[str], Any]
"""Returns the content of a picture by its name: the file's bytes, or pixels."""


Cut = Callable[[Image.Image], Image.Image]
"""Makes a square of a picture."""


def write_clean_set(
    verdicts: Sequence[Verdict],
    out: Path,
    *,
    read: Read,
    origins: Mapping[str, Origin],
    cut: Cut | None,
    progress: Callable[[int, int], None],
) -> None:
    """Write the pictures that are kept, their manifest, and every decision into ``out``.

    A picture keeps its bytes, unless it is cut, which makes it a PNG. The folder of pictures
    replaces the one of an earlier curation in one step; manifest and decisions follow.

    Raises:
        RunError: The disk is full, or the place cannot be written.
        ImageSetError: A picture is gone or has changed since it was read.
    """
    kept = [verdict for verdict in verdicts if verdict.kept]
    places = _places([verdict.name for verdict in kept], pixels=cut is not None)
    with written_whole(out / PICTURES) as partial:
        partial.mkdir()
        for done, verdict in enumerate(kept, start=1):
            target = partial / places[verdict.name]
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_picture(verdict.name, read, target, cut)
            progress(done, len(kept))
    write_manifest_lines(
        (
            {
                "name": f"{PICTURES}/{places[verdict.name]}",
                "from": verdict.name,
                "sha256": verdict.record.sha256,
                "size": [verdict.record.width, verdict.record.height],
                **origins.get(verdict.name, Origin()).as_line(),
            }
            for verdict in kept
        ),
        out,
    )
    write_jsonl(out / DECISIONS, map(_decision, verdicts))


def _decision(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "kept": verdict.kept,
        "overruled": verdict.overruled,
        "reasons": [asdict(reason) for reason in verdict.reasons],
        "scores": dict(verdict.scores),
    }


def _places(names: Sequence[str], *, pixels: bool) -> dict[str, str]:
    """Return where each picture goes, below the folder of pictures and nowhere else."""
    places: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        parts = [p for p in PurePosixPath(name).parts if p not in {"..", ".", "/"}]
        if len(parts) > 1 and parts[0] == PICTURES:  # as `collect` lays them out
            parts = parts[1:]
        path = PurePosixPath(*parts)
        if pixels or not path.suffix:
            path = path.with_suffix(".png") if path.suffix else path.with_name(f"{path.name}.png")
        place, number = str(path), 1
        while place.lower() in taken:  # of several disks the letters' case is lost
            number += 1
            place = str(path.with_name(f"{path.stem}_{number}{path.suffix}"))
        taken.add(place.lower())
        places[name] = place
    return places


def _write_picture(name: str, read: Read, target: Path, cut: Cut | None) -> None:
    try:
        with reasons_for_failure():
            content = read(name)
            image = None if cut is None else decode_whole(content).image
    except Unusable as reason:
        raise ImageSetError(
            f"{name} has changed while it was curated ({reason}); run it again"
        ) from None
    if cut is None or image is None:
        target.write_bytes(file_of(content))
    else:
        cut(image).save(target, "PNG")
