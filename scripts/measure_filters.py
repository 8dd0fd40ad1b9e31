"""What the filters of curation find on real photographs that were labelled by eye.

Precision and recall of each filter at its usual threshold, with 95 % intervals. The thresholds were
chosen on every other picture (those at even places of the sorted names): ``tuned_on`` holds these,
``held_out`` the others. Which detector is used, what is measured and at which size was chosen with
both halves in sight. Pictures whose label is in doubt are not counted. Blur is also planted: sharp
photographs are blurred, moved and enlarged, and must be found.

    python scripts/measure_filters.py raw_photos.zip tests/curation_labels.json \
        experiments/results/curation_filters.jsonl --face-detector yunet_n_320_320.onnx

The pictures are for research only, so they are not part of the project: it keeps their labels.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter
from rich.console import Console

from graftgan.core.files import write_jsonl
from graftgan.experiments.run_folder import versions
from graftgan.pictures import decode_whole
from graftgan.pictures.containers import find_container
from graftgan.pictures.curation.filters import FILTERS, FilterFunction, Tools
from graftgan.pictures.curation.filters.filter import LONGEST_SIDE, PictureView, picture_view

console = Console(highlight=False, soft_wrap=True)
LABELLED = ("gray", "blurred", "text", "face")
TRUTH: Mapping[Any, bool] = {True: True, "clear": True, False: False, "none": False}
"""What a label says; any other says that the picture does not count."""
PACKAGES = ("rapidocr", "onnxruntime", "dlib-bin", "pillow", "numpy")
PARTS = ("all", "tuned_on", "held_out")
Z = 1.959964  # of a 95 % interval
Spoil = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One picture: its place among the sorted names, its label, and what a filter has found."""

    place: int
    name: str
    label: Any
    score: float
    found: bool


