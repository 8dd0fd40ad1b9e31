"""Verdicts by hand, for the tests of what a curation says about itself."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from graftgan.pictures.curation.decisions import (
    FilterRules,
    PictureOverrides,
    Rule,
    Verdict,
    decide,
)
from graftgan.pictures.curation.filters import FILTERS, Mode, PictureReadings, Reading

Readings = Mapping[str, Mapping[str, Reading] | str]
"""By name: what was read, or why it is no picture."""


def only(**thresholds: float | tuple[Mode, float]) -> dict[str, Rule]:
    """Return rules in which all filters but these are off; they reject, unless a mode is given."""
    rules = {name: Rule("off", FILTERS[name].threshold) for name in FILTERS}
    for name, said in thresholds.items():
        rules[name] = Rule(*said) if isinstance(said, tuple) else Rule("reject", said)
    return rules


def records_of(readings: Readings) -> list[PictureReadings]:
    return [
        PictureReadings(name=name, stamp="", sha256="", size=(0, 0), readings={}, unusable=found)
        if isinstance(found, str)
        else PictureReadings(name=name, stamp="", sha256="", size=(400, 300), readings=found)
        for name, found in readings.items()
    ]


def verdicts_on(
    readings: Readings, rules: FilterRules, *, keep: Sequence[str] = (), drop: Sequence[str] = ()
) -> list[Verdict]:
    return decide(records_of(readings), rules, PictureOverrides(keep=tuple(keep), drop=tuple(drop)))


def picture_bytes(seed: int, *, size: tuple[int, int] = (40, 30)) -> bytes:
    """Return a PNG of one colour with a square in another."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((size[1], size[0], 3), dtype=np.uint8)
    pixels[:] = rng.integers(0, 256, 3)
    pixels[5:20, 5:20] = rng.integers(0, 256, 3)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