def main() -> None:
    """Measure every filter and write one line for each and each part of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="the archive of the labelled pictures")
    parser.add_argument("labels", type=Path, help="the JSON file of the labels")
    parser.add_argument("destination", type=Path, help="the JSON-lines file to write")
    parser.add_argument("--face-detector", type=Path, help="a file of YuNet, to be measured too")
    options = parser.parse_args()
    labels = read_labels(options.labels)
    lines: list[dict[str, Any]] = []
    for name, detector in filters_to_measure(options.face_detector):
        measure = FILTERS[name].build(Tools(face_detector=detector))
        started = time.perf_counter()
        seen = list(look(name, measure, options.pictures, labels))
        each = (time.perf_counter() - started) / len(seen)
        console.print(f"{name}: {each * 1000:.0f} ms for each picture, reading included")
        for part in PARTS:
            lines.append({"filter": name, "detector": detector and "yunet", **result(seen, part)})
            console.print(in_words(lines[-1]))
    for line in planted_blur(options.pictures, labels):
        lines.append(line)
        console.print("blurred, planted: {planted}: {found} of {pictures} found".format(**line))
    extra = {"labels": options.labels.name, "versions": {**versions(), **_of_packages()}}
    write_jsonl(options.destination, [{**line, **extra} for line in lines])


def _of_packages() -> dict[str, str]:
    """Return the versions of the packages that decode, read and detect."""
    return {name: version(name) for name in PACKAGES}


def read_labels(path: Path) -> dict[str, dict[str, Any]]:
    """Return the labels of each picture by its name, in the order of the names."""
    return dict(sorted(json.loads(path.read_text(encoding="utf-8"))["pictures"].items()))


def filters_to_measure(face_detector: Path | None) -> list[tuple[str, Path | None]]:
    """Return each labelled filter, and that of faces once more with the file of a detector."""
    both: list[tuple[str, Path | None]] = [(name, None) for name in LABELLED]
    return [*both, ("face", face_detector)] if face_detector else both


def look(
    name: str, measure: FilterFunction, pictures: Path, labels: Mapping[str, Mapping[str, Any]]
) -> Iterator[Seen]:
    """Yield what a filter finds in each labelled picture at its usual threshold."""
    chosen = FILTERS[name]
    for place, (picture, view) in enumerate(views(pictures, labels)):
        score = float(measure(view))
        yield Seen(
            place=place,
            name=picture,
            label=labels[picture][name],
            score=score,
            found=chosen.finds(score, chosen.threshold),
        )


def views(
    pictures: Path, labels: Mapping[str, Any], spoil: Spoil = lambda image: image
) -> Iterator[tuple[str, PictureView]]:
    """Yield the labelled pictures as the pipeline shows them to filters, in order of their names.

    Raises:
        KeyError: A labelled picture is not in the archive.
    """
    with find_container(pictures).open() as contents:
        members = {member.name: member for member in contents.members}
        for name in labels:
            whole = decode_whole(members[name].read(), least=LONGEST_SIDE)
            yield name, picture_view(spoil(whole.image), whole.size)


def result(seen: Sequence[Seen], part: str) -> dict[str, Any]:
    """Return the counts of one part of the pictures, with precision and recall."""
    offset = {"all": None, "tuned_on": 0, "held_out": 1}[part]
    chosen = [one for one in seen if offset is None or one.place % 2 == offset]
    counted = [one for one in chosen if one.label in TRUTH]
    true = [one for one in counted if TRUTH[one.label]]
    hits = sum(one.found for one in true)
    alarms = [one for one in counted if one.found and not TRUTH[one.label]]
    return {
        "part": part,
        "pictures": len(chosen),
        "counted": len(counted),
        "true": len(true),
        "found": hits + len(alarms),
        "hits": hits,
        "precision": proportion(hits, hits + len(alarms)),
        "recall": proportion(hits, len(true)),
        "false_alarms": {one.name: round(one.score, 3) for one in alarms},
        "missed": {one.name: round(one.score, 3) for one in true if not one.found},
        "uncounted_found": sum(one.found for one in chosen if one.label not in TRUTH),
    }


def proportion(hits: int, of: int) -> list[float | None]:
    """Return a proportion with its 95 % interval: value, low, high.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not of:
        return [None, None, None]
    value, square = hits / of, Z * Z / of
    middle = (value + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(value * (1 - value) / of + square / of / 4)
    return [round(number, 4) for number in (value, max(0.0, middle - half), middle + half)]


def gaussian(share: float) -> Spoil:
    """Return a Gaussian blur with a standard deviation in shares of the longer side."""
    return lambda image: image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def moved(share: float) -> Spoil:
    """Return a movement of the camera sideways, in shares of the longer side."""
    return lambda image: image.filter(ImageFilter.BoxBlur((share * max(image.size) / 2, 0)))


def enlarged(times: int) -> Spoil:
    """Return what makes a picture as one that was enlarged so many times."""

    def spoil(image: Image.Image) -> Image.Image:
        width, height = (max(1, side // times) for side in image.size)
        small = image.resize((width, height), Image.Resampling.BOX)
        return small.resize(image.size, Image.Resampling.BICUBIC)

    return spoil


PLANTED: Mapping[str, Spoil] = {
    "as it is": lambda image: image,
    "blurred, sigma 0.2 % of the longer side": gaussian(0.002),
    "blurred, sigma 0.4 % of the longer side": gaussian(0.004),
    "blurred, sigma 0.8 % of the longer side": gaussian(0.008),
    "moved by 2 % of the longer side": moved(0.02),
    "moved by 4 % of the longer side": moved(0.04),
    "enlarged 3 times": enlarged(3),
    "enlarged 4 times": enlarged(4),
    "enlarged 6 times": enlarged(6),
}


def planted_blur(pictures: Path, labels: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield how many sharp photographs are found once they are blurred; of those held out."""
    held_out = list(labels)[1::2]
    sharp = {
        name: labels[name]
        for name in held_out
        if labels[name]["blurred"] is False and name.startswith("photo/")
    }
    chosen = FILTERS["blurred"]
    measure = chosen.build(Tools())
    for planted, spoil in PLANTED.items():
        scores = [float(measure(view)) for _, view in views(pictures, sharp, spoil)]
        found = sum(chosen.finds(score, chosen.threshold) for score in scores)
        yield {
            "filter": "blurred",
            "part": "planted",
            "planted": planted,
            "pictures": len(scores),
            "found": found,
            "share": proportion(found, len(scores)),
        }


def in_words(line: Mapping[str, Any]) -> str:
    """Return a line for the screen."""
    value, recall = line["precision"], line["recall"]
    name = f"{line['filter']} ({line['detector']})" if line["detector"] else line["filter"]
    return (
        f"{name}, {line['part']}: {line['true']} of {line['counted']}; precision {value}, "
        f"recall {recall}\n  false alarms {line['false_alarms']}\n  missed {line['missed']}"
    )


if __name__ == "__main__":
    main()
